# SPDX-License-Identifier: Apache-2.0
"""Models as large as a budget allows: by the width of an untrained network, or by a method that resizes a trained one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kilobench.boards import Board
from kilobench.contracts import Budget, CellError, Cost, Method, Network, Progress, Task, UserError
from kilobench.plugins.spec import canonical

if TYPE_CHECKING:
    from torch import nn

    from kilobench.measuring.size import Sized

_SMALLEST, _LARGEST = 16, 16
"""How much narrower and wider than usual a network is made for a budget."""


@dataclass(frozen=True)
class Room:
    """A budget, its board, and what compiles for it."""

    board: Board
    budget: Budget
    toolchain: str


def size_network(task: Task, network: Network, methods: Sequence[Method], room: Room, progress: Progress) -> Sized:
    """The largest width whose finished network keeps the budget; where a method resizes, the smallest that it makes."""
    from kilobench.compile.lower import lower_for
    from kilobench.learn.train import seed_everything
    from kilobench.learn.untrained import finished
    from kilobench.measuring.cost import cost
    from kilobench.measuring.size import Search, Sized

    seed_everything(0)

    def built(width: float | None) -> nn.Module:
        sized = network if width is None else dataclasses.replace(network, width=width)  # type: ignore[call-arg]
        return sized.build(task.network_shape, task.outputs, task.sample_rate)

    if any(method.resizes for method in methods):
        smallest = finished(built(None), methods, task, room.budget)
        costs = cost(lower_for(task, smallest), room.board, room.toolchain)
        return Sized(0.0, costs, keeps=not costs.exceeds(room.budget))
    if not isinstance(usual := getattr(network, "width", None), float):
        raise UserError(f"{canonical(network)} has no width that could be chosen for a budget")
    finish = partial(finished, methods=methods, task=task)
    search = Search(built, finish, task, room.board, room.budget, room.toolchain, progress)
    return search.largest(usual / _SMALLEST, usual * _LARGEST, usual)


class Fit:
    """What a method that resizes is given as Job.fit: the methods ``later`` in the recipe finish every candidate."""

    def __init__(self, task: Task, later: Sequence[Method], room: Room, progress: Progress) -> None:
        self._task, self._later, self._room, self._progress = task, later, room, progress
        self.found = False
        """Whether it was asked, and found a size."""

    def __call__(self, make: Callable[[float], nn.Module], low: float, high: float) -> nn.Module:
        """See kilobench.api.Job.fit."""
        from kilobench.learn.untrained import finished
        from kilobench.measuring.size import Search

        room, task = self._room, self._task
        finish = partial(finished, methods=self._later, task=task)
        search = Search(make, finish, task, room.board, room.budget, room.toolchain, self._progress)
        found = search.largest(low, high, high)
        if not found.keeps:
            over = found.cost.exceeds(room.budget)
            raise CellError(f"no size keeps the budget{over and f', over it by {over}'}; {smallest_text(found.cost)}")
        self.found = True
        return make(found.size)


def smallest_text(cost: Cost) -> str:
    """How large the smallest size is that a recipe can have."""
    time = f", {cost.latency_ms:.1f} ms" if math.isfinite(cost.latency_ms) else ""
    return f"the smallest takes {cost.flash_bytes / 1024:.1f} KiB of flash, {cost.ram_bytes / 1024:.1f} of RAM{time}"


def weights(model: nn.Module) -> float:
    """How many parameters a model has; one of few bits counts as its part of one of 8."""
    from kilobench.learn.narrow import narrowed

    marked = [
        (layer.get_parameter("weight").numel(), mark[0]) for layer in model.modules() if (mark := narrowed(layer))
    ]
    return sum(parameter.numel() for parameter in model.parameters()) - sum(n * (8 - bits) / 8 for n, bits in marked)
