# SPDX-License-Identifier: Apache-2.0
"""What a graph computes by the meaning of its operators: the reference that the C is held to (docs/arithmetic.md).

Feature maps are [n, height, width, channels]; bit maps hold one uint8 0 or 1 per channel here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph
from kilobench.compile.operator import bind

Maps = dict[str, NDArray[Any]]


def quantise_input(graph: Graph, x: NDArray[np.float32]) -> NDArray[Any]:
    """Inputs as the model takes them: float32 [n, c, h, w] to [n, h, w, c], float32, or int8, uint8 or int16.

    Rounded half to even, and clamped.
    """
    tensor = graph.tensors[graph.input]
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    if tensor.dtype == "float32":
        return x
    q = np.rint(x / np.float32(tensor.scale)) + tensor.zero_point
    kind = np.iinfo(tensor.dtype)
    return np.clip(q, kind.min, kind.max).astype(kind.dtype)


def simulate(graph: Graph, inputs: NDArray[Any]) -> Maps:
    """All feature maps of a batch of inputs made by quantise_input, by tensor name."""
    maps: Maps = {graph.input: inputs}
    for op in graph.ops:
        maps[op.output] = bind(graph, op).compute([maps[name] for name in op.inputs])
    return maps
