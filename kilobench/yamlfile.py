# SPDX-License-Identifier: Apache-2.0
"""YAML files as plain data: boards and suites may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kilobench.contracts import UserError

_MAX_BYTES = 1 << 16
_MAX_DEPTH = 10


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a file holds, of safe types only.

    Raises UserError naming the file where it is larger than 64 KiB, refers from one place to another (which lets a small file
    become a large value), is nested deeply, has a text of several lines, or is no mapping of names; ``what`` it should be is
    named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UserError(f"{path}: {what} of more than {_MAX_BYTES} bytes")
        text = content.decode()
        _check_structure(text, f"{path}: {what}")
        values = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as YAML: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path}: {what} is a mapping")
    for text in _texts(values):
        if not text.isprintable():
            raise UserError(f"{path}: {text!r} is not one line of text")
    return values


def _check_structure(text: str, where: str) -> None:
    """Stops at the first event that is too much: PyYAML's time grows with the square of the depth."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{where} has no anchors and aliases")
        if depth > _MAX_DEPTH:
            raise UserError(f"{where} is not nested more than {_MAX_DEPTH} deep")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value:
            yield from _texts(item)
        if isinstance(value, dict):
            yield from _texts(list(value.values()))
