# SPDX-License-Identifier: Apache-2.0
"""Convolutions and dense layers most of whose weights are 0: simulation, host C and cores of every kind of code agree."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.graph import Graph
from kilobench.compile.operator import bind
from kilobench.compile.ops.conv2d import Conv2d
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder
from tests.fuzz.batch import Target, check, seeded
from tests.fuzz.test_convolutions import TARGETS, channels, rescale, size

LAYERS = 32
KINDS = ("window", "pointwise", "window", "dense")
DENSITIES = (0.25, 0.12, 0.03, 0)
TRAPS = Target(load_registry().get("boards", "raspberry_pi_pico"), traps=True)


def layer(seed: int) -> Graph:
    """Of any window, some of which run in strips, before a pool; one channel in eight has no weight at all."""
    b = Builder(seed, extreme=seed % 5 == 0, wild=False)
    r, kind = b.random, KINDS[seed % len(KINDS)]
    height, width = (int(n) for n in r.integers(1, 7, 2)) if kind == "dense" else size(b)
    read = channels(b)
    source = b.tensor((height, width, read), "int8")
    any_kernel = (int(r.integers(1, 6)), int(r.integers(1, 6)))
    kernel = {"pointwise": (1, 1), "dense": (height, width)}.get(kind, any_kernel)
    made = int(r.integers(-(-1024 // (read * kernel[0] * kernel[1])), 60)) if read * np.prod(kernel) > 30 else 40
    padding, density = (
        (0, 0) if kind in ("pointwise", "dense") else None,
        DENSITIES[seed // len(KINDS) % len(DENSITIES)],
    )
    y = b.conv(source, "int8", made, kernel, (1, 1) if kind == "dense" else None, padding, 8, density)
    b.ops[-1].params["weight"][r.random(made) < 0.125] = 0
    rescale(b, b.ops[-1])
    if min(y.shape[:2]) > 3 and r.random() < 0.5:
        y = b.pool(y, "max_pool", (2, 2), (2, 2))
    return b.graph(source, y)


def test_simulation_host_and_boards_agree(tmp_path: Path) -> None:
    check([seeded(seed, layer(seed)) for seed in range(LAYERS)], tmp_path, [*TARGETS, TRAPS])


def test_every_loop_is_among_the_cases() -> None:
    found = Counter[str]()
    for graph in map(layer, range(LAYERS)):
        op = bind(graph, graph.ops[0])
        assert isinstance(op, Conv2d)
        stored = np.count_nonzero(op.params["weight"], axis=(1, 2, 3))
        chunks = set((-(-stored // 4) % 2).tolist())
        traits = {"left over": op.output.shape[1] % 4 > 0, "block": op.output.shape[1] > 4, "clamped": op.attrs["relu"]}
        traits |= {"none": 0 in stored, "odd": 1 in chunks, "even": 0 in chunks, "few": stored.max() < 4}
        traits |= {"strided": op.least.stride[1] > 1, "filled": op.source.shape[2] % 4 > 0}
        found.update(f"{op.kernel} {trait}" for trait, holds in traits.items() if holds)
    wanted = {"kb_sparse_conv2d_s8": ("left over", "block", "strided")} | {"kb_sparse_dense_conv2d_s8": ()}
    both = ("clamped", "none", "odd", "even", "few", "filled")
    assert {f"{kernel} {trait}" for kernel, traits in wanted.items() for trait in (*traits, *both)} <= set(found)


@pytest.mark.parametrize(
    ("density", "out", "bits", "kernel"),
    [(0.2, 32, 8, "sparse_conv2d_s8"), (0.6, 32, 8, "conv2d_s8"), (0.2, 3, 8, "conv2d_s8"), (0.2, 32, 4, "conv2d_s4")],
)
def test_only_what_pays_is_stored_so(density: float, out: int, bits: int, kernel: str) -> None:
    """Not layers of many weights that are not 0, of few weights at all, or of few bits."""
    b = Builder(0, wild=False)
    source = b.tensor((8, 8, 16), "int8")
    graph = b.graph(source, b.conv(source, "int8", out, (3, 3), bits=bits, density=density))
    assert bind(graph, graph.ops[0]).kernel == f"kb_{kernel}"
