# SPDX-License-Identifier: Apache-2.0
"""What a board may say: the fields of its replies with their ranges, and how words of others are shown in messages.

A checksum tells damage, not truth: what comes with a right one may still be anything, so nothing is used that was not read here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_CYCLES = (1 << 40) - 1
"""Of one inference, and of all layers together: as records have room for."""
_MOST_SHOWN = 60
_MOST_FIELDS = 40
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_CHECKED = re.compile(r"m-([a-z]{1,20})-\[(0|[1-9][0-9]{0,8})((?:,.*)?)\]\*([0-9a-f]{8})", re.DOTALL)

Reader = Callable[[str], Any]
"""From a field's text to its value; raises ValueError with what it may be."""


class Wrong(Exception):
    """A board has said, with a right checksum, what none of ours can say; asking again is of no use."""


@dataclass(frozen=True)
class Identity:
    """What firmware says of itself and of the board that it runs on."""

    board: str
    model: str
    """Digest of the graph."""
    clock_hz: int
    """As the board's registers have it."""
    conditions: dict[str, str]
    """What else cycles depend on, as the board reads it back: counter, flash wait states, caches, ..."""


def shown(text: str) -> str:
    """Words of others in a message: in quotes, ASCII without control characters, the first 60 characters."""
    return ascii(text) if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]!a}... ({len(text)} characters)"


def plain(text: str, most: int = _MOST_SHOWN) -> str:
    """As ``shown``, for names: without quotes, and a question mark for what cannot be printed."""
    line = "".join(char if char.isprintable() else "?" for char in text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def whole(low: int, high: int) -> Reader:
    """A decimal number as firmware writes it: digits alone, no zeros before them."""

    def read(text: str) -> int:
        if _WHOLE.fullmatch(text) is None or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _like(pattern: str, what: str) -> Reader:
    def read(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(what)
        return text

    return read


def _crc(text: str) -> int:
    return int(_EIGHT_DIGITS(text), 16)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(_PAIRS(text))


_EIGHT_DIGITS = _like("[0-9a-f]{8}", "8 hex digits")
_PAIRS = _like("([0-9a-f]{2})+", "pairs of hex digits")
_KEY = _like("[a-z][a-z0-9_]{0,39}", "a key of up to 40 lower-case letters, digits and _")
_VALUE = _like("[A-Za-z0-9_.+-]{1,40}", "up to 40 letters, digits and _.+-")

REPLIES: Mapping[str, Mapping[str, Reader]] = {
    "check": {"input": _crc},
    "cycles": {"input": _crc, "cycles": whole(0, MOST_CYCLES)},
    "output": {"input": _crc, "output": _bytes},
    "layer": {"index": whole(0, 99_999), "operator": whole(0, 9999), "cycles": whole(0, MOST_CYCLES), "made": _crc},
    "layers": {"input": _crc, "count": whole(0, 100_000)},
    "flash": {"setting": whole(0, 127)},
    "stack": {"bytes": whole(0, (1 << 32) - 1), "ran": whole(0, 3)},
}
"""The fields of our own replies, in order, without the number of the question."""
_IDENTITY: Mapping[str, Reader] = {
    "protocol": whole(0, 9999),
    "board": _like("[a-z0-9][a-z0-9_]{0,99}", "a name of lower-case letters, digits and _"),
    "model": _like("[0-9a-z]{1,64}", "a digest"),
    "clock_hz": whole(1, (1 << 32) - 1),
    "counter": _VALUE,
}
"""What an identity must have; any other field is a condition."""


def parse(line: str) -> tuple[str, int, list[str]] | None:
    """Name, number of the question and fields of a reply of our own; None unless its CRC-32 is right."""
    match = _CHECKED.fullmatch(line)
    if match is None or zlib.crc32(line[: match.start(4) - 1].encode("latin-1")) != int(match[4], 16):
        return None
    return match[1], int(match[2]), match[3].split(",")[1:]


def fields(name: str, texts: list[str]) -> list[Any]:
    """The values of the fields of a reply; raises Wrong, naming the first field that is not what it may be."""
    kinds = REPLIES[name]
    if len(texts) != len(kinds):
        raise Wrong(f"m-{name} has {len(texts)} fields, not {', '.join(kinds)}")
    return [_value(field, text, kind) for (field, kind), text in zip(kinds.items(), texts, strict=True)]


def identity(texts: list[str], protocol: int) -> Identity:
    """From the fields ``key=value`` of an identity; raises Wrong, naming the field, as ``fields`` does."""
    if len(texts) > _MOST_FIELDS:
        raise Wrong(f"m-identity has {len(texts)} fields; {_MOST_FIELDS} are allowed")
    values: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        _value("a field's key", key, _KEY)
        if key in values:
            raise Wrong(f"{key} is said twice")
        values[key] = _value(key, value, _IDENTITY.get(key, _VALUE))
    if (spoken := values.pop("protocol", protocol)) != protocol:
        raise Wrong(f"the firmware speaks another version of the protocol ({spoken}, not {protocol})")
    if missing := [key for key in _IDENTITY if key not in values and key != "protocol"]:
        raise Wrong(f"{missing[0]} is missing")
    return Identity(values.pop("board"), values.pop("model"), values.pop("clock_hz"), values)


def _value(field: str, text: str, kind: Reader) -> Any:
    try:
        return kind(text)
    except ValueError as wanted:
        raise Wrong(f"{field} is {shown(text)}, not {wanted}") from None
