# SPDX-License-Identifier: Apache-2.0
"""What stands before and behind a network where firmware takes other inputs than it does, or answers otherwise."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.operator import require
from kilobench.compile.simulate import quantise_input

PIXELS = (1 / 128, 128)
"""Scale and zero point of the pixels p of image tasks: a network is trained on x = (p - 128) / 128."""


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


def anomaly_score(graph: Graph) -> Graph:
    """An autoencoder as a judge of what is unusual: from float32 inputs of its shape to one float32 output, the mean squared
    error of what it makes of them (Banbury et al., MLPerf Tiny Benchmark, arXiv 2106.07597, section 4).

    int8 outputs are dequantised and compared with the inputs as they came, before these were quantised. Raises ValueError for
    a graph whose output has another shape than its input, or with other types than int8 and float32.
    """
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    suits = len(graph.outputs) == 1 and made.shape == source.shape and {source.dtype, made.dtype} <= {"int8", "float32"}
    ends = f"{source.dtype} {source.shape} into {made.dtype} {made.shape}"
    require(suits, f"it turns {ends}; an autoencoder makes what it reads, int8 or float32, of one shape")
    ops, tensors = list(graph.ops), dict(graph.tensors)

    def adds(kind: str, inputs: tuple[str, ...], shape: tuple[int, int, int], **rest: Any) -> str:
        name = f"score.{kind}"
        tensors[name] = Tensor(name, shape, "float32")
        ops.append(Op(kind, name, inputs, name, **rest))
        return name

    given = source.name
    if source.dtype == "int8":
        given = "score.input"
        tensors[given] = Tensor(given, source.shape, "float32")
        ops.insert(0, Op("quantise", "score.quantise", (given,), source.name))
    found = adds("dequantise", (made.name,), made.shape) if made.dtype == "int8" else made.name
    error = adds("sub", (found, given), source.shape, attrs={"relu": False})
    square = adds("mul", (error, error), source.shape, attrs={"relu": False})
    count = prod(source.shape)
    row = adds("reshape", (square,), (1, count, 1), attrs={"shape": (1, count, 1)})
    window = {"kernel": (1, count), "stride": (1, 1), "padding": (0, 0)}
    mean = adds("avg_pool", (row,), (1, 1, 1), attrs=window, params={"scale": np.array([1 / count], np.float32)})
    return Graph(tensors, tuple(ops), given, (mean,))


def _unused(graph: Graph, name: str) -> str:
    """A name that no tensor has."""
    while name in graph.tensors:
        name += "_"
    return name
