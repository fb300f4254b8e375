# SPDX-License-Identifier: Apache-2.0
"""Graphs without the channels that never change make the same outputs."""

from dataclasses import replace

import numpy as np
import pytest

from kilobench.compile.graph import Graph, Op
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.imports.dead_channels import without_dead_channels
from kilobench.compile.simulate import simulate
from tests.compile.graphs import Builder, random_inputs

DEAD_SHIFT = 50


def emptied(seed: int) -> Graph:
    """Convolutions, depthwise ones and pools in any order, half of whose channels never change: some as their zero point, which
    is what padding is, some not. Behind them two branches and what is not made channel by channel.
    """
    b = Builder(seed, wild=False)
    r = b.random
    source = x = b.tensor((int(r.integers(5, 9)), int(r.integers(5, 9)), int(r.integers(1, 9))), "int8")
    for _ in range(r.integers(3, 8)):
        kind, size = r.integers(5), min(3, *x.shape[:2])
        if kind < 2:
            x = b.conv(x, "int8", int(r.integers(3, 24)), (size, size) if kind else (1, 1))
        elif kind < 4:
            x = b.depthwise(x)
        else:
            x = b.pool(x, ("max_pool", "avg_pool")[r.integers(2)], (2, 2), (1, 1)) if min(x.shape[:2]) > 1 else x
        if b.ops and "bias" in b.ops[-1].params:
            _empty(b, b.ops[-1])
    other = x
    if r.integers(2):
        other = b.conv(x, "int8", x.shape[2], (1, 1), (1, 1), (0, 0))
        other = b.add(x, other) if r.integers(2) else other
    made = b.conv(other, "int8", 5, other.shape[:2], (1, 1), (0, 0))
    return b.graph(source, made)


def _empty(b: Builder, op: Op) -> None:
    """Half of the channels of a convolution get a factor so small that nothing changes them, and no bias, or a large one."""
    dead = b.random.random(len(op.params["shift"])) < 0.5
    large = b.random.random(len(dead)) < 0.5
    bias = np.where(dead, np.where(large, 2**27, 0), op.params["bias"])
    op.params.update(
        shift=np.where(dead, np.where(large, 40, DEAD_SHIFT), op.params["shift"]).astype(np.int32),
        bias=bias.astype(np.int32),
        weight=np.where(_of_channel(op, dead & large), op.params["weight"] // 64, op.params["weight"]).astype(np.int8),
    )


def _of_channel(op: Op, chosen: np.ndarray) -> np.ndarray:
    """A mask of the weights."""
    return chosen if op.kind == "depthwise_conv2d" else chosen[:, None, None, None]


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_outputs_are_the_same(first: int) -> None:
    smaller = 0
    for seed in range(first, first + 50):
        graph = emptied(seed)
        left = without_dead_channels(graph)
        check_graph(left)
        x = random_inputs(graph, 4, seed)
        x[0], x[1] = -128, 127
        assert np.array_equal(simulate(graph, x)[graph.output], simulate(left, x)[left.output]), seed
        assert (left.left_out.parameters > 0) == (left is not graph)
        smaller += left is not graph
    assert smaller > 20


def test_what_nobody_empties_is_kept() -> None:
    b = Builder(0, wild=False)
    source = b.tensor((6, 6, 5), "int8")
    graph = b.graph(source, b.conv(b.depthwise(source), "int8", 7, (3, 3)))
    assert without_dead_channels(graph) is graph


def test_every_channel_of_an_output_is_made() -> None:
    """Even of one that never changes."""
    b = Builder(1, wild=False)
    source = b.tensor((6, 6, 5), "int8")
    inner = b.conv(source, "int8", 8, (1, 1))
    b.ops[-1].params["shift"][:] = DEAD_SHIFT
    graph = replace(b.graph(source, b.conv(inner, "int8", 4, (1, 1))), outputs=(b.ops[-1].output, inner.name))
    left = without_dead_channels(graph)
    assert left.tensors[inner.name].shape[2] == 8
    x = random_inputs(graph, 3, 1)
    for name in graph.outputs:
        assert np.array_equal(simulate(graph, x)[name], simulate(left, x)[name])
