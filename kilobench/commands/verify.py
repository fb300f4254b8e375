# SPDX-License-Identifier: Apache-2.0
"""``kilobench verify``: what of a leaderboard is not found again, in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kilobench.commands.steps import done, executor_for
from kilobench.plugins.registry import Registry
from kilobench.progress import OverallProgress, clock
from kilobench.results.recheck import Difference, Findings, Recheck, Rechecker, rechecker, rechecks, sample
from kilobench.results.renew import renewable, renewals
from kilobench.results.store import Store
from kilobench.runs.executors import Failed
from kilobench.screen import show

_MOST = 6
"""Differences of a file that are shown: where a kernel is another, every layer is."""
_MOST_LETTERS = 40
"""Of a value."""


def verify(
    store: Store, registry: Registry, console: Console, *, workers: int, count: int | None = None, **wanted: str | None
) -> int:
    """Hold published models against their records, and show what differs; 1 where something does, or a model fails, else 0.

    Of the records that have the ``wanted`` task, recipe and board, as of Store.select; ``count``: only so many models.
    """
    records = store.select(**wanted)
    again = [record for record in records if renewable(record)]
    steps = list(rechecks(renewals(again, store, registry, again=True), store, registry))
    steps = steps if count is None else sample(steps, count)
    seconds, chosen = sum(one.seconds for one in steps), sum(len(one.records) for one in steps)
    others = f"; {len(records) - len(again)} records claimed or of real boards left alone" if count is None else ""
    _say(console, f"{len(steps)} models of {chosen} records{others}; about {clock(seconds / max(1, workers))}")
    unknown, differences, failed = Counter[str](), list[Difference](), list[str]()
    executor = executor_for(steps, store, registry, workers, Rechecker, rechecker)
    with OverallProgress(console, seconds) as progress:
        for step, event in done(steps, executor, progress):
            if isinstance(event, Failed):
                failed.append(f"failed: {step.label}: {event.reason}")
                continue
            found = Findings.read(event.line or "")
            differences += found.differences
            unknown[found.unknown] += 1
    _report(console, steps, unknown, differences)
    for line in failed:
        _say(console, line, style="red")
    return 1 if differences or failed else 0


def _report(
    console: Console, steps: Iterable[Recheck], unknown: Counter[str], differences: Iterable[Difference]
) -> None:
    ordered = sorted(differences)
    for file, group in groupby(ordered, lambda one: one.file):
        _say(console, f"not found again: {file}", style="red")
        show(console, _table(list(group)))
    for reason, models in unknown.items():
        if reason:
            _say(console, f"not predicted again, {models} of the models: {reason}")
    elsewhere, costed = sum(bool(one.core) for one in steps), sum(one.costed for one in steps)
    files = len({one.file for one in ordered})
    where = f" in {files} files" if files else ""
    second = f"{elsewhere} run on a second board too, {costed} of them beside published costs"
    _say(console, f"{unknown['']} models predicted again; {second}; {len(ordered)} differences{where}")


def _table(differences: Sequence[Difference]) -> Table:
    """Of one file."""
    table = Table(box=None, pad_edge=False)
    for name in ("  field", "published", "found"):
        table.add_column(name)
    for one in differences[:_MOST]:
        table.add_row(f"  {escape(one.field)}", *map(_short, (one.published, one.found)))
    if len(differences) > _MOST:
        table.add_row(f"  and {len(differences) - _MOST} more", "", "")
    return table


def _short(value: str) -> str:
    return escape(value if len(value) <= _MOST_LETTERS else f"{value[:_MOST_LETTERS]}...")


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True, style=style or None)
