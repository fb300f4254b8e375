# SPDX-License-Identifier: Apache-2.0
"""Rows -> CSV, and what its columns mean."""

from __future__ import annotations

import csv
import io
from typing import Any

from kilobench.results.rows import Row, Rows, is_missing

COLUMNS = {
    "task": "data set, with its parameters",
    "classes": "how many",
    "network": "as it was built, with its width",
    "recipe": "methods, joined by +",
    "board": "that the program was built for",
    "link": "emulator, or serial: a real board",
    "timing": "how cycles came about: emulated, estimated or measured, and the core",
    "toolchain": "compiler and version",
    "training": "what differs from the task's own training",
    "effort": "what every recipe of the contest was trained, in trainings of the task; 0: not the same, not ranked",
    "steps": "of the optimiser, in all stages; the mean over the records",
    "stages": "steps of every stage",
    "budget": "that the recipe was made as large as allowed for; empty: no budget",
    "size": "what was found for the budget: width of the network, or share of the weights that pruning kept",
    "place": "1 + how many recipes of the same contest and board are significantly more accurate; empty: not ranked",
    "unequal": "why a row is not ranked",
    "trust": "verified: measured and predicted again; re-measured: costs alone; claimed: neither, not ranked (docs/trust.md)",
    "pareto": "1: no row that fits, of any size and equal effort, is better in accuracy, flash and cycles at once",
    "accuracy": "share of the test samples that the C gets right",
    "low": "lower end of its 95 % interval",
    "high": "upper end",
    "crops": "accuracy over 10 windows of every clip (sound), as papers report",
    "samples": "different test samples",
    "folds": "that were tested",
    "seeds": "that were trained",
    "flash_bytes": "of the program that was built",
    "ram_bytes": "arena, statics and peak of the stack",
    "cycles": "per inference",
    "cycles_flash": "with the flash as on the board, estimated by a model of it; empty where there is none",
    "latency_ms": "cycles_flash, or cycles where it is empty, at the board's clock",
    "expected_low_ms": "least that the latency of a real board is expected to be (docs/timing.md); empty where that is not known",
    "expected_high_ms": "most",
    "energy_uj": "microjoules per inference, by a meter",
    "energy_estimated_uj": "estimated: current and voltage of the chip's data sheet times latency_ms; empty where not known",
    "fits": "1: the board's flash and RAM are enough",
    "reference": "what the next columns compare with",
    "difference": "accuracy less that of the reference",
    "difference_low": "lower end of its 95 % interval, by paired samples",
    "difference_high": "upper end",
    "flash_ratio": "flash of the reference divided by that of the row",
    "cycles_ratio": "cycles of the reference divided by those of the row",
    "partial": "inputs that the published data set has and this run lacked",
    "transcoded": "inputs that were not as published but resampled, or coded anew, before this run",
    "synthetic": "1: the data is synthetic",
}
"""Columns and their meaning, in order."""
DICTIONARY = "\n".join(
    [
        "# rows.csv",
        "",
        "A row per task, network, training, effort, budget, board, link, toolchain and recipe; folds and seeds are pooled.",
        "",
        "| Column | Meaning |",
        "|:-------|:--------|",
        *(f"| `{name}` | {text} |" for name, text in COLUMNS.items()),
        "",
    ]
)


def rows_csv(rows: Rows) -> str:
    """All rows of ``table.rows_of``, the same bytes for the same rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in map(_shown, rows))
    return text.getvalue()


def _shown(row: Row) -> Row:
    return {
        **row,
        "network": row["built"],
        "stages": " ".join(f"{name}={count}" for name, count in row["stages"].items()),
    }


def _cell(value: Any) -> Any:
    """Six digits of a float, nothing for what is missing, 1 or 0 for a switch."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, float):
        return "" if is_missing(value) else f"{value:.6g}"
    return value
