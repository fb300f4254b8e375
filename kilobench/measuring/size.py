# SPDX-License-Identifier: Apache-2.0
"""The largest model that keeps a budget, found by building candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from kilobench.boards import Board
from kilobench.compile.graph import Graph
from kilobench.compile.lower import lower_for
from kilobench.compile.operator import bind
from kilobench.contracts import Budget, Cost, Progress, Task
from kilobench.measuring.cost import cost

CLOSE = 0.98
"""Share of the flash of a budget from which on nothing larger is looked for."""
_ROOM = 256
"""Bytes of the budget that a candidate must leave: weights that have been trained may choose other kernels."""
_BUILDS = 10
_HALVINGS = 14


@dataclass(frozen=True)
class Sized:
    """A size, as the width of a network or the share of its channels, and what the finished model costs."""

    size: float
    cost: Cost
    keeps: bool
    """Whether it keeps the budget; the smallest size is told where none does."""


class Search:
    """For the largest size whose model, made by ``make`` and finished by ``finish``, keeps a budget on a board.

    Flash is told beforehand from the weights of a lowered model and what the last program took beside them, so that a few
    builds find it; RAM and time are found by halving.
    """

    def __init__(
        self,
        make: Callable[[float], nn.Module],
        finish: Callable[[nn.Module], nn.Module],
        task: Task,
        board: Board,
        budget: Budget,
        toolchain: str,
        progress: Progress,
    ) -> None:
        self._make, self._finish, self._task = make, finish, task
        self._board, self._budget, self._toolchain, self._progress = board, budget, toolchain, progress
        self._flash = min(budget.flash_bytes, board.flash.bytes) - _ROOM
        self._bytes: dict[float, int] = {}
        self._costs: dict[int, Cost] = {}
        self._beside = 0
        """What the last program's flash took beside the weights."""

    def largest(self, low: float, high: float, start: float) -> Sized:
        """In [low, high]; ``start`` is a size of usual cost."""
        least = self._cost(low)
        if not self._keeps(least):
            return Sized(low, least, keeps=False)
        upper = min(max(start, low), high)
        while upper < high and self._predicted(upper) <= self._flash:
            upper = min(2 * upper, high)
        if self._predicted(upper) <= self._flash and self._keeps(self._cost(upper)):
            return Sized(upper, self._cost(upper), keeps=True)
        by_flash = self._predicted(upper) > self._flash
        for _ in range(_BUILDS):
            size = self._halved(low, upper) if by_flash else _rounded((low + upper) / 2)
            if self._weights(size) == self._weights(low):
                break
            found = self._cost(size)
            if self._keeps(found):
                low = size
                if found.flash_bytes >= CLOSE * self._flash:
                    break
            else:
                upper, by_flash = size, found.flash_bytes > self._flash
        low = self._shortest(low)
        return Sized(low, self._cost(low), keeps=True)

    def _shortest(self, size: float) -> float:
        """The number with the fewest digits that gives a model of the same size."""
        near = (float(f"{size:.{digits}g}") for digits in (1, 2, 3))
        return next((one for one in near if self._weights(one) == self._weights(size)), size)

    def _halved(self, low: float, high: float) -> float:
        """The largest size between the two whose flash is told to be small enough."""
        for _ in range(_HALVINGS):
            middle = _rounded((low + high) / 2)
            if self._predicted(middle) <= self._flash:
                low = middle
            else:
                high = middle
        return low

    def _graph(self, size: float) -> Graph:
        return lower_for(self._task, self._finish(self._make(size)))

    def _weights(self, size: float) -> int:
        """Bytes of all constants."""
        if size not in self._bytes:
            self._bytes[size] = _constants(self._graph(size))
        return self._bytes[size]

    def _predicted(self, size: float) -> int:
        return self._weights(size) + self._beside

    def _keeps(self, found: Cost) -> bool:
        return found.flash_bytes <= self._flash and not found.exceeds(self._budget)

    def _cost(self, size: float) -> Cost:
        """Of sizes with as many weights once."""
        graph = self._graph(size)
        weights = self._bytes[size] = _constants(graph)
        if weights not in self._costs:
            self._progress(f"candidate {len(self._costs) + 1} on {self._board.name}", len(self._costs), _BUILDS)
            self._costs[weights] = cost(graph, self._board, self._toolchain)
            self._beside = self._costs[weights].flash_bytes - weights
        return self._costs[weights]


def _constants(graph: Graph) -> int:
    return sum(bind(graph, op).constant_bytes() for op in graph.ops)


def _rounded(size: float) -> float:
    """To four digits, which people can read and write."""
    return float(f"{size:.4g}")
