"""Board files."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

from kilobench.api import Board, Memory, UserError
from kilobench.plugins.spec import nearest
from kilobench.yamlfile import read_mapping

_TIMING = {
    "cortex-m0": "cortex-m0",
    "cortex-m0plus": "cortex-m0plus",
    "cortex-m3": "cortex-m3",
    "cortex-m33": "cortex-m33",
    "cortex-m4f": "cortex-m4",
    "cortex-m7": "cortex-m7",
}
"""The timing table of each core that can be emulated."""
_ESTIMATED = {"cortex-m33", "cortex-m7"}
"""Tables that no count of silicon was held against."""


def timing_label(board: Board, counter: str = "") -> str:
    """How cycles come about, as records say it: ``emulated cortex-m4``, ``estimated cortex-m7``, ``measured dwt``.

    ``counter``: what a real board says that it counts by.
    """
    if counter:
        return f"measured {counter}"
    return f"{'estimated' if board.timing in _ESTIMATED else 'emulated'} {board.timing}"


def require_emulated(board: Board) -> None:
    """Raises UserError for a board that cannot be emulated."""
    if not board.timing:
        raise UserError(f"{board.name} cannot be emulated ({board.core}); run the real one: --on serial")


def load_board(path: Path) -> Board:
    """Read one board file; raises UserError naming the file and the key that is wrong."""
    values = read_mapping(path, "a board file")
    known = {field.name: field for field in dataclasses.fields(Board)}
    for key in values:
        if key not in known:
            raise UserError(f"{path}: no key {key!r}{nearest(str(key), known)}")
    required = [
        name
        for name, field in known.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise UserError(f"{path}: key {missing[0]!r} is missing")
    try:
        values["flash"] = _memory(values["flash"])
        values["ram"] = tuple(_memory(region) for region in values["ram"])
        values["usb"] = tuple(values.get("usb", ()))
        board = Board(**values)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: flash and ram regions need origin and bytes: {error}") from None
    if problem := _problem(board):
        raise UserError(f"{path}: {problem}")
    return board


def _problem(board: Board) -> str:
    """What is wrong with a board's values, or nothing."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_]*", str(board.name)) is None:
        return f"a board's name is of lower-case letters, digits and underscores, not {board.name!r}"
    if type(board.clock_hz) is not int or not isinstance(board.platformio, dict):
        return "clock_hz is a whole number and platformio a mapping"
    kinds = get_type_hints(Board)
    for key in ("core", "timing", "counter"):
        known = get_args(kinds[key])
        if (value := getattr(board, key)) not in known:
            return f"no {key} {value!r}{nearest(str(value), known)}; there are {', '.join(filter(None, known))}"
    if board.timing and _TIMING.get(board.core) != board.timing:
        pairs = ", ".join(f"{core} with {timing}" for core, timing in _TIMING.items())
        return f"no core {board.core!r} with timing {board.timing!r}; there are {pairs}"
    if not 0 < len(board.ram) <= 2 or not board.clock_hz > 0:
        return "a board has one or two RAM regions and a clock above 0"
    if board.max_clock_hz and board.clock_hz > board.max_clock_hz:
        return f"clock_hz {board.clock_hz} is above max_clock_hz {board.max_clock_hz}"
    for device in board.usb:
        if not re.fullmatch(r"[0-9A-F]{4}:[0-9A-F]{4}", str(device)):
            return f"usb {device!r} is not of the form 0483:374B (in quotes)"
    return _platformio_problem(board)


def _platformio_problem(board: Board) -> str:
    if not board.platformio:
        return "" if board.timing else "a board that is not emulated (timing) needs platformio"
    missing = [key for key in ("platform", "board", "framework") if key not in board.platformio]
    if missing:
        return f"platformio: key {missing[0]!r} is missing"
    if not re.fullmatch(r"[\w-]+@\d+\.\d+\.\d+", board.platformio["platform"]):
        return f"platformio: platform {board.platformio['platform']!r} names no version, as in ststm32@19.6.0"
    if board.platformio["framework"] != "arduino":
        return f"platformio: framework {board.platformio['framework']!r}; the firmware is written for arduino"
    return "" if board.counter else "a board with platformio needs counter"


def _memory(values: dict[str, Any]) -> Memory:
    return Memory(int(values["origin"]), int(values["bytes"]))
