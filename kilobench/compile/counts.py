# SPDX-License-Identifier: Apache-2.0
"""What is counted of a graph: multiply-accumulates and weights."""

from __future__ import annotations

from kilobench.compile.graph import Graph
from kilobench.compile.operator import bind

_NAMES = {"float32": "fp32", "int8": "int8", "int16": "int16", "bit": "binary"}


def macs(graph: Graph) -> dict[str, int]:
    """Counted multiply-accumulates by type of input (taps on padding included): fp32, int8, binary, int16 if any."""
    counts = {"fp32": 0, "int8": 0, "binary": 0}
    for op in graph.ops:
        operator = bind(graph, op)
        if made := operator.macs():
            name = _NAMES[operator.source.dtype]
            counts[name] = counts.get(name, 0) + made
    return counts


def parameters(graph: Graph) -> int:
    """Weights and biases; a binary weight counts as one."""
    return sum(bind(graph, op).weights() for op in graph.ops)
