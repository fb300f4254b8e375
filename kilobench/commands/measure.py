# SPDX-License-Identifier: Apache-2.0
"""``kilobench measure``: what a model file takes on boards; of a published model, the records of it as well."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from kilobench.compile.emit import emit
from kilobench.contracts import Budget
from kilobench.data.labelled import Labelled
from kilobench.files import write_atomically
from kilobench.measuring.recording import Where, record_from
from kilobench.progress import OverallProgress
from kilobench.report.facts import content
from kilobench.report.limits import exceeded
from kilobench.report.measuring import BOARD_SECONDS, Found, measure_subject
from kilobench.report.models import Subject
from kilobench.report.page import page
from kilobench.report.text import terminal
from kilobench.results.store import Store
from kilobench.screen import show


@dataclass(frozen=True)
class Products:
    """What is written besides the report on the terminal; None for what is not."""

    html: Path | None = None
    keep: Path | None = None
    """A folder for programs, C and the report as JSON."""
    records: Path | None = None
    """The leaderboard that the records of a published model go to."""


def measure(
    subject: Subject,
    places: Sequence[Where],
    limits: Budget,
    products: Products,
    console: Console,
    labelled: Labelled | None = None,
) -> int:
    """Measure, print the report and write what is wanted; 1 where a limit is exceeded, else 0.

    Raises CellError where a build or a board fails, UserError where labelled inputs do not suit the model.
    """
    with OverallProgress(console, BOARD_SECONDS * len(places)) as progress:
        found = measure_subject(subject, places, progress, labelled)
    show(console, terminal(found.facts))
    if products.html is not None:
        write_atomically(products.html, page(found.facts).encode())
        _told(console, "page", products.html)
    if products.keep is not None:
        _keep(subject, found, products.keep)
        _told(console, "kept in", products.keep)
    if products.records is not None and subject.published is not None:
        _record(subject, found, places, Store(products.records / "records"), console)
    over = exceeded(found.facts, limits)
    for line in over:
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    return 1 if over else 0


def _keep(subject: Subject, found: Found, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    emit(subject.graph, folder, subject.title, subject.benchmark)
    write_atomically(folder / "report.json", content(found.facts))
    for board, measured in zip(found.facts.boards, found.measurements, strict=True):
        shutil.copyfile(measured.program, folder / f"{board.board}.elf")


def _record(subject: Subject, found: Found, places: Sequence[Where], store: Store, console: Console) -> None:
    assert subject.published is not None and subject.file is not None
    measured = zip(places, found.measurements, strict=True)
    records = [record_from(subject.published, where, one) for where, one in measured]
    if len(records) == 1:
        from kilobench.results.table import terminal as record_table  # slow to import, and no part of other reports

        show(console, record_table(records))
    for record in records:
        path = store.write(record)
        store.publish(record, subject.file)
        _told(console, "record", path)


def _told(console: Console, what: str, path: Path) -> None:
    console.print(f"{what}: {path}", highlight=False, markup=False, soft_wrap=True)
