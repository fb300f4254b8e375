# SPDX-License-Identifier: Apache-2.0
"""Specifications: ``name[key=value,...]``, and recipes of them joined by ``+``; a value may be a specification."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from kilobench.contracts import Contribution, Task, Training, UserError

_TEXT = r"[^\x00-\x1f\x7f<>`|()/\\\[\]]*"
_SPEC = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_.-]*)(?:\[((?:{_TEXT}\[{_TEXT}\])*{_TEXT})\])?")
"""What a record may hold, and a file be called; a value may be a specification itself, without another one in it."""
_MOST = 150
"""Characters."""
_MOST_OF_A_RECIPE = 200
_NUMBERS = {
    int: re.compile(r"[+-]?[0-9]+"),
    float: re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.I),
}
"""As a person writes them: int("1_0") is 10."""
_NOT_FINITE = ("nan", "inf", "infinity")
_LARGEST = 1e12
"""That a number may be, either way: none has a meaning beyond."""
C = TypeVar("C", bound=Contribution)


@dataclass(frozen=True)
class Spec:
    """A name and its parameters as written."""

    name: str
    params: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        inside = ",".join(f"{key}={value}" for key, value in self.params)
        return f"{self.name}[{inside}]" if inside else self.name


def nearest(wrong: str, known: Iterable[str]) -> str:
    """``; nearest is 'x'``, or nothing if nothing is near."""
    near = get_close_matches(wrong, list(known), 1, 0.5)
    return f"; nearest is {near[0]!r}" if near else ""


def parse(text: str) -> Spec:
    """Raises UserError for anything but ``name`` or ``name[key=value,...]``, and for a key that is given twice."""
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{text!r} is not of the form name[key=value,...]")
    params: list[tuple[str, str]] = []
    for part in filter(None, split(match[2] or "", ",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or len(split(value, "=")) > 1:
            raise UserError(f"{text!r}: {part!r} is not of the form key=value")
        if key in dict(params):
            raise UserError(f"{text!r}: {key} is given twice")
        params.append((key, str(parse(value)) if "[" in value else value))
    return Spec(match[1], tuple(params))


def parse_recipe(text: str) -> tuple[Spec, ...]:
    """The methods of a recipe, left to right; none of an empty one, which is the trained network alone."""
    if not text:
        return ()
    if len(text) > _MOST_OF_A_RECIPE:
        raise UserError(f"recipe {text!r} has more than {_MOST_OF_A_RECIPE} characters")
    return tuple(parse(part) for part in split(text, "+"))


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def parameters(cls: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Type and default of every parameter of a contribution, or of another dataclass."""
    hints = get_type_hints(cls)
    return {field.name: (hints[field.name], field.default) for field in dataclasses.fields(cls)}


def build(cls: type[C], spec: Spec) -> C:
    """An instance with the parameters of a specification; raises UserError naming what is wrong and the nearest right."""
    if len(str(spec)) > _MOST:
        raise UserError(f"{spec} has more than {_MOST} characters")
    real = {
        name: float(default) for name, (kind, default) in parameters(cls).items() if kind is float
    }  # an int may be one
    return cls(**real | _values(cls, spec))


def change_training(task: Task, changes: str) -> Training:
    """A task's training, or one that it has by name, with some of its settings changed: ``epochs=40,optimiser=sgd``, ``study``,
    ``study,epochs=40``. Raises UserError like build.
    """
    name, settings = _named_training(changes)
    values = _values(Training, parse(f"training[{settings}]"))
    if {"epochs", "steps"} <= values.keys():
        raise UserError("training: give epochs or steps, not both")
    if "epochs" in values:
        values["steps"] = 0
    return dataclasses.replace(_training(task, name), **values)


def training_changes(task: Task, changes: str) -> str:
    """The shortest text that makes the same of a task's training, of the same name; empty where it is the task's own."""
    name, _ = _named_training(changes)
    base, made = map(dataclasses.asdict, (_training(task, name), change_training(task, changes)))
    differ = {key: value for key, value in made.items() if value != base[key]}
    if "epochs" in differ:
        differ.pop("steps", None)
    texts = (f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in differ.items())
    return ",".join(filter(None, (name, *texts)))


def _named_training(changes: str) -> tuple[str, str]:
    """The name that changes of a training begin with, if they do, and the rest."""
    first, _, rest = changes.partition(",")
    return (first.strip(), rest) if "=" not in first else ("", changes)


def _training(task: Task, name: str) -> Training:
    if name and name not in task.trainings:
        has = f" (it has {', '.join(task.trainings)})" if task.trainings else " (it has only its own)"
        raise UserError(f"{task.name} has no training {name!r}{nearest(name, task.trainings) or has}")
    return task.trainings[name] if name else task.training


def _values(cls: type[Any], spec: Spec) -> dict[str, Any]:
    known = parameters(cls)
    values = {}
    for key, text in spec.params:
        if key not in known:
            has = f" (it has {', '.join(known)})" if known else " (it has none)"
            raise UserError(f"{spec.name} has no parameter {key!r}{nearest(key, known) or has}")
        values[key] = _coerce(f"{spec.name}: {key}", known[key][0], text)
    return values


def _coerce(where: str, kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if text not in choices:
            raise UserError(f"{where} must be one of {', '.join(choices)}, not {text!r}{nearest(text, choices)}")
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise UserError(f"{where} must be true or false, not {text!r}")
        return text == "true"
    if kind is str:
        return text
    if text.lower().lstrip("+-") in _NOT_FINITE:
        raise UserError(f"{where} must be a finite number, not {text!r}")
    if not _NUMBERS[kind].fullmatch(text):
        raise UserError(f"{where} must be of type {kind.__name__}, not {text!r}")
    if abs(float(text)) > _LARGEST:
        raise UserError(f"{where} must be from {-_LARGEST:g} to {_LARGEST:g}, not {text!r}")
    return kind(text)


def canonical(contribution: Contribution) -> str:
    """The shortest specification that gives this instance."""
    params = []
    for field in dataclasses.fields(contribution):  # type: ignore[arg-type]
        value = getattr(contribution, field.name)
        if value != field.default:
            params.append((field.name, _shortest(value)))
    return str(Spec(contribution.name, tuple(params)))


def without_width(spec: str) -> str:
    """A network's specification without its width, in which a budget makes networks differ."""
    parsed = parse(spec)
    return str(Spec(parsed.name, tuple((key, value) for key, value in parsed.params if key != "width")))


def _shortest(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value}".removesuffix(".0") if isinstance(value, float) else f"{value}"
