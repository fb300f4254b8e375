# SPDX-License-Identifier: Apache-2.0
"""How well the emitted C, compiled for the host, does on labelled inputs: accuracy, and the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.emit import emit
from kilobench.compile.ends import DECIBELS, PIXELS, anomaly_score, pixels
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.contracts import UserError
from kilobench.data.labelled import LABELS, Labelled
from kilobench.data.rawfiles import read_inputs
from kilobench.record import Auc, auc

_CODES = (1 / 128, 0)
"""Grid of networks that are trained here on the int8 codes of files, over 128."""
_SIGMAS = 5
"""By how many standard deviations answers of other classes must outnumber those of the labels' own."""


@dataclass(frozen=True)
class Quality:
    """What host C makes of labelled inputs."""

    correct: NDArray[np.bool_] | None
    """Of every file; None for an anomaly detector."""
    auc: Auc | None
    """Area under the ROC curve, of anomaly detectors and of two classes."""


def quality(graph: Graph, imported: bool, labelled: Labelled, folder: Path) -> Quality:
    """Run a network on labelled inputs; its C is written to ``folder``. ``imported`` says that another tool made the network.

    Maps of three channels are read from uint8 pixels, RGBRGB: int8 networks of others get p - 128, those made here
    (p - 128) / 128. All other files hold what the network takes. Windows are for autoencoders: the score of a file is the mean
    of their squared errors; those made here take decibels over 100. Raises UserError for inputs that do not suit the network, and
    for what ``read_inputs`` refuses.
    """
    if labelled.window is not None:
        scores = _answers(_detector(graph, imported, labelled), labelled, folder)
        return Quality(None, _area(scores[:, 0], labelled))
    _check_classifier(graph, labelled)
    source = graph.tensors[graph.input]
    if source.shape[2] == 3 and (source.dtype == "int8" or not imported):
        graph = pixels(graph) if imported else pixels(graph, PIXELS)
    _check_grid(graph, labelled)
    answers = _answers(graph, labelled, folder)
    predicted = answers.argmax(axis=1)
    _check_order(labelled, predicted)
    correct = predicted == labelled.labels
    return Quality(correct, _area(answers[:, 1] - answers[:, 0], labelled) if labelled.classes == 2 else None)


def _area(scores: NDArray[np.float64], labelled: Labelled) -> Auc | None:
    """Of files labelled 1 against those labelled 0; None where there are not both."""
    one = labelled.labels == 1
    return auc(scores[~one].astype(np.float32), scores[one].astype(np.float32)) if one.any() and not one.all() else None


def _answers(graph: Graph, labelled: Labelled, folder: Path) -> NDArray[np.float64]:
    """The outputs of every file, [n, values], the means of those of its windows."""
    source = graph.tensors[graph.input]
    inputs, files = read_inputs(labelled, source.dtype, source.shape)
    folder.mkdir()
    emit(graph, folder, "model")
    outputs = HostModel(folder).run(inputs)
    total = np.zeros((len(labelled.names), outputs.shape[1]))
    np.add.at(total, files, outputs)
    return total / np.bincount(files)[:, None]


def _detector(graph: Graph, imported: bool, labelled: Labelled) -> Graph:
    said = f"{labelled.folder / LABELS} says windows, the inputs of an anomaly detector,"
    if labelled.classes != 2 or len(set(labelled.labels.tolist())) != 2:
        raise UserError(f"{said} of which some are labelled 0 (normal) and some 1, not {labelled.classes} classes")
    try:
        return anomaly_score(graph, 1.0 if imported else DECIBELS)
    except ValueError as error:
        raise UserError(f"{said} but of the model: {error}") from None


def _check_classifier(graph: Graph, labelled: Labelled) -> None:
    said = f"{labelled.folder / LABELS} says {labelled.classes} classes"
    shapes = [graph.tensors[name].shape for name in graph.outputs]
    if len(shapes) > 1 or shapes[0][:2] != (1, 1) or graph.tensors[graph.output].dtype == "int32":
        made = ", ".join(
            f"{graph.tensors[name].dtype} {'x'.join(map(str, graph.tensors[name].shape))}" for name in graph.outputs
        )
        raise UserError(f"{said}; the model is no classifier: it makes {made}")
    if shapes[0][2] != labelled.classes:
        raise UserError(f"{said}; the model has {shapes[0][2]}")


def _check_grid(graph: Graph, labelled: Labelled) -> None:
    """That a network reads the codes of a published set as what they are."""
    source, published = graph.tensors[graph.input], labelled.published
    if published is None or published.benchmark.grid is None or source.dtype != "int8":
        return
    found = source.scale, source.zero_point
    if not any(
        found[1] == zero and abs(found[0] / scale - 1) < 1e-3 for scale, zero in (published.benchmark.grid, _CODES)
    ):
        scale, zero = published.benchmark.grid
        raise UserError(
            f"{labelled.folder} is {published.benchmark.name}, quantised by scale {scale:.4g} and zero point {zero}; "
            f"the model takes scale {found[0]:.4g} and zero point {found[1]}"
        )


def _check_order(labelled: Labelled, predicted: NDArray[np.int64]) -> None:
    """Labels in another order show in the answers: most of each class go to one other class, and of no two to the same."""
    count = labelled.classes
    answers = np.bincount(labelled.labels * count + predicted, minlength=count**2).reshape(count, count)
    present = np.flatnonzero(answers.any(axis=1))
    likely = answers.argmax(axis=1)
    moved = present[likely[present] != present]
    if not len(moved) or len(set(likely[present].tolist())) < len(present):
        return
    other, own = int(answers[moved, likely[moved]].sum()), int(answers[moved, moved].sum())
    if other - own > _SIGMAS * sqrt(other + own):
        raise UserError(
            f"{labelled.folder / LABELS} has its classes in another order than the model: of {int(answers[moved].sum())} inputs "
            f"with labels such as {moved[0]}, {own} are answered so and {other} by others, as {likely[moved[0]]} for {moved[0]}"
        )
