# SPDX-License-Identifier: Apache-2.0
"""``kilobench run`` of a suite of model files: a report for each, for pages to read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from kilobench.contracts import UserError
from kilobench.data.labelled import read_labels
from kilobench.files import write_atomically
from kilobench.measuring.recording import Where
from kilobench.paths import cache_dir
from kilobench.plugins.suites import ModelFile, ModelSuite
from kilobench.progress import OverallProgress
from kilobench.report.facts import content
from kilobench.report.measuring import BOARD_SECONDS, measure_subject
from kilobench.report.models import load_subject


def run(suite: ModelSuite, places: Sequence[Where], output: Path, console: Console, *, dry: bool = False) -> int:
    """Measure every model on every board, and write ``output/NAME.json``; ``dry`` only finds the files.

    Raises UserError for a file that is not here, or is not the one that the suite names; nothing is measured then.
    """
    console.print(suite.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    folder = _folder(suite)
    paths = {name: pinned(folder, model) for name, model in suite.models.items()}
    labelled = {name: read_labels(folder / model.inputs) for name, model in suite.models.items() if model.inputs}
    if dry:
        for name, path in paths.items():
            console.print(f"{name}: {path} on {len(places)} boards", markup=False, highlight=False, soft_wrap=True)
        return 0
    for name, model in suite.models.items():
        subject = load_subject(paths[name], model.rounding)
        with OverallProgress(console, BOARD_SECONDS * len(places)) as progress:
            facts = measure_subject(subject, places, progress, labelled.get(name)).facts
        write_atomically(output / f"{name}.json", content(facts))
        console.print(f"report: {output / name}.json", markup=False, highlight=False, soft_wrap=True)
    return 0


def _folder(suite: ModelSuite) -> Path:
    """Where the suite's files are: in ``$KILOBENCH_DATA``, or imported."""
    root = os.environ.get("KILOBENCH_DATA")
    places = [Path(root) / suite.folder] if root else []
    for place in [*places, cache_dir() / "data" / suite.folder]:
        if place.is_dir():
            return place
    raise UserError(f"{suite.folder} is not here: KILOBENCH_DATA names the folder that holds it")


def pinned(folder: Path, model: ModelFile) -> Path:
    """The path of a model's file. Raises UserError where it is missing, or another one, as of another round."""
    path = folder / model.file
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if digest != model.sha256:
        raise UserError(f"{path}: sha256 is {digest}, not {model.sha256}: it is of another round, or was changed")
    return path
