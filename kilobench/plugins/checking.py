# SPDX-License-Identifier: Apache-2.0
"""What a class must be to be a contribution, checked when it is found and before anything of it is run."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from kilobench.contracts import Contribution, Frontend, Method, Network, Task, Training, is_line
from kilobench.plugins.spec import parameters

BASES: dict[str, type[Contribution]] = {"tasks": Task, "networks": Network, "methods": Method}
"""Of the kinds that are classes."""
_OWN = {"tasks": ("class_count", "input_shape", "load"), "networks": ("build",), "methods": ("apply",)}
"""What each contribution of a kind defines itself."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
C = TypeVar("C", bound=Contribution)
_PLAIN = (bool, int, float, str)


def is_name(value: object) -> bool:
    """Whether a contribution may be called so."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def problem(kind: str, cls: type[Contribution]) -> str:
    """Why a class cannot be a contribution of a kind; empty where it can. May raise what code of the class raises."""
    if not is_name(cls.name):
        return f"name {cls.name!r} is not of a-z, 0-9, - and _, 60 at most"
    if inspect.isabstract(cls):
        return f"it is abstract: it does not define {min(vars(cls)['__abstractmethods__'])}"
    if "__dataclass_fields__" not in vars(cls):
        return "its __init_subclass__ does not call that of kilobench.api"
    base = BASES[kind]
    if missing := [name for name in _OWN[kind] if getattr(cls, name) is getattr(base, name)]:
        return f"it does not define {missing[0]}"
    return _wrong_attribute(base, cls) or _wrong_parameter(cls)


def require_promised(contribution: C) -> C:
    """The same, once it has said all that a plan asks it.

    Raises TypeError naming what is of another type, and whatever its code raises.
    """
    changes = contribution.changes
    lines = isinstance(changes, tuple) and all(is_line(change) for change in changes)
    _require(lines, "changes", "a tuple of lines", changes)
    if isinstance(contribution, Task):
        values = (contribution.class_count, contribution.folds)
        _require(
            all(type(value) is int and value > 0 for value in values), "class_count and folds", "positive int", values
        )
        shape = contribution.input_shape
        whole = isinstance(shape, tuple) and len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)
        _require(whole, "input_shape", "three positive int", shape)
        _require(isinstance(contribution.training, Training), "training", "a Training", contribution.training)
        others = contribution.trainings
        named = isinstance(others, Mapping) and all(
            is_name(key) and isinstance(others[key], Training) for key in others
        )
        _require(named, "trainings", "Trainings by name", others)
        _check_frontend(contribution)
    if isinstance(contribution, Method):
        boards = contribution.boards
        named = isinstance(boards, tuple) and all(isinstance(name, str) for name in boards)
        _require(named, "boards", "a tuple of names", boards)
        taught_by = contribution.taught_by
        _require(isinstance(taught_by, str), "taught_by", "a network's specification", taught_by)
        effort = contribution.effort
        weight = type(effort) in (int, float) and 0 <= effort < math.inf
        _require(weight, "effort", "a finite number from 0 up", effort)
        for name in ("from_scratch", "resizes"):
            value = getattr(contribution, name)
            _require(type(value) is bool, name, "bool", value)
    return contribution


def _check_frontend(task: Task) -> None:
    frontend = task.frontend
    _require(frontend is None or isinstance(frontend, Frontend), "frontend", "a Frontend or None", frontend)
    if frontend is not None:
        suits = (task.kind, task.objective, task.input_shape[:2]) == ("audio", "classes", (1, 1))
        _require(
            suits, "the task of a frontend", "of sound, with classes", (task.kind, task.objective, task.input_shape)
        )
        _require(frontend.rate == task.sample_rate, "the rate of frontend", f"{task.sample_rate}", frontend.rate)
        _require(frontend.frame <= task.input_shape[2], "frame of frontend", "within the input", frontend.frame)


def _require(holds: bool, what: str, expected: str, found: object) -> None:
    if not holds:
        raise TypeError(f"{what} must be {expected}, not {found!r}")


def _wrong_attribute(base: type[Contribution], cls: type[Contribution]) -> str:
    """An attribute of the class that is not of the type that the contract says, or is missing."""
    for name, hint in get_type_hints(base).items():
        kind = get_args(hint)[0] if get_origin(hint) is ClassVar else None
        if kind not in _PLAIN and get_origin(kind) is not Literal:
            continue
        value = getattr(cls, name, MISSING)
        if value is MISSING:
            return f"it does not define {name}"
        if not isinstance(value, property) and not _fits(value, kind):
            return f"{name} must be {_described(kind)}, not {value!r}"
    return ""


def _wrong_parameter(cls: type[Contribution]) -> str:
    """A parameter that a specification cannot give, or that has no fitting default."""
    for name, (kind, default) in parameters(cls).items():
        literal = get_origin(kind) is Literal and all(type(value) is str for value in get_args(kind))
        if kind not in _PLAIN and not literal:
            return f"parameter {name} is {_described(kind)}, not bool, int, float, str or a Literal of strings"
        if default is MISSING:
            return f"parameter {name} has no default"
        if not _fits(default, kind):
            return f"the default of parameter {name} must be {_described(kind)}, not {default!r}"
    return ""


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return type(value) is kind or (kind is float and type(value) is int)


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
