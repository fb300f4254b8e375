# SPDX-License-Identifier: Apache-2.0
"""A model as the firmware of one of MLPerf Tiny's benchmarks: it takes what MLCommons' runner sends."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from kilobench.compile.ends import DECIBELS, PIXELS, anomaly_score, pixels
from kilobench.compile.graph import Graph
from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS, Benchmark
from kilobench.measuring.recording import described
from kilobench.report.models import Subject

_READ_AS = {"uint8": ("uint8", "int8"), "int8": ("int8",), "float32": ("float32", "int8")}
"""Types of a model's input that can be made of what is sent. What pixels are to a float32 network of others, nobody says."""


def as_benchmark(subject: Subject, name: str) -> Subject:
    """The same model with the inputs of a benchmark, and of ad01 with one output, the squared error; no published one any more.

    Raises UserError for one whose input or output does not suit the benchmark, and names one that does.
    """
    benchmark = BENCHMARKS[name]
    if not _suits(subject, benchmark):
        graph = subject.graph
        made = ", ".join(described(graph.tensors[output]) for output in graph.outputs)
        suited = " or ".join(other.name for other in BENCHMARKS.values() if _suits(subject, other))
        raise UserError(
            f"{subject.name} takes {described(graph.tensors[graph.input])} and makes {made}; --as {name} is for models that take "
            f"{_wanted(benchmark)}" + (f"; this one can be {suited}" if suited else "")
        )
    return replace(subject, graph=_graph(subject, benchmark), published=None, benchmark=name)


def _suits(subject: Subject, benchmark: Benchmark) -> bool:
    graph = subject.graph
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    if benchmark.dtype == "float32":
        outputs = prod(source.shape) == prod(made.shape) == prod(benchmark.shape)
    else:
        outputs = source.shape == benchmark.shape and made.shape == (1, 1, benchmark.classes)
    own = benchmark.dtype == "uint8" and not subject.rounding
    return outputs and len(graph.outputs) == 1 and (own or source.dtype in _READ_AS[benchmark.dtype])


def _wanted(benchmark: Benchmark) -> str:
    sizes = f"{' or '.join(_READ_AS[benchmark.dtype])} {'x'.join(map(str, benchmark.shape))}"
    return f"{sizes} and make {'them again' if benchmark.dtype == 'float32' else f'{benchmark.classes} classes'}"


def _graph(subject: Subject, benchmark: Benchmark) -> Graph:
    if benchmark.dtype == "uint8":
        return pixels(subject.graph, None if subject.rounding else PIXELS)
    return _detector(subject) if benchmark.dtype == "float32" else subject.graph


def _detector(subject: Subject) -> Graph:
    try:
        return anomaly_score(subject.graph, 1.0 if subject.rounding else DECIBELS)
    except ValueError as error:
        raise UserError(f"{subject.name}: {error}") from None
