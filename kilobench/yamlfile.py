# SPDX-License-Identifier: Apache-2.0
"""YAML files as plain data: boards and suites may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kilobench.contracts import UserError, is_line

_MAX_BYTES = 1 << 16
_MAX_DEPTH = 10
_MERGE = "<<"
_MAX_BITS = 128
"""Of a whole number: one that is longer cannot even be shown."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML has it: every command reads all board files, and it takes a tenth of the time."""
_LINE = "one line of text, of 1000 characters at most and without <, >, |, ` and links"


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a file holds, of safe types only.

    Raises UserError naming the file where it is larger than 64 KiB, refers from one place to another (which lets a small file
    become a large value), names types, is nested deeply, gives a key twice, has a text that no record may hold as a line or a
    number of more than 128 bits, or is no mapping of names; ``what`` it should be is named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UserError(f"{path}: {what} of more than {_MAX_BYTES} bytes")
        text = content.decode("utf-8-sig")
        _check_structure(text, f"{path}: {what}")
        values = _values(text, str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {_reason(error)}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path}: {what} is a mapping of names to values")
    for value in _leaves(values):
        if isinstance(value, str) and not (is_line(value) and value.isprintable()):
            raise UserError(f"{path}: {value!r} is not {_LINE}")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise UserError(f"{path}: a number has more than {_MAX_BITS} bits")
    return values


def _check_structure(text: str, where: str) -> None:
    """Stops at the first event that is too much: PyYAML's time grows with the square of the depth."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "value", None) == _MERGE:
            raise UserError(f"{where} has no anchors, aliases and merges")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise UserError(f"{where} names no types, as {event.tag!r}")
        if depth > _MAX_DEPTH:
            raise UserError(f"{where} is not nested more than {_MAX_DEPTH} deep")


def _values(text: str, where: str) -> Any:
    """Raises UserError naming the line of a key that is given twice: YAML would take the last without a word."""
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        for key in () if node is None else _twice(node):
            raise UserError(f"{where}: line {key.start_mark.line + 1}: key {key.value!r} is given twice")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _twice(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Keys of a mapping that it has already, at any depth."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
    if isinstance(node, yaml.MappingNode):
        known = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in known:
                    yield key
                known.add(key.value)
            yield from _twice(value)


def _reason(error: Exception) -> str:
    """In one line, and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return " ".join(str(error).split())


def _leaves(value: Any) -> Iterator[Any]:
    """Every value, keys too, that is no mapping and no list, at any depth."""
    if isinstance(value, dict):
        for pair in value.items():
            yield from _leaves(list(pair))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
