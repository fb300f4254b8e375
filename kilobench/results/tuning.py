# SPDX-License-Identifier: Apache-2.0
"""The table of ``kilobench tune``: what was tried, by how long it was trained, and which of it is on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kilobench.record import Record, span
from kilobench.results.contest import steps_of
from kilobench.results.stats import estimated, pareto

HEADING = f"{'steps':>6}  {'held out %':>16}  flash KiB  RAM KiB  {'ms':>16}  candidate"
NOTE = "◆ none that was trained for as many steps is better in accuracy, flash, RAM and ms at once"


def table(rungs: Sequence[Mapping[str, Record]]) -> list[str]:
    """Lines of a table, those trained for longest first, and of these the most accurate: each candidate where it got to.

    ``rungs`` hold records by name, in the order in which they are to be told, and what was trained for longer in later ones; only
    what is of one rung is held against each other.
    """
    lines, told = [HEADING], set[str]()
    for rung in reversed(rungs):
        front = _front(rung)
        lines += [_line(name, record, name in front) for name, record in rung.items() if name not in told]
        told |= rung.keys()
    return [*lines, NOTE]


def _front(rung: Mapping[str, Record]) -> set[str]:
    """Names of those that no other beats in everything."""
    costs = [(one.quality.mean, one.flash_bytes, one.ram_bytes, one.latency_ms or math.inf) for one in rung.values()]
    names = list(rung)
    return {names[index] for index in pareto(costs)} if costs else set()


def _line(name: str, record: Record, on_front: bool) -> str:
    found = estimated([record])
    accuracy = f"{100 * found.mean:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"
    latency = "not run" if record.latency_ms is None else f"{record.latency_ms:.1f}{span(record.expected_ms)}"
    flash, ram = record.flash_bytes / 1024, record.ram_bytes / 1024
    mark = "◆" if on_front else " "
    return f"{steps_of(record):>6} {mark}{accuracy:>16}  {flash:9.1f}  {ram:7.1f}  {latency:>16}  {name}"
