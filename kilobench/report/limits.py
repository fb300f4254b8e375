# SPDX-License-Identifier: Apache-2.0
"""Limits of flash, RAM and time, and what exceeds them."""

from __future__ import annotations

import math

from kilobench.contracts import Budget, UserError
from kilobench.plugins.budget import parse_budget
from kilobench.record import NOT_RUN
from kilobench.report.facts import Facts


def parse_limits(text: str) -> Budget:
    """``flash=96KiB,ram=64KiB,latency=100ms``. Raises UserError naming what is wrong."""
    limits = parse_budget(text, "")
    if limits.board:
        raise UserError(f"limits {text!r}: a board is named by --board")
    return limits


def exceeded(facts: Facts, limits: Budget) -> list[str]:
    """A line for every limit that a board exceeds."""
    lines = []
    for board in facts.boards:
        found = (
            ("flash", board.flash_bytes / 1024, limits.flash_bytes / 1024, "KiB"),
            ("RAM", board.ram_bytes / 1024, limits.ram_bytes / 1024, "KiB"),
            ("latency", math.inf if board.latency_ms is None else board.latency_ms, limits.latency_ms, "ms"),
        )
        for what, value, most, unit in found:
            told = (
                f"of {value:.2f} {unit} is {value - most:.2f} {unit} over"
                if math.isfinite(value)
                else NOT_RUN + ", over"
            )
            if value > most:
                lines.append(f"{board.board}: {what} {told} the limit of {most:.2f} {unit}")
    return lines
