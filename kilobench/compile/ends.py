# SPDX-License-Identifier: Apache-2.0
"""What stands before and behind a network where firmware takes other inputs than it does, or answers otherwise."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.operator import require


def anomaly_score(graph: Graph) -> Graph:
    """An autoencoder as a judge of what is unusual: from float32 inputs [1, 1, values] to one float32 output, the mean squared
    error of what it makes of them (Banbury et al., MLPerf Tiny Benchmark, arXiv 2106.07597, section 4).

    Values are compared in the order that they have on boards; int8 outputs are dequantised and compared with the inputs as they
    came, before these were quantised. Raises ValueError for a graph that makes more or fewer values than it reads, or other types
    than int8 and float32.
    """
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    count = prod(source.shape)
    suits = len(graph.outputs) == 1 and prod(made.shape) == count and {source.dtype, made.dtype} <= {"int8", "float32"}
    ends = f"{source.dtype} {source.shape} into {made.dtype} {made.shape}"
    require(suits, f"it turns {ends}; an autoencoder makes as many values as it reads, int8 or float32")
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
