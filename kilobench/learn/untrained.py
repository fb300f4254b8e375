# SPDX-License-Identifier: Apache-2.0
"""What a recipe makes of a model without any training: of its size, which is what a budget asks for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kilobench.contracts import Budget, CellError, Cost, Method, Progress, Task, UserError, silent
from kilobench.data.arrays import as_pixels
from kilobench.learn.objective import as_on_board
from kilobench.learn.watching import features

_INPUTS = 4
"""Random ones, that stand for training data."""


class Unmeasured(UserError):
    """A method measures candidates, which are nothing before a training."""


class UntrainedJob:
    """A job (kilobench.api.Job) whose trainings leave the model as it is, and whose data is random."""

    def __init__(self, task: Task, budget: Budget | None = None) -> None:
        generator = np.random.default_rng(0)
        self.seed = 0
        self.input_shape = task.network_shape
        noise = generator.uniform(-1, 1, (_INPUTS, *self.input_shape)).astype(np.float32)
        samples = task.kind == "audio" and task.frontend is None
        self.train_x = noise if samples else as_pixels(noise)
        self.train_y = np.arange(_INPUTS) % task.class_count
        self._reconstructs = task.objective == "reconstruction"
        self.steps = 0
        self.budget = budget
        self.progress: Progress = silent
        self.teacher: nn.Module | None = None

    def cost(self, model: nn.Module, board: str = "") -> Cost:
        """Raises Unmeasured: nothing is measured here."""
        raise Unmeasured("a method that measures candidates cannot be sized for a budget")

    @contextmanager
    def held_out(self, share: float) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """What there is."""
        yield self.batches(1)

    def fit(self, make: Callable[[float], nn.Module], low: float, high: float) -> nn.Module:
        """The smallest."""
        return make(low)

    def train(self, model: nn.Module, **_: Any) -> nn.Module:
        """The model as it is."""
        return model.eval()

    def features(self, model: nn.Module, names: Iterable[str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        """Those of the model; none of the teacher, which another network may be that is not here."""
        return nullcontext({}) if model is self.teacher else features(model, names)

    def batches(self, count: int, size: int = 64) -> list[tuple[Tensor, Tensor]]:
        """One batch, however many are asked for."""
        x = torch.from_numpy(self.train_x.copy())
        return [(x, as_on_board(x) if self._reconstructs else torch.from_numpy(self.train_y))]


def finished(model: nn.Module, methods: Sequence[Method], task: Task, budget: Budget | None = None) -> nn.Module:
    """What methods make of a copy of a model, without training; for a ``budget``, one that resizes makes the smallest."""
    model, job = copy.deepcopy(model).eval(), UntrainedJob(task, budget)
    for method in methods:
        model = method.apply(model, job)
        require_module(model, "a method")
        if method.teaches:
            job.teacher = copy.deepcopy(model)
    return model.eval()


def require_module(model: object, maker: str) -> None:
    """Raises CellError for what is no module; ``maker`` has made it."""
    if not isinstance(model, nn.Module):
        raise CellError(f"{maker} returns a model, not {type(model).__name__}")
