# SPDX-License-Identifier: Apache-2.0
"""Graph -> C -> host accuracy: what the emitted C, compiled for the host, says about the test set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kilobench.compile.counts import macs, parameters
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.graphfile import load_graph, save_graph
from kilobench.compile.host import HostModel
from kilobench.compile.operator import operator, require
from kilobench.compile.simulate import quantise_input
from kilobench.contracts import CellError, Progress, Split, Task
from kilobench.plugins.spec import canonical
from kilobench.record import Accuracy, Auc, Line, ModelFacts, accuracy, auc

MEASURED_INPUTS = 8
CROPS = 10


@dataclass(frozen=True)
class Reference:
    """What host C makes of the measured inputs: what boards are checked against."""

    inputs: NDArray[Any]
    """As the board gets them, [n, height, width, channels]: ``measured_inputs``."""
    outputs: NDArray[Any]
    """Raw, [n, values]; where there are several, one after the other, as bytes."""
    checksums: NDArray[np.int64]
    """Operator and CRC-32 of everything made on the way, [n, parts, 2]."""


@dataclass(frozen=True)
class Evaluation:
    """What host C says about the whole test set, and about the measured inputs."""

    quality: Accuracy | Auc
    accuracy_10_crops: Accuracy | None
    """By the mean softmax over 10 equally spaced windows of every clip; None where there are no longer clips."""
    reference: Reference
    arena_lower_bound: int
    """The least bytes that any placing of the feature maps could need."""
    peak: str
    """Path of the operator that needs the most."""
    seconds: float


class About(BaseModel):
    """What is known of an evaluated model besides its graph."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: ModelFacts
    key: str
    """Of the evaluation, kilobench.runs.plan.Model.evaluation_key."""
    arguments: tuple[Line, ...]
    """Of the kilobench run that repeats it; the board and its options are missing."""
    arena_lower_bound: int
    peak: Line
    train_s: float = Field(default=0.0, exclude=True)
    """Seconds, as ``evaluate_s``: known where the model was made, and written by versions before this one; a file says what a
    model is, so that the same run gives the same bytes."""
    evaluate_s: float = Field(default=0.0, exclude=True)


@dataclass(frozen=True)
class EvaluatedModel:
    """A lowered model and all that is known of it: one file, that can be published and measured on any board."""

    graph: Graph
    reference: Reference
    about: About


def evaluate(
    graph: Graph, folder: Path, name: str, split: Split, progress: Progress, *, reconstructs: bool = False
) -> Evaluation:
    """Emit the model into ``folder``, compile it for the host and run the test set, and the measured inputs.

    One that ``reconstructs`` is judged by its errors, any other by the classes that it tells.
    """
    start = perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    memory = emit(graph, folder, name)
    host = HostModel(folder)
    quality: Accuracy | Auc
    if reconstructs:
        scores = _errors(graph, host, split.test_x, progress)
        quality = auc(scores[split.test_y == 0], scores[split.test_y == 1])
    else:
        quality = accuracy(host.run(quantise_input(graph, split.test_x)).argmax(axis=1) == split.test_y)
    crops = None if split.test_clips is None else _crops(graph, host, split.test_clips, progress) == split.test_y
    return Evaluation(
        quality=quality,
        accuracy_10_crops=None if crops is None else accuracy(crops),
        reference=reference(graph, host, MEASURED_INPUTS),
        arena_lower_bound=memory.lower_bound_bytes,
        peak=memory.peak,
        seconds=perf_counter() - start,
    )


def reference(graph: Graph, host: HostModel, count: int) -> Reference:
    """What host C makes of the first ``count`` measured inputs."""
    inputs = measured_inputs(graph, count)
    outputs = host.run_all(inputs)
    raw = outputs[0] if len(outputs) == 1 else np.hstack([output.view(np.uint8) for output in outputs])
    return Reference(inputs, raw, np.array([host.checksums(x) for x in inputs]))


def measured_inputs(graph: Graph, count: int) -> NDArray[Any]:
    """The inputs on which a model is measured on boards, [count, height, width, channels], as the board gets them.

    Random walks along the width with their peak at 1, the same on every machine: whole numbers from a generator whose stream
    NumPy has frozen. So a measurement can be repeated from the model alone, without its data set. Only the cycles of
    binary layers (and of software floating point) depend on the input; docs/timing.md says how much.
    """
    height, width, channels = graph.tensors[graph.input].shape
    steps = np.random.RandomState(0).randint(-128, 128, (count, channels, height, width))
    walks = steps.cumsum(axis=-1)
    walks -= walks.sum(axis=-1, keepdims=True) // width
    peaks = np.maximum(1, np.abs(walks).max(axis=(1, 2, 3), keepdims=True))
    return quantise_input(graph, (walks / peaks).astype(np.float32))


def about(
    key: str,
    arguments: tuple[str, ...],
    task: Task,
    facts: Mapping[str, Any],
    graph: Graph,
    evaluation: Evaluation,
    split: Split,
) -> About:
    """What is known of an evaluated model; ``facts`` are those of ModelFacts that say how it was made."""
    quality = evaluation.quality
    model = ModelFacts(
        **{**facts, "training": asdict(facts["training"])},
        task=canonical(task),
        classes=task.class_count,
        synthetic=task.synthetic,
        accuracy=quality if isinstance(quality, Accuracy) else None,
        auc=quality if isinstance(quality, Auc) else None,
        accuracy_10_crops=evaluation.accuracy_10_crops,
        macs=macs(graph),
        parameters=parameters(graph),
        model_digest=graph.digest(),
        data_digest=split.digest,
        partial=split.partial,
        transcoded=split.transcoded,
        notes=tuple(split.notes),
    )
    return About(
        model=model,
        key=key,
        arguments=arguments,
        arena_lower_bound=evaluation.arena_lower_bound,
        peak=evaluation.peak,
    )


def save_model_file(path: Path, graph: Graph, reference: Reference, about: About) -> None:
    """Write an evaluated model, without the seconds that it took; the same content gives the same bytes."""
    arrays = {"outputs": reference.outputs, "checksums": reference.checksums}
    save_graph(graph, path, about.model_dump(), arrays)


def load_model_file(path: Path) -> EvaluatedModel:
    """What save_model_file wrote. Raises CellError for a file that is damaged, or whose graph has another digest than it says."""
    graph, facts, arrays = load_graph(path)
    try:
        about, reference = About.model_validate(facts), _stored(graph, **arrays)
    except (ValidationError, ValueError, TypeError) as error:
        raise CellError(f"{path} is no model file: {str(error).splitlines()[0]}") from None
    if about.model.model_digest != graph.digest():
        raise CellError(f"{path}: its graph is not the one that it says")
    return EvaluatedModel(graph, reference, about)


def _stored(graph: Graph, outputs: NDArray[Any], checksums: NDArray[Any]) -> Reference:
    """The reference of a model file. Raises ValueError where its arrays are no such thing, or the model is no classifier."""
    require_logits(graph)
    count, output = len(outputs), graph.tensors[graph.output]
    if not 1 <= count <= MEASURED_INPUTS or outputs.shape != (count, output.shape[2]) or outputs.dtype != output.dtype:
        raise ValueError("outputs of another shape or type than the model's")
    if checksums.ndim != 3 or (len(checksums), checksums.shape[2]) != (count, 2) or checksums.dtype != np.int64:
        raise ValueError("checksums of another shape or type")
    return Reference(measured_inputs(graph, count), outputs, checksums)


def require_logits(graph: Graph) -> None:
    """Raise ValueError for a graph whose output is not that of a classifier, [1, 1, classes] in float32 or int8."""
    tensor = graph.tensors[graph.output]
    logits = len(graph.outputs) == 1 and tensor.shape[:2] == (1, 1) and tensor.dtype in ("float32", "int8")
    require(logits, f"its output {graph.output} is {tensor.dtype} {tensor.shape}, not float32 or int8 (1, 1, classes)")


def _errors(graph: Graph, host: HostModel, recordings: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
    """Of each recording [n, c, h, wide] the mean squared error over all of its windows, of outputs against inputs as they are."""
    width, output = graph.tensors[graph.input].shape[1], graph.tensors[graph.output]
    scores = np.empty(len(recordings), dtype=np.float32)
    for index, recording in enumerate(recordings):
        progress("errors of recordings", index, len(recordings))
        x = np.lib.stride_tricks.sliding_window_view(recording, width, axis=2).transpose(2, 0, 1, 3)
        made = host.run(quantise_input(graph, x)).astype(np.float64)
        if output.dtype == "int8":
            made = (made - output.zero_point) * output.scale
        scores[index] = np.square(made - x.transpose(0, 2, 3, 1).reshape(made.shape)).mean()
    return scores


def _crops(graph: Graph, host: HostModel, clips: NDArray[np.float32], progress: Progress) -> NDArray[np.int64]:
    """Classes by the mean softmax over windows that start equally spaced in the clips (ACDNet, arXiv 2103.03483)."""
    width, output = graph.tensors[graph.input].shape[1], graph.tensors[graph.output]
    total = np.zeros((len(clips), output.shape[2]))
    for done, start in enumerate(np.linspace(0, clips.shape[3] - width, CROPS).astype(int)):
        progress("accuracy over 10 windows", done, CROPS)
        shares = host.run(quantise_input(graph, clips[..., start : start + width])).astype(np.float64)
        if output.dtype == "int8":
            shares = (shares - output.zero_point) * output.scale
        if not operator(graph.ops[-1].kind).sums_to_one:
            shares = np.exp(shares - shares.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
        total += shares
    return total.argmax(axis=1)
