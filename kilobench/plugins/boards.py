# SPDX-License-Identifier: Apache-2.0
"""Board files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from kilobench.boards import Board, Cache, Core, FlashTiming, Memory, RunCurrent
from kilobench.contracts import UserError
from kilobench.plugins.fields import typed, whole
from kilobench.plugins.spec import nearest
from kilobench.yamlfile import read_mapping

PERIPHERALS = {"the emulator's UART": Memory(0x4FFFF000, 0x1000), "the system space": Memory(0xE0000000, 0x20000000)}
"""Where the emulator has no room for memory."""
ALIGNMENT = 0x1000
"""Of a region's origin: the emulator maps pages of 4 KiB."""
_BYTES = 1 << 10, 1 << 29
"""Of one region, a multiple of the first. Half a gigabyte is what Armv7-M sets apart for code, and for internal RAM."""
_MOST_HZ = (1 << 32) - 1
_NUMBERS = {"clock_hz": (1_000_000, _MOST_HZ), "max_clock_hz": (0, _MOST_HZ), "flash_wait_states": (0, 100)}
_MOST_WAITS, _MOST_LINE, _MOST_LINES = 1000, 256, 4096
"""Of a flash: wait states, bytes of a line, and lines of a cache (block_hook.c)."""
_MOST_MA, _MOST_VOLTS = 10_000, 60
"""Of a chip that computes."""
_CACHES = ("instruction_cache", "data_cache", "unified_cache")
_OF_THE_CORE = ("timing", "counter")
"""What board files said before cores had files of their own; it must be what the core's file says."""


def require_emulated(board: Board) -> None:
    """Raises UserError for a board that cannot be emulated."""
    if not board.core.timing:
        raise UserError(f"{board.name} cannot be emulated ({board.core.name}); run the real one: --on serial")


def load_board(path: Path, cores: Mapping[str, Core]) -> Board:
    """Read one board file; raises UserError naming the file, the key that is wrong, its value and what it may be.

    ``cores`` are those that there are, by name.
    """
    values = typed(path, read_mapping(path, "a board file"), Board, _OF_THE_CORE)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,59}", values["name"]):
        named = "a board's name is of lower-case letters, digits and underscores, 60 at most"
        raise UserError(f"{path}: name: {named}, not {values['name']!r}")
    for key, (low, high) in _NUMBERS.items():
        if values.get(key) is not None or key == "clock_hz":
            whole(path, key, values[key], low, high)
    values["flash"] = _memory(path, "flash", values["flash"])
    if not isinstance(values["ram"], tuple) or not 1 <= len(values["ram"]) <= 2:
        raise UserError(f"{path}: ram: {values['ram']!r} is no list of one or two regions")
    values["ram"] = tuple(_memory(path, f"ram[{i}]", region) for i, region in enumerate(values["ram"]))
    if "flash_timing" in values:
        values["flash_timing"] = _flash_timing(path, values["flash_timing"])
    if "run_current" in values:
        values["run_current"] = _run_current(path, values["run_current"])
    if str(values["core"]) not in cores:
        known = ", ".join(sorted(cores))
        raise UserError(
            f"{path}: core: no core {values['core']!r}{nearest(str(values['core']), cores)}; there are {known}"
        )
    values["core"] = core = cores[str(values["core"])]
    for key in _OF_THE_CORE:
        if (said := values.pop(key, getattr(core, key))) != getattr(core, key):
            raise UserError(
                f"{path}: {key}: {said!r} is not that of {core.name}, {getattr(core, key)!r}; the key can go"
            )
    board = Board(**values)
    if problem := _overlap(board) or _problem(board):
        raise UserError(f"{path}: {problem}")
    return board


def _memory(path: Path, key: str, region: Any) -> Memory:
    """A region that lies where memory can be."""
    if not isinstance(region, dict) or region.keys() != {"origin", "bytes"}:
        raise UserError(f"{path}: {key}: {region!r} is not of the form {{origin: 0x20000000, bytes: 0x18000}}")
    origin = whole(path, f"{key}.origin", region["origin"], 0, (1 << 32) - ALIGNMENT, "#x")
    if origin % ALIGNMENT:
        raise UserError(f"{path}: {key}.origin: {origin:#x} is no multiple of {ALIGNMENT:#x}")
    size = whole(path, f"{key}.bytes", region["bytes"], *_BYTES)
    if size % _BYTES[0]:
        raise UserError(f"{path}: {key}.bytes: {size} is no multiple of {_BYTES[0]}")
    return Memory(origin, size)


def _flash_timing(path: Path, said: Any) -> FlashTiming:
    """A model of the flash whose numbers can be."""
    if not isinstance(said, dict):
        raise UserError(
            f"{path}: flash_timing: {said!r} is not of the form {{wait_states: 4, read_bytes: 8, reference: ...}}"
        )
    values = typed(path, said, FlashTiming, within="flash_timing.")
    for key in ("wait_states", "data_wait_states"):
        if values.get(key) is not None or key == "wait_states":
            whole(path, f"flash_timing.{key}", values[key], 0, _MOST_WAITS)
    whole(path, "flash_timing.error", values.get("error", FlashTiming.error), 1, 100)
    _power(path, "flash_timing.read_bytes", values["read_bytes"], _MOST_LINE)
    for key in _CACHES:
        if values.get(key) is not None:
            values[key] = _cache(path, f"flash_timing.{key}", values[key])
    timing = FlashTiming(**values)
    if timing.unified_cache and (timing.instruction_cache or timing.data_cache):
        raise UserError(f"{path}: flash_timing: unified_cache is in place of instruction_cache and data_cache")
    for key in _CACHES:
        if (cache := getattr(timing, key)) and cache.line < timing.read_bytes:
            raise UserError(
                f"{path}: flash_timing.{key}.line: {cache.line} is less than read_bytes, {timing.read_bytes}"
            )
    return timing


def _run_current(path: Path, said: Any) -> RunCurrent:
    """A current that a chip can take, with where it is written."""
    if not isinstance(said, dict):
        raise UserError(f"{path}: run_current: {said!r} is not of the form {{ma: 10.2, volts: 3.0, reference: ...}}")
    current = RunCurrent(**typed(path, said, RunCurrent, within="run_current."))
    for key, value, most in (("ma", current.ma, _MOST_MA), ("volts", current.volts, _MOST_VOLTS)):
        if not 0 < value <= most:
            raise UserError(f"{path}: run_current.{key}: {value:g} is not a number above 0 and up to {most}")
    return current


def _cache(path: Path, key: str, said: Any) -> Cache:
    if not isinstance(said, dict) or said.keys() != {"sets", "ways", "line"}:
        raise UserError(f"{path}: {key}: {said!r} is not of the form {{sets: 32, ways: 4, line: 8}}")
    cache = Cache(*(_power(path, f"{key}.{name}", said[name], _MOST_LINES) for name in ("sets", "ways", "line")))
    if cache.sets * cache.ways > _MOST_LINES:
        raise UserError(f"{path}: {key}: {cache.sets * cache.ways} lines are more than {_MOST_LINES}")
    return cache


def _power(path: Path, key: str, value: Any, most: int) -> int:
    """A power of two."""
    if (number := whole(path, key, value, 1, most)) & (number - 1):
        raise UserError(f"{path}: {key}: {number} is no power of two")
    return number


def _overlap(board: Board) -> str:
    """Which two regions, or region and peripheral, share addresses; or nothing."""
    regions = {"flash": board.flash, **{f"ram[{i}]": region for i, region in enumerate(board.ram)}}
    for (key, one), (name, other) in combinations((regions | PERIPHERALS).items(), 2):
        if one.origin < other.origin + other.bytes and other.origin < one.origin + one.bytes:
            first, second = (f"{m.origin:#x} to {m.origin + m.bytes - 1:#x}" for m in (one, other))
            return f"{key}: {first} overlaps {name}, {second}"
    return ""


def _problem(board: Board) -> str:
    """What is wrong with a board's other values, or nothing."""
    if board.max_clock_hz and board.clock_hz > board.max_clock_hz:
        return f"clock_hz: {board.clock_hz} is above max_clock_hz, {board.max_clock_hz}"
    for device in board.usb:
        if not re.fullmatch(r"[0-9A-F]{4}:[0-9A-F]{4}", device):
            return f"usb: {device!r} is not of the form 0483:374B (in quotes)"
    if not board.platformio:
        return "" if board.core.timing else f"a board that is not emulated ({board.core.name}) needs platformio"
    for key, value in board.platformio.items():
        if not re.fullmatch(r"[A-Za-z0-9_.]+", key) or not value:
            return f"platformio: {key!r}: {value!r} is no option of a project, as board_build.f_cpu: 125000000L"
    missing = [key for key in ("platform", "board", "framework") if key not in board.platformio]
    if missing:
        return f"platformio: key {missing[0]!r} is missing"
    if not re.fullmatch(r"[\w-]+@\d+\.\d+\.\d+", board.platformio["platform"]):
        return f"platformio: platform {board.platformio['platform']!r} names no version, as in ststm32@19.6.0"
    if board.platformio["framework"] != "arduino":
        return f"platformio: framework {board.platformio['framework']!r}; the firmware is written for arduino"
    return ""
