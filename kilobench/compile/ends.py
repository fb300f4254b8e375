# SPDX-License-Identifier: Apache-2.0
"""What firmware takes where that is something else than the network reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph, Op, Tensor
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


def _unused(graph: Graph, name: str) -> str:
    """A name that no tensor has."""
    while name in graph.tensors:
        name += "_"
    return name
