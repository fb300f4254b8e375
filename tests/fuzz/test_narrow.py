# SPDX-License-Identifier: Apache-2.0
"""Convolutions and dense layers with weights of few bits: simulation, host C and cores of every kind of code agree."""

from collections import Counter
from pathlib import Path

import numpy as np

from kilobench.compile.graph import Graph
from kilobench.compile.operator import bind
from kilobench.compile.ops.conv2d import Conv2d
from tests.compile.graphs import Builder
from tests.fuzz.batch import check, seeded
from tests.fuzz.test_convolutions import TARGETS, channels, outputs, rescale, size

LAYERS = 48
KINDS = ("window", "pointwise", "window", "dense", "deep")


def layer(seed: int) -> Graph:
    """A layer of 2, 4, 3 or 5 bits; a deep one has more taps than a chunk. Some run in strips, before a pool."""
    b = Builder(seed, extreme=seed % 4 == 0, wild=False)
    r, kind, bits = b.random, KINDS[seed % len(KINDS)], (2, 4, 2, 4, 3, 5)[seed % 6]
    height, width = (3, 4) if kind == "deep" else size(b)
    source = b.tensor((height, width, int(r.integers(57, 200)) if kind == "deep" else channels(b)), "int8")
    any_kernel = (int(r.integers(1, 6)), int(r.integers(1, 6)))
    kernel = {"pointwise": (1, 1), "dense": (height, width), "deep": (3, 3)}.get(kind, any_kernel)
    padding = (0, 0) if kind in ("pointwise", "dense") else None
    made = int(r.integers(1, 4)) if seed % 7 == 0 else outputs(b)
    y = b.conv(source, "int8", made, kernel, (1, 1) if kind == "dense" else None, padding, bits)
    rescale(b, b.ops[-1])
    if min(y.shape[:2]) > 3 and r.random() < 0.5:
        y = b.pool(y, "max_pool", (2, 2), (2, 2))
    return b.graph(source, y)


def test_simulation_host_and_boards_agree(tmp_path: Path) -> None:
    check([seeded(seed, layer(seed)) for seed in range(LAYERS)], tmp_path, TARGETS)


def test_every_loop_is_among_the_cases() -> None:
    found = Counter[str]()
    for graph in map(layer, range(LAYERS)):
        op = bind(graph, graph.ops[0])
        assert isinstance(op, Conv2d)
        height, width, made = op.output.shape
        traits = {"single": height * width % 2 == 1, "long": op.taps() > 512, "filled": op.taps() % 4 > 0}
        traits |= {"few": made < 4, "quads": made % 4 == 0, "odd": made % 4 > 0, "wide": height * width > 8}
        traits |= {"-1": bool(np.any(op.params["weight"] < 0))}
        found.update(f"{op.kernel} {trait}" for trait, holds in traits.items() if holds)
    traits = ("single", "long", "filled", "few", "quads", "odd", "wide", "-1")
    assert {f"kb_conv2d_s{bits} {trait}" for bits in (2, 4) for trait in traits} <= set(found)
