# SPDX-License-Identifier: Apache-2.0
"""YAML files that describe one thing, as the values of its dataclass: strict, one line for what is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from kilobench.contracts import UserError
from kilobench.plugins.spec import nearest
from kilobench.yamlfile import read_mapping

_TEXTS = (tuple[str, ...], Mapping[str, str])


def read_fields(path: Path, what: str, cls: type, also: Iterable[str] = ()) -> dict[str, Any]:
    """The values in a file by the names of a dataclass's fields; ``also`` are keys that it may have beside them.

    Raises UserError naming file and key where a key is unknown or missing, or a text, a truth value, a list of texts or a
    mapping of texts is none. Values of other types are left to the caller.
    """
    values = read_mapping(path, what)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields and key not in also:
            raise UserError(f"{path}: no key {key!r}{nearest(key, fields)}")
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not optional:
            raise UserError(f"{path}: key {name!r} is missing")
    kinds = get_type_hints(cls)
    for key in values.keys() & fields.keys():
        if problem := _problem(values[key], kinds[key]):
            raise UserError(f"{path}: {key}: {values[key]!r} is {problem}")
    return {key: tuple(value) if kinds.get(key) == tuple[str, ...] else value for key, value in values.items()}


def _problem(value: Any, kind: Any) -> str:
    """What a value is not, or nothing."""
    if kind is str:
        return "" if isinstance(value, str) and value else "no text"
    if kind is bool:
        return "" if isinstance(value, bool) else "neither true nor false"
    if kind not in _TEXTS:
        return ""
    if not isinstance(value, list if kind == _TEXTS[0] else dict):
        return "no list of texts" if kind == _TEXTS[0] else "no mapping of texts"
    texts = value if isinstance(value, list) else [*value, *value.values()]
    return "" if all(isinstance(text, str) for text in texts) else "not of texts alone (write numbers in quotes)"


def whole(path: Path, key: str, value: Any, low: int, high: int, form: str = "d") -> int:
    """A whole number of a file; raises UserError naming file, key, value and range where it is none or lies outside."""
    if type(value) is not int or not low <= value <= high:
        shown = format(value, form) if type(value) is int else repr(value)
        raise UserError(f"{path}: {key}: {shown} is not a whole number from {low:{form}} to {high:{form}}")
    return value
