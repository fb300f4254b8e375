# SPDX-License-Identifier: Apache-2.0
"""``kilobench advise``: which recipes fit a board and further limits, best first, answered from records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.plugins.spec import nearest
from kilobench.record import NOT_RUN, Record
from kilobench.results.stats import Estimate, Results, places, pooled, results
from kilobench.results.store import Store
from kilobench.results.table import commands

_UNITS = {
    "bytes": {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2},
    "milliseconds": {"us": 1e-3, "ms": 1.0, "s": 1000.0},
}


@dataclass(frozen=True)
class Limits:
    """What a recipe may take beside what the board has; infinite for no limit."""

    latency_ms: float = float("inf")
    flash_bytes: float = float("inf")
    ram_bytes: float = float("inf")

    def __str__(self) -> str:
        parts = [
            f"{text} at most {value / unit:g} {name}"
            for text, value, unit, name in (
                ("latency", self.latency_ms, 1, "ms"),
                ("flash", self.flash_bytes, 1024, "KiB"),
                ("RAM", self.ram_bytes, 1024, "KiB"),
            )
            if value < float("inf")
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Candidate:
    """A recipe as trained and measured: all its folds and seeds; costs are those of the largest and the slowest of them."""

    name: str
    results: Results
    accuracy: Estimate
    flash_bytes: int
    ram_bytes: int
    latency_ms: float
    binds: tuple[str, ...]
    """What it exceeds and by how much; empty if it fits."""
    commands: tuple[str, ...]


def quantity(text: str, kind: str) -> float:
    """``256KiB`` in bytes or ``200ms`` in milliseconds; ``kind`` says which. Raises UserError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*", text)
    units = _UNITS[kind]
    unit = match[2].replace("µ", "u") if match else ""
    if match is None or unit not in units:
        hint = nearest(unit, units) if unit else ""
        raise UserError(f"{text!r} is no number with a unit ({', '.join(units)}){hint}")
    return float(match[1]) * units[unit]


def advise(task: str, board: str, limits: Limits, folder: Path) -> str:
    """The page: what fits, best place first and of a place the one with the least flash; then what binds the others.

    Raises UserError where the folder has no records of the task on this board, naming the boards that it has.
    """
    records = Store(folder).select(task=task, board=board)
    lines = [f"{task} on {board}, {records[0].clock_hz / 1e6:g} MHz" + (f"; {limits}" if str(limits) else "")]
    for link in sorted({record.link for record in records}):
        candidates = _candidates([record for record in records if record.link == link], limits)
        timing = sorted({record.timing for record in records if record.link == link})
        lines += ["", f"{link}; cycles {', '.join(timing)}", *_fitting([c for c in candidates if not c.binds])]
        lines += _binding([c for c in candidates if c.binds])
    return "\n".join(lines)


def _candidates(records: Sequence[Record], limits: Limits) -> list[Candidate]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        key = record.recipe, record.network, record.training_changes, record.toolchain
        groups.setdefault(key, []).append(record)
    told = [len({key[i] for key in groups}) > 1 for i in range(4)]  # what all have in common is left out
    return [
        _candidate(", ".join(part for i, part in enumerate(key) if part and (i == 0 or told[i])), group, limits)
        for key, group in sorted(groups.items())
    ]


def _candidate(name: str, group: list[Record], limits: Limits) -> Candidate:
    flash = max(record.flash_bytes for record in group)
    ram = max(record.ram_bytes for record in group)
    latency = max(1000 * (record.cycles or float("inf")) / record.clock_hz for record in group)
    over = (
        ("flash", max(flash - limits.flash_bytes, *(record.over_flash_bytes for record in group)) / 1024, "KiB"),
        ("RAM", max(ram - limits.ram_bytes, *(record.over_ram_bytes for record in group)) / 1024, "KiB"),
        ("time", latency - limits.latency_ms, "ms"),
    )
    correct = results(group)
    return Candidate(
        name=name,
        results=correct,
        accuracy=pooled(correct),
        flash_bytes=flash,
        ram_bytes=ram,
        latency_ms=latency,
        binds=tuple(f"{what} by {by:.1f} {unit}" for what, by, unit in over if 0 < by < float("inf")),
        commands=commands(group),
    )


def _fitting(candidates: Sequence[Candidate]) -> list[str]:
    """A table, best first."""
    if not candidates:
        return ["nothing fits"]
    placed = zip(places([candidate.results for candidate in candidates]), candidates, strict=True)
    order = sorted(placed, key=lambda pair: (pair[0] or len(candidates) + 1, pair[1].flash_bytes, pair[1].name))
    lines = [_HEADING]
    for place, candidate in order:
        lines += [_row(str(place or "–"), candidate), *_repeated(candidate)]
    note = "place: 1 + how many of these are significantly more accurate, – has not all folds; equal places by flash"
    return [*lines, note]


def _binding(candidates: Sequence[Candidate]) -> list[str]:
    """A table, most accurate first."""
    if not candidates:
        return []
    lines = ["", "what does not fit, and what it exceeds:", _HEADING]
    for candidate in sorted(candidates, key=lambda one: (-one.accuracy.mean, one.name)):
        lines += [f"{_row('', candidate)}: {', '.join(candidate.binds)}", *_repeated(candidate)]
    return lines


_HEADING = f"place  {'accuracy %':>16}  flash KiB  RAM KiB       ms  recipe"


def _row(place: str, candidate: Candidate) -> str:
    mean, low, high = (100 * share for share in vars(candidate.accuracy).values())
    accuracy = f"{mean:.1f} ({low:.1f}-{high:.1f})"
    flash, ram = candidate.flash_bytes / 1024, candidate.ram_bytes / 1024
    latency = f"{candidate.latency_ms:.1f}" if candidate.latency_ms < float("inf") else NOT_RUN
    return f"{place:>5}  {accuracy:>16}  {flash:9.1f}  {ram:7.1f}  {latency:>7}  {candidate.name}"


def _repeated(candidate: Candidate) -> list[str]:
    return [f"       {command}" for command in candidate.commands]
