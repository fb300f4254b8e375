"""Graph -> C -> host accuracy: what the emitted C, compiled for the host, says about the test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.api import Progress, Split
from kilobench.emit import emit
from kilobench.graph import Graph
from kilobench.graphfile import load_graph, save_graph
from kilobench.host import HostModel
from kilobench.simulate import quantise_input

VERIFIED_INPUTS = 8
CROPS = 10


@dataclass(frozen=True)
class Evaluation:
    """What host C says about the whole test set, and what boards are checked against."""

    correct: NDArray[np.bool_]
    correct_10_crops: NDArray[np.bool_] | None
    """By the mean softmax over 10 equally spaced windows of every clip; None where there are no longer clips."""
    inputs: NDArray[Any]
    """The inputs that boards are checked on, as the board gets them: [up to VERIFIED_INPUTS, height, width, channels]."""
    outputs: NDArray[Any]
    """Host C's raw outputs for them, [len(inputs), classes]."""
    checksums: NDArray[np.int64]
    """Operator and CRC-32 of everything made on the way for each of them, [len(inputs), parts, 2]."""
    arena_lower_bound: int
    """The least bytes that any placing of the feature maps could need."""
    peak: str
    """Path of the operator that needs the most."""
    seconds: float


def evaluate(graph: Graph, folder: Path, name: str, split: Split, progress: Progress) -> Evaluation:
    """Emit the model into ``folder``, compile it for the host and run the test set."""
    start = perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    memory = emit(graph, folder, name)
    host = HostModel(folder)
    inputs = quantise_input(graph, split.test_x)
    outputs = host.run(inputs)
    chosen = np.unique(np.linspace(0, len(inputs) - 1, VERIFIED_INPUTS).astype(int))
    crops = None if split.test_clips is None else _crops(graph, host, split.test_clips, progress) == split.test_y
    return Evaluation(
        correct=outputs.argmax(axis=1) == split.test_y,
        correct_10_crops=crops,
        inputs=inputs[chosen],
        outputs=outputs[chosen],
        checksums=np.array([host.checksums(inputs[i]) for i in chosen]),
        arena_lower_bound=memory.lower_bound_bytes,
        peak=memory.peak,
        seconds=perf_counter() - start,
    )


def save_evaluation(path: Path, graph: Graph, evaluation: Evaluation, facts: dict[str, Any]) -> None:
    """Write a graph, what host C says about it, and more ``facts`` (plain JSON) into one file."""
    values = {name: value for name, value in vars(evaluation).items() if value is not None}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in arrays}
    save_graph(graph, path, {"evaluation": plain, **facts}, arrays)


def load_evaluation(path: Path) -> tuple[Graph, Evaluation, dict[str, Any]]:
    """What save_evaluation wrote. Raises CellError for a file that is damaged."""
    graph, facts, arrays = load_graph(path)
    plain = facts.pop("evaluation")
    return graph, Evaluation(**{"correct_10_crops": None, **arrays, **plain}), facts


def _crops(graph: Graph, host: HostModel, clips: NDArray[np.float32], progress: Progress) -> NDArray[np.int64]:
    """Classes by the mean softmax over windows that start equally spaced in the clips (ACDNet, arXiv 2103.03483)."""
    width, output = graph.tensors[graph.input].shape[1], graph.tensors[graph.output]
    total = np.zeros((len(clips), output.shape[2]))
    for done, start in enumerate(np.linspace(0, clips.shape[3] - width, CROPS).astype(int)):
        progress("accuracy over 10 windows", done, CROPS)
        logits = host.run(quantise_input(graph, clips[..., start : start + width])).astype(np.float64)
        if output.dtype == "int8":
            logits = (logits - output.zero_point) * output.scale
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        total += shares / shares.sum(axis=1, keepdims=True)
    return total.argmax(axis=1)
