# SPDX-License-Identifier: Apache-2.0
"""Budgets as written: ``flash=64KiB,ram=32KiB,latency=100ms,board=nucleo_l476rg``."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches

from kilobench.contracts import Budget, UserError

UNITS = {
    "bytes": {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2},
    "milliseconds": {"us": 1e-3, "ms": 1.0, "s": 1000.0},
    "microjoules": {"nJ": 1e-3, "uJ": 1.0, "mJ": 1e3, "J": 1e6},
}
_LIMITS = {
    "flash": ("flash_bytes", "bytes"),
    "ram": ("ram_bytes", "bytes"),
    "latency": ("latency_ms", "milliseconds"),
}
"""Keys, the fields of Budget, and what they are in."""
_MOST = 999_999_999
"""That an amount may be in the unit that it is shown in."""


def quantity(text: str, kind: str) -> float:
    """``256KiB`` in bytes, ``200ms`` in milliseconds or ``500uJ`` in microjoules; ``kind`` says which.

    Up to nine digits may stand before the point. Raises UserError for anything else.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([A-Za-zµ]*)\s*", text)
    units = UNITS[kind]
    unit = match[2].replace("µ", "u") if match else ""
    value = float(match[1]) * units[unit] if match and unit in units else 0.0
    if not min(units.values()) / 1000 <= value < _MOST * max(units.values()):
        lower = {known.lower(): known for known in units}
        near = get_close_matches(unit.lower(), lower, 1, 0.5)
        hint = f"; nearest is {lower[near[0]]!r}" if near and unit not in units else ""
        raise UserError(f"{text!r} is no positive number with a unit ({', '.join(units)}){hint}")
    return value


def parse_budget(text: str, board: str) -> Budget:
    """A budget as written, a size alone being one of flash; ``board`` is the one that it is on where it names none.

    Raises UserError naming what is wrong with it.
    """
    limits: dict[str, float] = {}
    on, given = board, set[str]()
    for part in text.split(",") if "=" in text else (f"flash={text}",):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in (*_LIMITS, "board"):
            raise UserError(f"budget {text!r}: {part!r} is not of the form flash=, ram=, latency= or board=")
        if key in given:
            raise UserError(f"budget {text!r} says {key} twice")
        given.add(key)
        if key == "board":
            on = value
        else:
            name, kind = _LIMITS[key]
            limits[name] = quantity(value, kind)
    return Budget(on, **limits)


def budget_text(budget: Budget) -> str:
    """The one way to write it: limits in this order, in the largest unit that needs at most three decimals; its board last."""
    parts = [
        f"{key}={_shown(value, kind)}"
        for key, (name, kind) in _LIMITS.items()
        if math.isfinite(value := getattr(budget, name))
    ]
    return ",".join([*parts, f"board={budget.board}"])


def _shown(value: float, kind: str) -> str:
    units = sorted((one for one in UNITS[kind].items() if value / one[1] <= _MOST), key=lambda one: -one[1])
    short = (one for one in units if value >= one[1] and round(value / one[1], 3) * one[1] == value)
    unit, size = next(short, units[-1])
    rounded = round(value / size, 3)
    if rounded * size != value:  # which may be a round number of a larger unit
        return _shown(rounded * size, kind)
    return f"{rounded:.3f}".rstrip("0").rstrip(".") + unit
