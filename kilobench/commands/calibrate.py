# SPDX-License-Identifier: Apache-2.0
"""``kilobench calibrate``: cycles of a real board beside those that are modelled of the same programs, and a file of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.contracts import UserError
from kilobench.device.arduino import require_platform
from kilobench.device.ports import find_port
from kilobench.files import write_atomically
from kilobench.measuring.calibrating import Emitted, Point, calibrate, told
from kilobench.measuring.evaluate import reference
from kilobench.plugins.boards import require_emulated
from kilobench.plugins.cores import timing_label
from kilobench.progress import OverallProgress
from kilobench.report.models import Subject, load_subject
from kilobench.results.store import Store
from kilobench.scratch import temporary_folder
from kilobench.screen import show

FORM = "kilobench calibration 1"
_MODEL_SECONDS = 60.0
"""That building, uploading and measuring one takes, about; the first builds the Arduino core, too."""
_COUNTERS = ("dwt", "systick")
"""Of cores whose programs the emulator can run one inference of."""


def usual_models(records: Path) -> list[Path]:
    """Of the published models the fastest of every method that a recipe ends in: float32, int8, binary, ..."""
    store, fastest = Store(records), dict[str, tuple[int, Path]]()
    for record in store.read_all():
        method, path = record.recipe.rpartition("+")[2].partition("[")[0], store.model_path(record)
        if record.cycles and path.exists():
            fastest[method] = min(fastest.get(method, (record.cycles, path)), (record.cycles, path))
    if not fastest:
        raise UserError(f"{records} has no records of models that are there; name a model's file")
    return [path for _, (_, path) in sorted(fastest.items())]


def run(models: Sequence[Path], board: Board, link: str, file: Path, console: Console) -> int:
    """Measure and print; ``file`` has all that is known after every model. Raises UserError before anything is built."""
    kind, _, port = link.partition(":")
    if kind != "serial":
        raise UserError(f"--on {link}: calibrate measures a real board: serial[:PORT]")
    require_emulated(board)
    if board.core.counter not in _COUNTERS:
        raise UserError(
            f"{board.name}: its cycles are not counted by {' or '.join(_COUNTERS)}, but {board.core.counter}"
        )
    require_platform(board)
    subjects, port = [load_subject(path) for path in models], port or find_port(board)
    points: list[Point] = []
    with OverallProgress(console, _MODEL_SECONDS * len(subjects)) as progress, temporary_folder() as folder:
        for number, subject in enumerate(subjects):
            (code := folder / f"{number}").mkdir()
            progress.begin(code.name, _name(subject), _MODEL_SECONDS)
            points += calibrate(
                _emitted(subject, code), board, code / "build", port, partial(progress.update, code.name)
            )
            progress.end(code.name, f"{_name(subject)}: measured")
            write_atomically(file, content(board, points))
    show(console, _table(points))
    for line in (*_summary(points), f"all of it, by layers too: {file}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def content(board: Board, points: Sequence[Point]) -> bytes:
    """Of the file: one object, whose points are those of the table, with their layers."""
    by_model = {
        "form": FORM,
        "kilobench": version("kilobench"),
        "board": board.name,
        "toolchain": f"platformio {board.platformio['platform']}",
        "timing": timing_label(board.core),
        "points": [asdict(point) for point in points],
    }
    return (json.dumps(by_model, indent=1) + "\n").encode()


def _name(subject: Subject) -> str:
    """Task and recipe of a published model, else the file's name."""
    facts = subject.published and subject.published.about.model
    return f"{facts.task} {facts.recipe}" if facts else subject.name


def _emitted(subject: Subject, code: Path) -> Emitted:
    memory = emit(subject.graph, code, subject.title)
    known = subject.published and subject.published.reference
    expected = known or reference(subject.graph, HostModel(code), 1)
    return Emitted(_name(subject), subject.graph, code, memory.offsets[subject.graph.input], expected)


def _table(points: Sequence[Point]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("model", "flash"):
        table.add_column(name)
    for name in ("measured", "modelled", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        error = "-" if point.error is None else f"{point.error:+.1f}%"
        ours = "-" if point.modelled is None else str(point.modelled)
        table.add_row(point.model, told(point.clock_hz, point.conditions), str(point.measured), ours, error)
    return table


def _summary(points: Sequence[Point]) -> list[str]:
    """Mean and worst error in every state of the flash, over the models."""
    errors: dict[str, list[float]] = {}
    for point in points:
        if point.error is not None:
            errors.setdefault(told(point.clock_hz, point.conditions), []).append(point.error)
    return [
        f"{state}: mean error {fmean(map(abs, found)):.1f} %, worst {max(found, key=abs):+.1f} %"
        for state, found in errors.items()
    ]
