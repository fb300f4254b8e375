"""Board files."""

from __future__ import annotations

import dataclasses
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kilobench.api import Board, Memory, UserError
from kilobench.yamlfile import read_mapping

_CORES = {
    "cortex-m0plus": "cortex-m0plus",
    "cortex-m3": "cortex-m3",
    "cortex-m33": "cortex-m33",
    "cortex-m4f": "cortex-m4",
    "cortex-m7": "cortex-m7",
}
"""Cores and the timing table of each."""
_ESTIMATED = {"cortex-m33", "cortex-m7"}
"""Tables that no count of silicon was held against."""


def timing_label(board: Board) -> str:
    """How the board's cycles come about, as records say it: ``emulated cortex-m4``, ``estimated cortex-m7``."""
    return f"{'estimated' if board.timing in _ESTIMATED else 'emulated'} {board.timing}"


def load_board(path: Path) -> Board:
    """Read one board file; raises UserError naming the file and the key that is wrong."""
    values = read_mapping(path, "a board file")
    known = {field.name: field for field in dataclasses.fields(Board)}
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            raise UserError(f"{path}: no key {key!r}" + (f"; nearest is {near[0]!r}" if near else ""))
    missing = [
        name for name, field in known.items() if field.default_factory is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise UserError(f"{path}: key {missing[0]!r} is missing")
    try:
        values["flash"] = _memory(values["flash"])
        values["ram"] = tuple(_memory(region) for region in values["ram"])
        board = Board(**values)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: flash and ram regions need origin and bytes: {error}") from None
    if re.fullmatch(r"[a-z0-9][a-z0-9_]*", str(board.name)) is None:
        raise UserError(f"{path}: a board's name is of lower-case letters, digits and underscores, not {board.name!r}")
    if type(board.clock_hz) is not int or not isinstance(board.platformio, dict):
        raise UserError(f"{path}: clock_hz is a whole number and platformio a mapping")
    if _CORES.get(str(board.core)) != board.timing:
        pairs = ", ".join(f"{core} with {timing}" for core, timing in _CORES.items())
        raise UserError(f"{path}: no core {board.core!r} with timing {board.timing!r}; there are {pairs}")
    if not 0 < len(board.ram) <= 2 or not board.clock_hz > 0:
        raise UserError(f"{path}: a board has one or two RAM regions and a clock above 0")
    return board


def _memory(values: dict[str, Any]) -> Memory:
    return Memory(int(values["origin"]), int(values["bytes"]))
