# SPDX-License-Identifier: Apache-2.0
"""``kilobench advise``: which recipes fit a board and further limits, best first, answered from records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kilobench.contracts import Budget, UserError
from kilobench.record import NOT_RUN, Record, span
from kilobench.results.contest import contest_of, newest_versions, steps_of, unequal
from kilobench.results.elsewhere import built_for, records_on
from kilobench.results.energy import Boards, source, worst_uj
from kilobench.results.stats import Estimate, Results, estimated, places, results
from kilobench.results.store import Store
from kilobench.results.table import commands


@dataclass(frozen=True)
class Candidate:
    """A recipe as trained and measured: all its folds and seeds; costs are those of the largest and the slowest of them."""

    name: str
    results: Results
    accuracy: Estimate
    flash_bytes: int
    ram_bytes: int
    latency_ms: float
    energy_uj: float
    """NaN where it is not known."""
    expected_ms: tuple[float, float] | None
    """Between which a real board is expected to be, of the slowest; None where that is not known of all."""
    binds: tuple[str, ...]
    """What it exceeds and by how much; empty if it fits."""
    commands: tuple[str, ...]


def limits_text(limits: Budget, most_uj: float) -> str:
    """As people read them."""
    parts = [
        f"{text} at most {value / unit:g} {name}"
        for text, value, unit, name in (
            ("latency", limits.latency_ms, 1, "ms"),
            ("flash", limits.flash_bytes, 1024, "KiB"),
            ("RAM", limits.ram_bytes, 1024, "KiB"),
            ("energy", most_uj, 1, "µJ"),
        )
        if value < float("inf")
    ]
    return ", ".join(parts)


def advise(
    limits: Budget, task: str, folder: Path, boards: Boards = MappingProxyType({}), most_uj: float = math.inf
) -> str:
    """The page: what fits, best place first and of a place the one with the least flash; then what binds the others.

    Only what was trained alike is placed together: a table for each effort, training, link and toolchain. Recipes that were not
    run on this board have the costs that its core and its flash give them. Energies, of which an inference may take
    ``most_uj``, are those of a meter in a table that has any, else estimated for ``boards``. Raises UserError where nothing is
    known of the task on this board, naming the boards of which something is, or no energy is known for a limit.
    """
    store = Store(folder)
    records = records_on(limits.board, store.select(task=task), store)
    if most_uj < math.inf and not any(record.energy_uj or source(record, boards) for record in records):
        raise UserError(
            f"--max-energy: no energy is known on {limits.board}: nobody has measured it, and its board file says no "
            f"run_current at {records[0].clock_hz / 1e6:g} MHz (docs/boards.md)"
        )
    said = limits_text(limits, most_uj)
    flash = " with its flash (estimated)" if all(one.cycles_flash for one in records if one.cycles and one.fits) else ""
    lines = [f"{task} on {limits.board}, {records[0].clock_hz / 1e6:g} MHz{flash}" + (f"; {said}" if said else "")]
    newest = newest_versions(records)
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        why = unequal([record], newest)
        terms = () if why else tuple(map(str, _terms(record)))
        groups.setdefault((why, record.link, *terms), []).append(record)
    # Ranked ones first, and of these those that were trained for longest.
    for (why, link, *_), group in sorted(groups.items(), key=lambda item: (item[0][0], -steps_of(item[1][0]), item[0])):
        candidates = _candidates(group, limits, boards, most_uj)
        timing = ", ".join(sorted({record.timing for record in group}))
        changed = f"; {group[0].training_changes}" if group[0].training_changes and not why else ""
        lines += ["", f"{link}; {why or f'{steps_of(group[0])} steps each{changed}'}; cycles {timing}"]
        lines += _about_energy(group, boards)
        lines += _fitting([c for c in candidates if not c.binds], group[0].measure, why)
        lines += _binding([c for c in candidates if c.binds], group[0].measure)
    if others := built_for(records):
        lines += [
            "",
            f"costs are those of the first seed and fold's program, built for {others}: the same core, within 1 %",
        ]
    return "\n".join(lines)


def _terms(record: Record) -> tuple[str | float, ...]:
    """What must be equal to be placed together here, where sizes may differ: all of a contest but network and budget."""
    task, _, training, effort, _, link, toolchain = contest_of(record)
    return task, training, effort, link, toolchain


def _is_measured(records: Sequence[Record]) -> bool:
    """Whether a table's energies are those of a meter."""
    return any(record.energy_uj is not None for record in records)


def _about_energy(records: Sequence[Record], boards: Boards) -> list[str]:
    """How the energies of a table came about."""
    if _is_measured(records):
        return ["µJ of the whole board, measured"]
    told = source(records[0], boards)
    return [f"µJ of the chip, estimated from the data sheet: {told}"] if told else []


def _candidates(records: Sequence[Record], limits: Budget, boards: Boards, most_uj: float) -> list[Candidate]:
    measured = _is_measured(records)
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        key = record.recipe, record.network, record.budget, record.training_changes, record.toolchain
        groups.setdefault(key, []).append(record)
    told = [len({key[i] for key in groups}) > 1 for i in range(5)]  # what all have in common is left out
    return [
        _candidate(
            ", ".join(part for i, part in enumerate(key) if part and (i == 0 or told[i])),
            group,
            limits,
            worst_uj(group, boards, measured),
            most_uj,
        )
        for key, group in sorted(groups.items())
    ]


def _candidate(name: str, group: list[Record], limits: Budget, energy: float, most_uj: float) -> Candidate:
    flash = max(record.flash_bytes for record in group)
    ram = max(record.ram_bytes for record in group)
    latency = max(record.latency_ms or float("inf") for record in group)
    over = (
        ("flash", max(flash - limits.flash_bytes, *(record.over_flash_bytes for record in group)) / 1024, "KiB"),
        ("RAM", max(ram - limits.ram_bytes, *(record.over_ram_bytes for record in group)) / 1024, "KiB"),
        ("time", latency - limits.latency_ms, "ms"),
        ("energy", energy - most_uj, "µJ"),
    )
    unknown = ("energy is not known",) if math.isnan(energy) and most_uj < math.inf else ()
    return Candidate(
        name=name,
        results=results(group),
        accuracy=estimated(group),
        flash_bytes=flash,
        ram_bytes=ram,
        latency_ms=latency,
        energy_uj=energy,
        expected_ms=_expected(group),
        binds=(*(f"{what} by {by:.1f} {unit}" for what, by, unit in over if 0 < by < float("inf")), *unknown),
        commands=commands(group),
    )


def _expected(group: list[Record]) -> tuple[float, float] | None:
    slowest = max(group, key=lambda record: record.latency_ms or math.inf)
    return slowest.expected_ms if all(record.expected_ms for record in group) else None


def _fitting(candidates: Sequence[Candidate], measure: str, why: str) -> list[str]:
    """A table, best first; without places where there is a reason why not."""
    if not candidates:
        return ["nothing fits"]
    found = [None] * len(candidates) if why else places([candidate.results for candidate in candidates])
    placed = zip(found, candidates, strict=True)
    order = sorted(placed, key=lambda pair: (pair[0] or len(candidates) + 1, pair[1].flash_bytes, pair[1].name))
    lines = [_heading(measure, candidates)]
    for place, candidate in order:
        lines += [_row(str(place or "–"), candidate, candidates), *_repeated(candidate)]
    if why:
        longer = ": who was trained for longer may lead for that alone" if "effort" in why else ""
        return [*lines, f"not ranked{longer}"]
    note = "place: 1 + how many of these are significantly more accurate, – has not all folds; equal places by flash"
    return [*lines, note]


def _binding(candidates: Sequence[Candidate], measure: str) -> list[str]:
    """A table, most accurate first."""
    if not candidates:
        return []
    lines = ["", "what does not fit, and what it exceeds:", _heading(measure, candidates)]
    for candidate in sorted(candidates, key=lambda one: (-one.accuracy.mean, one.name)):
        lines += [f"{_row('', candidate, candidates)}: {', '.join(candidate.binds)}", *_repeated(candidate)]
    return lines


def _heading(measure: str, candidates: Sequence[Candidate]) -> str:
    energy = f"  {'µJ':>8}" if _with_energy(candidates) else ""
    return f"place  {measure + ' %':>16}  flash KiB  RAM KiB                ms{energy}  recipe"


def _with_energy(candidates: Sequence[Candidate]) -> bool:
    return not all(math.isnan(candidate.energy_uj) for candidate in candidates)


def _row(place: str, candidate: Candidate, candidates: Sequence[Candidate]) -> str:
    mean, low, high = (100 * share for share in vars(candidate.accuracy).values())
    accuracy = f"{mean:.1f} ({low:.1f}-{high:.1f})"
    flash, ram = candidate.flash_bytes / 1024, candidate.ram_bytes / 1024
    latency = (
        f"{candidate.latency_ms:.1f}{span(candidate.expected_ms)}" if candidate.latency_ms < float("inf") else NOT_RUN
    )
    told = "-" if math.isnan(candidate.energy_uj) else f"{candidate.energy_uj:.1f}"
    energy = f"  {told:>8}" if _with_energy(candidates) else ""
    return f"{place:>5}  {accuracy:>16}  {flash:9.1f}  {ram:7.1f}  {latency:>16}{energy}  {candidate.name}"


def _repeated(candidate: Candidate) -> list[str]:
    return [f"       {command}" for command in candidate.commands]
