# SPDX-License-Identifier: Apache-2.0
"""``kilobench remeasure``: the records of a leaderboard made again, so that all of them are of one engine."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kilobench.commands.steps import done, executor_for
from kilobench.mlperf.reports import SUITE
from kilobench.plugins.registry import Registry
from kilobench.progress import OverallProgress, clock
from kilobench.record import Record
from kilobench.results.contest import excesses
from kilobench.results.costing import Costing, costings, outdated
from kilobench.results.renew import Renewal, Renewer, renewable, renewals, renewer
from kilobench.results.store import Store
from kilobench.runs.executors import Failed, Finished
from kilobench.screen import show

Pair = tuple[Record, Record]
"""A record before and after."""
_UNITS = {"flash": "bytes of flash", "RAM": "bytes of RAM", "time": "ms"}
"""Of what a record exceeds."""


@dataclass
class Plan:
    """The chosen records of a leaderboard, and what there is to do for them."""

    store: Store
    records: list[Record]
    """That can be made again."""
    others: int
    """That cannot: claimed, or of a real board."""
    renewals: list[Renewal]
    costings: list[Costing]
    """What there is to do for the costs of models on all boards."""
    outdated: list[Path]
    """Files of costs whose models are published no more, and models, files or folders of parts, that no record is about."""

    @property
    def stale(self) -> list[Record]:
        """The records that are to be made again."""
        return [record for renewal in self.renewals for record in renewal.records]

    @property
    def summary(self) -> str:
        """One line."""
        left = f", {self.others} claimed or of real boards and left alone" if self.others else ""
        costs = f"; costs on all boards: {len(self.costings)} to make" if self.costings else ""
        return f"{len(self.records)} records, {len(self.stale)} to make again{left}{costs}"


@dataclass
class _Outcome:
    """What became of it."""

    failed: list[str] = field(default_factory=list)
    """A line for each model that did."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Records by why they were not predicted again."""

    def add(self, step: Renewal | Costing, event: Finished | Failed) -> None:
        """How a step ended."""
        if isinstance(event, Failed):
            self.failed.append(f"failed: {step.label}: {event.reason}")
        elif event.line and isinstance(step, Renewal):
            self.unknown[event.line] += len(step.records)


def plan(store: Store, registry: Registry, *, again: bool, everywhere: bool = False, **wanted: str | None) -> Plan:
    """Of the records that have the ``wanted`` task, recipe and board, as of Store.select; ``again``: those of today's code too.

    Of the costs on all boards those that there are, unless one board is wanted; ``everywhere``: of all models. Builds nothing.
    Raises UserError where there are none, or one names what there is not.
    """
    chosen = store.select(**wanted)
    records = [record for record in chosen if renewable(record)]
    found = list(renewals(records, store, registry, again=again))
    costs = [] if wanted.get("board") else list(costings(records, store, registry, again=again, missing=everywhere))
    everything = store.read_all()
    gone = [*map(store.costs_path, outdated(everything, store)), *store.models_of_none(everything)]
    return Plan(store, records, len(chosen) - len(records), found, costs, gone)


def check(plan: Plan, console: Console) -> int:
    """Name the records that are of other code than today's, and those over their budget; 1 where there are any, else 0."""
    _say(console, plan.summary)
    for record in plan.stale:
        _say(console, f"of other kernels, firmware or timing than today's: {plan.store.path(record)}")
    for costing in plan.costings:
        _say(console, f"of other code than today's, or not there: {plan.store.costs_path(costing.record)}")
    for path in plan.outdated:
        _say(console, f"of what is published no more: {path}")
    over = list(_over(plan.store, plan.records))
    _tell(console, over)
    return 1 if plan.stale or plan.costings or plan.outdated or over else 0


def remeasure(plan: Plan, registry: Registry, workers: int, console: Console) -> int:
    """Make the records of a plan again and write those that change; 1 where one fails or exceeds its budget, else 0.

    ``workers`` processes at a time; 0: in this one, where no plug-ins are needed.
    """
    steps: list[Renewal | Costing] = [*plan.renewals, *plan.costings]
    seconds = sum(one.seconds for one in steps)
    _say(console, f"{plan.summary}; about {clock(seconds / max(1, workers))}" if seconds else plan.summary)
    store, outcome = plan.store, _Outcome()
    executor = executor_for(steps, store, registry, workers, Renewer, renewer)
    with OverallProgress(console, seconds) as progress:
        for step, event in done(steps, executor, progress):
            outcome.add(step, event)
    for path in plan.outdated:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _say(console, f"removed, of what is published no more: {path}")
    now = {path: store.read(path) for path in map(store.path, plan.records)}
    cells = [cell for one in plan.renewals for cell in one.cells]
    pairs = [(record, now[store.path(record)]) for record in plan.stale]
    made = [pair for pair, cell in zip(pairs, cells, strict=True) if pair[1].cell == cell]
    _show_changes(made, console)
    for reason, count in outcome.unknown.items():
        _say(console, f"{count} not predicted again: {reason}")
    over = list(_over(store, now.values()))
    lost = [f"fits its board no more: {store.path(after)}" for before, after in made if before.fits and not after.fits]
    _tell(console, [*over, *lost, *outcome.failed])
    _say(console, _next(store.folder.parent))
    return 1 if over or lost or outcome.failed else 0


def _changes(before: Record, after: Record) -> tuple[float, float, float]:
    """Of flash and RAM in bytes, of cycles in %."""
    cycles = 100 * (after.cycles / before.cycles - 1) if after.cycles and before.cycles else 0.0
    return after.flash_bytes - before.flash_bytes, after.ram_bytes - before.ram_bytes, cycles


def _show_changes(made: Sequence[Pair], console: Console) -> None:
    """By how much figures changed: a row for each task, recipe and board of which some did."""
    table = Table(title="change: least / median / most", title_justify="left", title_style="bold")
    table.box, table.pad_edge = None, False
    for name in ("task", "recipe", "board"):
        table.add_column(name)
    for name in ("records", "flash bytes", "RAM bytes", "cycles %"):
        table.add_column(name, justify="right", no_wrap=True)

    def place(pair: Pair) -> tuple[str, str, str]:
        return pair[1].task, pair[1].recipe, pair[1].board

    for where, group in groupby(sorted(made, key=place), place):
        columns = list(zip(*(_changes(*pair) for pair in group), strict=True))
        if any(map(any, columns)):
            spreads = map(_spread, columns, (0, 0, 1))
            table.add_row(*map(escape, where), str(len(columns[0])), *spreads)
    if table.row_count:
        show(console, table)
    same = sum(not any(_changes(*pair)) for pair in made)
    _say(console, f"{len(made)} records made again, {same} of them with the flash, RAM and cycles that they had")


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = (f"{value:+z.{digits}f}" for value in (min(values), median(values), max(values)))
    return low if low == high else f"{low} / {middle} / {high}"


def _over(store: Store, records: Iterable[Record]) -> Iterator[str]:
    """A line for each limit that a record exceeds: no page may rank it, and no measuring mends it."""
    for record in records:
        for name, value, limit in excesses(record):
            yield (
                f"over its budget by {value - limit:g} {_UNITS[name]} ({value:g} of {limit:g}): {store.path(record)}; "
                f"remove it and train anew: {record.command}"
            )


def _next(folder: Path) -> str:
    """What pages show besides records, and the pages."""
    reports = len(list((folder / SUITE).glob("*.json")))
    suite = f"kilobench run {SUITE} makes the {reports} reports of {folder / SUITE} anew, and " if reports else ""
    return f"next: {suite}kilobench leaderboard the pages"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _tell(console: Console, lines: Iterable[str]) -> None:
    """What to act on."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True, style="red")
