# SPDX-License-Identifier: Apache-2.0
"""What became of a run: the table, the pages, and last what failed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from kilobench.extras import missing
from kilobench.results.energy import Boards
from kilobench.results.store import Store
from kilobench.runs.run import Outcome
from kilobench.runs.sizing import TooLarge
from kilobench.runs.unsuited import NotSuited
from kilobench.screen import show


def report(outcome: Outcome, store: Store | None, output: Path, boards: Boards, console: Console) -> None:
    """The table, how many cells there are of what, and the pages, with energies of ``boards``; no store writes none."""
    from kilobench.mlperf.page import mlperf_pages  # slow to import, and no part of a dry run
    from kilobench.render import render
    from kilobench.results.table import terminal

    if outcome.records:
        show(console, terminal(outcome.records))
    if store is None:
        console.print("validation part of the training data: no records, no pages", highlight=False)
    counts = f"{outcome.measured} measured, {outcome.cached} cached, {len(outcome.failed)} failed"
    skipped = f", {len(outcome.skipped)} skipped (--retry-failed tries them again)" if outcome.skipped else ""
    unsuited = f", {len(outcome.unsuited)} not suited" if outcome.unsuited else ""
    console.print(counts + skipped + unsuited, highlight=False)
    if store is not None and (records := store.read_all() if outcome.records else []):
        others = mlperf_pages(output, records)
        written = render(
            records,
            output,
            boards,
            too_large=store.read_too_large(),
            unsuited=store.read_unsuited(),
            others=others,
            costs=store.read_costs(),
            plots=not missing("pages"),
        )
        pages = output / "README.md" if written else "none, which are of accuracies alone"
        console.print(f"pages: {pages}", highlight=False, soft_wrap=True)


def tell_failed(outcome: Outcome, console: Console) -> None:
    """Last, as it is what to act on."""
    for word, cells in (("skipped, failed before", outcome.skipped), ("failed", outcome.failed)):
        for cell, failed in cells.values():
            log = f" (kilobench log {failed.key[:8]})" if failed.lasting else ""
            line = f"{word}: {cell.label}: {failed.reason}{log}"
            console.print(line, highlight=False, markup=False, soft_wrap=True, style="red")


def tell_lines(points: Iterable[TooLarge | NotSuited], console: Console) -> None:
    """Those no size of which keeps their budget, and those whose methods do not suit the network."""
    for line in dict.fromkeys(point.line for point in points):
        console.print(line, highlight=False, markup=False, soft_wrap=True, style="yellow")
