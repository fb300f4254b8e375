# SPDX-License-Identifier: Apache-2.0
"""One stage of a recipe: the network trained, or what a method makes of the model before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from kilobench.contracts import Budget, CellError, Cost, Method, Network, Progress, Split, Task, Training
from kilobench.learn.train import Fit, Teacher, TrainingJob, seed_everything
from kilobench.learn.untrained import require_module
from kilobench.learn.watching import not_finite
from kilobench.lines import reason


@dataclass(frozen=True)
class Settings:
    """What all stages of a recipe have in common."""

    task: Task
    network: Network
    training: Training
    seed: int
    threads: int
    device: str
    """``cpu`` or ``cuda``."""


def untrained(settings: Settings) -> nn.Module:
    """The network as it is before its training. Raises CellError where it is no model of the task."""
    seed_everything(settings.seed, settings.threads)
    task = settings.task
    with _memory():
        model = settings.network.build(task.network_shape, task.outputs, task.sample_rate)
    for path, module in model.named_modules() if isinstance(model, nn.Module) else ():
        if isinstance(module, LazyModuleMixin):
            supported = type(module).__name__.removeprefix("Lazy")
            raise CellError(
                f"{path} ({type(module).__name__}) has no weights before its first input; supported is {supported}"
            )
    check_model(model, task, "a network")
    return model


def drawn_anew(model: nn.Module, settings: Settings) -> nn.Module:
    """The same network with new weights, for a method that trains from scratch what an earlier one has resized.

    Raises CellError naming a layer that cannot be drawn.
    """
    seed_everything(settings.seed, settings.threads)
    for path, module in model.named_modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        elif next(module.parameters(recurse=False), None) is not None:
            raise CellError(f"{path} ({type(module).__name__}) has no reset_parameters to draw its weights anew")
    return model


def make_stage(
    settings: Settings,
    split: Split,
    method: Method | None,
    steps: int,
    before: nn.Module | None,
    teacher: Teacher | None,
    checkpoints: Path,
    costs: Callable[[nn.Module, str], Cost],
    budget: Budget | None,
    fit: Fit | None,
    progress: Progress,
) -> nn.Module:
    """The network trained for ``steps``, for no method; else what the method makes of the model ``before``, which it may change.

    ``checkpoints`` is the folder where trainings that are cut go on from; ``costs`` measures a model on a board, ``fit`` finds
    the largest that keeps ``budget``. Raises CellError where what comes out is no model of the task, or the method has trained
    for another number of steps.
    """
    model = untrained(settings) if before is None else before
    seed_everything(settings.seed, settings.threads)
    job = TrainingJob(
        split,
        settings.task,
        seed=settings.seed,
        progress=progress,
        training=settings.training,
        checkpoints=checkpoints,
        teacher=teacher,
        costs=costs,
        budget=budget,
        fit=fit,
        steps=steps,
        device=settings.device,
    )
    with _memory():
        made = job.train(model, lr=settings.training.lr) if method is None else method.apply(model, job)
    if job.done != steps:
        who = "the first training" if method is None else method.name
        raise CellError(
            f"{who} trained for {job.done} steps, not for the {steps} that it has (shares must add up to 1)"
        )
    check_model(made, settings.task)
    return made


@contextmanager
def _memory() -> Iterator[None]:
    """Where there is not enough, a MemoryError says so; torch has a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise MemoryError from None


def check_model(model: nn.Module, task: Task, maker: str = "a method") -> None:
    """Raises CellError for what is no module, does not run on the task's inputs, has other outputs than the task wants, or
    weights that are not finite or not float32."""
    require_module(model, maker)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise CellError(
                f"{name} of the model is {tensor.dtype}; a model computes in torch.float32".replace("torch.", "")
            )
    if (wrong := not_finite(model)) is not None:
        raise CellError(f"not finite: {wrong} of the model")
    try:
        with torch.no_grad():
            outputs = model.eval()(torch.zeros(2, *task.network_shape))
    except Exception as error:  # whatever code of a plug-in raises
        raise CellError(f"the model does not run on inputs of {(2, *task.network_shape)}: {reason(error)}") from error
    found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if found != (2, task.outputs):
        each = "a logit for each class" if task.objective == "classes" else "a value for each of the input"
        raise CellError(f"for 2 inputs the model returns {found}, not (2, {task.outputs}): {each}")
