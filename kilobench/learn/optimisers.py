# SPDX-License-Identifier: Apache-2.0
"""Optimisers of groups of parameters, and schedules of their learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import torch
from torch import nn

from kilobench.contracts import CellError, Optimiser, Schedule, Training

Factory = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
Factor = Callable[[int, int], float]
_ADAM: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def groups(
    model: nn.Module, given: Iterable[Mapping[str, Any]], lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups of parameters as torch.optim takes them: what is in none of those ``given`` first, then these.

    Each has a learning rate and a weight decay. Raises CellError for a parameter that is in two of them, and what is none.
    """
    usual = {"lr": lr, "weight_decay": weight_decay}
    own = [usual | dict(group) | {"params": list(group.get("params", ()))} for group in given]
    taken = [parameter for group in own for parameter in group["params"]]
    if not all(isinstance(parameter, nn.Parameter) for parameter in taken):
        raise CellError("parameters: a group's params are a list of torch.nn.Parameter")
    if len(once := set(taken)) < len(taken):
        raise CellError("parameters: one is in two groups")
    rest = [parameter for parameter in model.parameters() if parameter not in once]
    return [group for group in ({"params": rest} | usual, *own) if group["params"]]


def make_optimiser(training: Training, chosen: Optimiser | Factory | None, of: list[dict[str, Any]]) -> Any:
    """The optimiser of some groups: the one that is ``chosen``, or that of a training.

    Raises CellError for a name that is none, and for a function that makes something else.
    """
    if callable(chosen):
        if not isinstance(made := chosen(of), torch.optim.Optimizer):
            raise CellError(f"optimiser: the function returned {type(made).__name__}, not a torch.optim.Optimizer")
        return made
    name = _one_of("optimiser", chosen or training.optimiser, get_args(Optimiser))
    if name == "sgd":
        return torch.optim.SGD(of, momentum=0.9, nesterov=True, fused=True)
    return _ADAM[name](of, fused=True)


def make_factor(training: Training, chosen: Schedule | Factor | None) -> Factor:
    """The factor on learning rates by step and their number: the one that is ``chosen``, or that of a training.

    Raises CellError for a name that is none.
    """
    if callable(chosen):
        return chosen
    name = _one_of("schedule", chosen or training.schedule, get_args(Schedule))
    return partial(schedule, replace(training, schedule=name))


def _one_of(what: str, name: str, known: tuple[str, ...]) -> Any:
    if name not in known:
        raise CellError(f"{what}: it is one of {', '.join(known)}, or a function, not {name!r}")
    return name


def schedule(training: Training, step: int, steps: int) -> float:
    """Factor on the learning rate at a step, as a training says."""
    warm_up = max(1, int(training.warm_up * steps)) if training.warm_up else 0
    if step < warm_up:
        return (step + 1) / warm_up if training.warm_up_rate == "rising" else 0.1
    if training.schedule == "step":
        return float(0.1 ** sum(step >= percent / 100 * steps for percent in training.dropping))
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
