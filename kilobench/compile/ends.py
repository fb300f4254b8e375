# SPDX-License-Identifier: Apache-2.0
"""What stands before and behind a network where firmware takes other inputs than it does, or answers otherwise."""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.operator import require
from kilobench.compile.simulate import quantise_input
from kilobench.contracts import Frontend

PIXELS = (1 / 128, 128)
"""Scale and zero point of the pixels p of image tasks: a network is trained on x = (p - 128) / 128."""


SOUND = 1 / 32768
"""Scale of the samples that a front end takes, and that recorders have."""

DECIBELS = 100.0
"""Of ad01's inputs in one unit of those that networks of the task ad are trained on."""


def pixels(graph: Graph, grid: tuple[float, int] | None = None) -> Graph:
    """A graph that takes uint8 pixels [height, width, channels] of a scale and zero point, and does as the given one.

    Left out, they are those with which an int8 input is q = p - 128, and PIXELS where it has another type. An int8 or int16 input
    on any other grid is looked up, rounded as inputs are; a float32 one is scale * (p - zero point). A graph that takes uint8 is
    returned as it is.
    """
    source = graph.tensors[graph.input]
    if source.dtype == "uint8":
        return graph
    alike = source.scale, source.zero_point + 128
    scale, zero = grid or (alike if source.dtype == "int8" else PIXELS)
    made = Tensor(_unused(graph, "pixels"), source.shape, "uint8", scale, zero)
    kind, params = "pixels", dict[str, NDArray[Any]]()
    if source.dtype == "float32":
        kind = "dequantise"
    elif source.dtype != "int8" or (scale, zero) != alike:
        values = (np.arange(256, dtype=np.float32) - np.float32(zero)) * np.float32(scale)
        kind, params = "quantise", {"table": quantise_input(graph, values.reshape(256, 1, 1, 1)).ravel()}
    front = Op(kind, "pixels", (made.name,), source.name, params=params)
    return replace(graph, tensors={made.name: made} | graph.tensors, ops=(front, *graph.ops), input=made.name)


def heard(graph: Graph, frontend: Frontend, samples: int) -> Graph:
    """A graph that takes int16 samples, and does with the codes that a front end makes of them as the given one, which was
    trained on (code - 128) / 128.
    """
    graph = pixels(graph, PIXELS)
    made = Tensor(_unused(graph, "sound"), (1, samples, 1), "int16", SOUND)
    values = {field.name: (getattr(frontend, field.name), field.default) for field in fields(frontend)}
    attrs = {name: value for name, (value, default) in values.items() if value != default}
    return _before(graph, "logmel", made, **attrs)


def anomaly_score(graph: Graph, unit: float = 1.0) -> Graph:
    """An autoencoder as a judge of what is unusual: from float32 inputs [1, 1, values] to one float32 output, the mean squared
    error of what it makes of them (Banbury et al., MLPerf Tiny Benchmark, arXiv 2106.07597, section 4).

    Values are compared in the order that they have on boards; int8 outputs are dequantised and compared with the inputs as they
    came, before these were quantised. ``unit`` is what one of the network's values is of those that come; the error is in the
    latter. Raises ValueError for a graph that makes more or fewer values than it reads, or other types than int8 and float32, and
    for float32 in another unit.
    """
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    count = prod(source.shape)
    suits = len(graph.outputs) == 1 and prod(made.shape) == count and {source.dtype, made.dtype} <= {"int8", "float32"}
    ends = f"{source.dtype} {source.shape} into {made.dtype} {made.shape}"
    require(suits, f"it turns {ends}; an autoencoder makes as many values as it reads, int8 or float32")
    if unit != 1:
        require(
            source.dtype == made.dtype == "int8",
            f"a float32 network takes other values, in units of {unit:g}; take int8",
        )
        source, made = (replace(tensor, scale=unit * tensor.scale) for tensor in (source, made))
        graph = replace(graph, tensors={**graph.tensors, source.name: source, made.name: made})
    flat = (1, 1, count)
    if source.shape != flat:
        graph = _before(graph, "reshape", replace(source, name="score.flat", shape=flat), shape=source.shape)
    if source.dtype == "int8":
        graph = _before(graph, "quantise", Tensor("score.input", flat, "float32"))
    if made.shape != flat:
        graph = _behind(graph, "reshape", replace(made, name="score.made", shape=flat), shape=flat)
    if made.dtype == "int8":
        graph = _behind(graph, "dequantise", Tensor("score.output", flat, "float32"))
    graph = _behind(graph, "sub", Tensor("score.error", flat, "float32"), (graph.output, graph.input), relu=False)
    graph = _behind(graph, "mul", Tensor("score.square", flat, "float32"), (graph.output, graph.output), relu=False)
    graph = _behind(graph, "reshape", Tensor("score.row", (1, count, 1), "float32"), shape=(1, count, 1))
    score = Tensor("score", (1, 1, 1), "float32")
    mean = _behind(graph, "avg_pool", score, kernel=(1, count), stride=(1, 1), padding=(0, 0))
    mean.ops[-1].params["scale"] = np.array([1 / count], np.float32)
    return mean


def _before(graph: Graph, kind: str, reads: Tensor, **attrs: Any) -> Graph:
    """With an operator in front, which makes what was the input of another tensor."""
    op = Op(kind, f"{reads.name}.{kind}", (reads.name,), graph.input, attrs)
    return replace(graph, tensors={**graph.tensors, reads.name: reads}, ops=(op, *graph.ops), input=reads.name)


def _behind(graph: Graph, kind: str, makes: Tensor, reads: tuple[str, ...] = (), **attrs: Any) -> Graph:
    """With an operator at the end, which reads what was the output unless said otherwise, and makes the new one."""
    op = Op(kind, makes.name, reads or (graph.output,), makes.name, attrs)
    return replace(graph, tensors={**graph.tensors, makes.name: makes}, ops=(*graph.ops, op), outputs=(makes.name,))


def _unused(graph: Graph, name: str) -> str:
    """A name that no tensor has."""
    while name in graph.tensors:
        name += "_"
    return name
