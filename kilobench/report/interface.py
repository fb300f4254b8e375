# SPDX-License-Identifier: Apache-2.0
"""The same from Python: ``kilobench.measure`` and ``kilobench.records``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from kilobench.contracts import UserError
from kilobench.data.labelled import read_labels
from kilobench.files import write_atomically
from kilobench.measuring.recording import Where
from kilobench.plugins.registry import load_registry
from kilobench.progress import OverallProgress
from kilobench.report.facts import Facts, OnBoard
from kilobench.report.measuring import BOARD_SECONDS, chosen, measure_subject
from kilobench.report.models import Rounding, load_subject, module_subject
from kilobench.report.page import page
from kilobench.report.text import terminal
from kilobench.results.store import Store
from kilobench.screen import show

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 80


class Report:
    """What a model takes on boards. Figures such as ``flash_bytes`` are those of the first board."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        """All that is known, as in the JSON of ``kilobench measure --keep``."""

    @property
    def layers(self) -> pd.DataFrame:
        """A row for every layer of every board: board, layer, kind, output, macs, weight_bytes, cycles, share (of 1)."""
        columns = ["board", "layer", "kind", "output", "macs", "weight_bytes", "cycles", "share"]
        rows = [
            (board.board, layer.name, layer.kind, layer.output, layer.macs, layer.weight_bytes, cycles, cycles / total)
            for board in self.facts.boards
            for total in [sum(board.layer_cycles)]
            for layer, cycles in zip(self.facts.layers, board.layer_cycles, strict=False)
        ]
        return _pandas().DataFrame(rows, columns=columns)

    @property
    def boards(self) -> pd.DataFrame:
        """A row for every board: sizes in bytes, cycles, latency_ms, expected_ms, fits, and what else facts.OnBoard has."""
        derived = [
            {"latency_ms": board.latency_ms, "expected_ms": board.expected_ms, "fits": board.fits}
            for board in self.facts.boards
        ]
        rows = [
            board.model_dump(exclude={"layer_cycles", "layer_cycles_flash", "flash"}) for board in self.facts.boards
        ]
        return _pandas().DataFrame([row | more for row, more in zip(rows, derived, strict=True)])

    @property
    def flash_bytes(self) -> int:
        """Of the whole program."""
        return self._first.flash_bytes

    @property
    def ram_bytes(self) -> int:
        """Arena, statics and the stack's peak."""
        return self._first.ram_bytes

    @property
    def cycles(self) -> int | None:
        """Per inference; None where the program is too large to run."""
        return self._first.cycles

    @property
    def latency_ms(self) -> float | None:
        """Per inference, at the board's clock."""
        return self._first.latency_ms

    @property
    def expected_ms(self) -> tuple[float, float] | None:
        """Between which that of a real board is expected to be; None where one was measured, or where nothing is known."""
        return self._first.expected_ms

    @property
    def accuracy(self) -> float | None:
        """On the labelled inputs, a share of 1; None without inputs, and of an anomaly detector."""
        judged = self.facts.judged
        return None if judged is None or judged.accuracy is None else judged.accuracy.mean

    @property
    def auc(self) -> float | None:
        """Area under the ROC curve on the labelled inputs, of anomaly detectors and of two classes."""
        judged = self.facts.judged
        return None if judged is None or judged.auc is None else judged.auc.mean

    @property
    def fits(self) -> bool:
        """Whether the board's memory holds it."""
        return self._first.fits

    def to_html(self, path: str | Path) -> None:
        """Write the report as a page that needs nothing else."""
        write_atomically(Path(path), page(self.facts).encode())

    def __str__(self) -> str:
        """As in a terminal of 80 columns."""
        text = io.StringIO()
        show(Console(file=text, width=_COLUMNS, color_system=None), terminal(self.facts))
        return text.getvalue()

    @property
    def _first(self) -> OnBoard:
        return self.facts.boards[0]


def measure(
    model: Any,
    boards: Sequence[str] = ("nucleo_l4r5zi",),
    rounding: Rounding | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    toolchain: str = "zig",
    inputs: str | Path | None = None,
) -> Report:
    """Measure a model on emulated boards, ``["all"]`` for every one.

    ``model`` is the path of a .tflite, .onnx, .pt2 or .safetensors file, or a module of torch, which needs ``input_shape``, that
    of one input without the batch. ``inputs`` is a folder of labelled inputs (docs/measuring.md). Raises UserError
    (kilobench.api) for what cannot be measured, CellError where a build fails.
    """
    if isinstance(boards, str):
        boards = [boards]
    found = [Where(board, toolchain=toolchain) for board in chosen(load_registry([], ()), boards)]
    labelled = None if inputs is None else read_labels(Path(inputs))
    if isinstance(model, str | Path):
        subject = load_subject(Path(model), rounding)
    else:
        subject = module_subject(model, input_shape, rounding or "once")
    with OverallProgress(Console(stderr=True), BOARD_SECONDS * len(found)) as progress:
        return Report(measure_subject(subject, found, progress, labelled).facts)


def records(folder: str | Path = "leaderboard/records") -> pd.DataFrame:
    """A row for every record of a folder: all fields of kilobench.record.Record, those of its parts as ``flash.weights``.

    Lists and tables in it, as ``layers``, stay what they are. Raises UserError where there are none, or one is no valid record.
    """
    pandas = _pandas()
    rows = [record.model_dump(by_alias=True) for record in Store(Path(folder)).select()]
    keep = "layers", "notes", "training", "contributions", "steps", "versions", "macs", "conditions"
    whole = pandas.DataFrame([{name: row.pop(name) for name in keep} for row in rows])
    return pandas.concat([pandas.json_normalize(rows), whole], axis=1)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError("tables need pandas: python -m pip install pandas") from None
    return pandas
