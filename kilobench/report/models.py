# SPDX-License-Identifier: Apache-2.0
"""What can be measured: published models, lowered graphs, and models that other tools wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kilobench.compile.graph import Graph
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.graphfile import load_graph
from kilobench.compile.imports import LOADERS, load_model, usual_rounding
from kilobench.contracts import CellError, UserError
from kilobench.measuring.evaluate import EvaluatedModel, load_model_file
from kilobench.measuring.recording import title
from kilobench.results.packed import SUFFIX, unpacked

Rounding = Literal["once", "tflite"]
GRAPH = ".safetensors"
PACKED = f"{GRAPH}{SUFFIX}"
"""What the name of a packed model ends in."""


@dataclass(frozen=True)
class Subject:
    """A model that is to be measured."""

    name: str
    title: str
    """What its program calls it."""
    graph: Graph
    rounding: Literal["once", "tflite", ""] = ""
    """As it was imported; empty for a graph."""
    published: EvaluatedModel | None = None
    """Where ``file`` is one of kilobench run: it has records."""
    file: Path | None = None
    benchmark: str = ""
    """Which of MLPerf Tiny's its firmware is built as; empty for none."""


def is_model(path: Path) -> bool:
    """Whether a name ends as that of a model's file, packed (kilobench.results.packed) or not."""
    return path.suffix.lower() in (GRAPH, *LOADERS) or path.name.endswith(PACKED)


def load_subject(path: Path, rounding: Rounding | None = None) -> Subject:
    """Read a model file of any kind that there is. Raises UserError in one line for anything else."""
    if not is_model(path):
        known = ", ".join((*LOADERS, GRAPH))
        raise UserError(f"{path}: a model's file ends in one of {known}")
    packed = path.name.endswith(PACKED)
    if not (path.exists() if packed else path.is_file()):
        raise UserError(f"{path} is no file; published models are in leaderboard/models")
    if packed or path.suffix.lower() == GRAPH:
        if rounding is not None:
            raise UserError(f"{path}: --rounding is for models of other tools; a graph says its own")
        return _graph(path)
    rounding = rounding or usual_rounding(path)
    try:
        graph = load_model(path, rounding)
        check_graph(graph)
    except (CellError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    return Subject(path.name, path.stem, graph, rounding, file=path)


def _graph(path: Path) -> Subject:
    try:
        with unpacked(path) as file:
            graph, facts, _ = load_graph(file)
            published = load_model_file(file) if facts else None
    except CellError as error:
        raise UserError(str(error)) from None
    name = title(published.about) if published else path.stem
    return Subject(path.name, name, graph, published=published, file=path)


def module_subject(module: Any, input_shape: tuple[int, ...] | None, rounding: Rounding = "once") -> Subject:
    """A module of torch that takes float32 inputs of a shape, without the batch. Raises UserError for anything else."""
    if not hasattr(module, "state_dict"):
        raise UserError(f"a model is the path of a file or a module of torch, not {type(module).__name__}")
    if input_shape is None:
        raise UserError("a module of torch needs input_shape, that of one input without the batch, as in (3, 32, 32)")
    from kilobench.compile.imports.exported import lower

    name = type(module).__name__
    return Subject(name, name, lower(module, input_shape, rounding), rounding)
