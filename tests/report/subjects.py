# SPDX-License-Identifier: Apache-2.0
"""Small models without training, and a report of one."""

from dataclasses import replace
from pathlib import Path

from kilobench.compile.graph import Graph
from kilobench.compile.graphfile import save_graph
from kilobench.measuring.recording import Where
from kilobench.plugins.registry import load_registry
from kilobench.progress import OverallProgress
from kilobench.report.measuring import Found, chosen, measure_subject
from kilobench.report.models import Subject
from kilobench.screen import console
from tests.untrained import untrained


def small(recipe: str = "int8") -> Graph:
    return untrained("resnet8[width=4]", recipe, (1, 8, 8), 3)


def two_outputs(recipe: str = "full") -> Graph:
    """The map of the first residual block as well."""
    graph = small(recipe)
    return replace(graph, outputs=(graph.ops[3].output, graph.output))


def graph_file(folder: Path, graph: Graph, name: str = "small") -> Path:
    path = folder / f"{name}.safetensors"
    save_graph(graph, path, {}, {})
    return path


def measured(graph: Graph, *boards: str) -> Found:
    subject = Subject("small.tflite", "small", graph)
    return measured_subject(subject, *boards)


def measured_subject(subject: Subject, *boards: str) -> Found:
    places = [Where(board) for board in chosen(load_registry([], ()), boards or ("nucleo_l476rg",))]
    with OverallProgress(console(), 1.0) as progress:
        return measure_subject(subject, places, progress)
