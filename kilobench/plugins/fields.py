# SPDX-License-Identifier: Apache-2.0
"""YAML files that describe one thing, as the values of its dataclass: strict, one line for what is wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kilobench.contracts import UserError
from kilobench.plugins.spec import nearest


def typed(
    path: Path, values: Mapping[str, Any], cls: type, also: Iterable[str] = (), within: str = ""
) -> dict[str, Any]:
    """What a file holds (read_mapping), as values of a dataclass's fields; ``also`` are keys that it may have beside them.
    ``within`` goes before keys in messages: where in the file the values stand.

    Raises UserError naming file, key and value where a key is unknown or missing, or a value is not of its field's type, which is
    str, bool, float, a tuple or a mapping of such, or several of these; other types are left to the caller, whole numbers that
    stand alone as well, which have a range (whole).
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields and key not in also:
            raise UserError(f"{path}: no key {within + key!r}{nearest(key, fields)}; there are {', '.join(fields)}")
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not optional:
            raise UserError(f"{path}: key {within + name!r} is missing")
    kinds = get_type_hints(cls)
    for key, value in values.items():
        problem = _problem(value, kinds.get(key, str))
        if problem and value is None:
            raise UserError(f"{path}: {within}{key}: it has no value; give it one, or leave the key out")
        if problem:
            raise UserError(f"{path}: {within}{key}: {value!r} is {problem}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


_PLAIN: Mapping[Any, tuple[Any, str]] = {
    str: (lambda value: isinstance(value, str) and bool(value.strip()), "text"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: type(value) is int, "whole number"),
    float: (lambda value: type(value) in (int, float) and math.isfinite(value), "number"),
}
"""What a value of a type is, and how it is called."""


def _problem(value: Any, kind: Any) -> str:
    """What a value is not, or nothing."""
    outer, inner = get_origin(kind), get_args(kind)
    if value is None:
        return "" if type(None) in inner else "no value"
    if outer in (Union, UnionType):
        problems = [_problem(value, one) for one in inner if one is not type(None)]
        return "" if "" in problems else " and ".join(problems)
    if outer is Literal:
        return "" if value in inner else f"not {' or '.join(map(repr, inner))}"
    if kind in _PLAIN and kind is not int:
        holds, name = _PLAIN[kind]
        return "" if holds(value) else f"not {name}" if kind is bool else f"no {name}"
    if outer not in (tuple, Mapping) or not {*inner} <= {*_PLAIN, ...}:
        return ""
    holds, name = _PLAIN[inner[0]]
    if outer is tuple:
        form, items = "list", value if isinstance(value, list) else [None]
    else:
        form, items = "mapping", [*value, *value.values()] if isinstance(value, dict) else [None]
    quoted = " (numbers go in quotes)" if name == "text" else ""
    return "" if all(map(holds, items)) else f"no {form} of {name}s{quoted}"


def whole(path: Path, key: str, value: Any, low: int, high: int, form: str = "d") -> int:
    """A whole number of a file; raises UserError naming file, key, value and range where it is none or lies outside."""
    if type(value) is not int or not low <= value <= high:
        shown = format(value, form) if type(value) is int else repr(value)
        raise UserError(f"{path}: {key}: {shown} is not a whole number from {low:{form}} to {high:{form}}")
    return value
