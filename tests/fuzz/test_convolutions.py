# SPDX-License-Identifier: Apache-2.0
"""Random int8 convolutions and dense layers of the shapes, scales and biases by which their kernels choose a loop: simulation,
host C and cores with and without DSP extension agree.

KILOBENCH_FUZZ_GRAPHS=10000 is the size of a night; ``-v`` shows how far it is.
"""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.graph import Graph, Op
from kilobench.compile.int8 import multiplier
from kilobench.compile.kernels import constant
from kilobench.compile.operator import bind
from kilobench.compile.ops._integers import INT32_MAX, TWICE
from kilobench.compile.schedule import steps
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, Pair
from tests.fuzz.batch import Target, check, seeded

GRAPHS, BATCH = int(os.environ.get("KILOBENCH_FUZZ_GRAPHS", "50")), 50
BOARDS = ("nucleo_l476rg", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv")
TARGETS = [Target(load_registry().get("boards", name)) for name in BOARDS]
KINDS = (*("pointwise", "pointwise", "window", "dense") * 3, "colours")
MAX_TAPS = 4000
"""Of a dense layer, about."""


def layer(seed: int) -> Graph:
    """A pointwise convolution, one of a larger kernel, maybe three rows of colours, or a dense layer; some behind another
    convolution, some before a pool, with which they run in strips.
    """
    b = Builder(seed, extreme=seed % 5 == 0, wild=False)
    r, kind = b.random, KINDS[seed % len(KINDS)]
    height, width = size(b)
    read = 3 if kind == "colours" else min(channels(b), 1 + MAX_TAPS // (height * width))
    source = x = b.tensor((height, width, read), "int8")
    if r.random() < 0.25:
        x = b.conv(x, "int8", x.shape[2], (min(3, height), min(3, width)), (1, 1), (0, 0))
    if kind == "pointwise":
        y = b.conv(x, "int8", outputs(b), (1, 1), ((1, 1), (1, 1), (1, 1), (2, 2), (1, 2))[r.integers(5)], (0, 0), 8)
    elif kind == "window":
        y = b.conv(x, "int8", outputs(b), (int(r.integers(1, 6)), int(r.integers(1, 6))), bits=8)
    elif kind == "colours":
        y = b.conv(x, "int8", outputs(b), (3, int(r.integers(1, 6))), bits=8)
    else:
        y = b.conv(x, "int8", outputs(b), x.shape[:2], (1, 1), (0, 0), 8)
    rescale(b, b.ops[-1])
    if min(y.shape[:2]) > 3 and r.random() < 0.5:
        y = b.pool(y, "max_pool", (2, 2), (2, 2))
    return b.graph(source, y)


def size(b: Builder) -> Pair:
    """Maps of one pixel, of one row or column, of a few columns, and larger ones."""
    few = [int(b.random.choice([1, 2, 3, 4, 5, 8])) for _ in range(2)]
    large = [int(n) for n in b.random.integers(6, 20, 2)]
    height, width = (few, [few[0], large[1]], [large[0], few[1]], large)[b.random.integers(4)]
    return height, width


def channels(b: Builder) -> int:
    """Mostly few, in fours; some odd numbers, and so many that a dense layer has more taps than a chunk."""
    few, odd, many = 4 * b.random.integers(1, 6), b.random.integers(1, 24), b.random.integers(24, 130)
    return int((few, few, odd, many)[b.random.integers(4)])


def outputs(b: Builder) -> int:
    """One to 13, or fours."""
    return int(b.random.integers(1, 14) if b.random.random() < 0.6 else 4 * b.random.integers(1, 9))


def rescale(b: Builder, op: Op) -> None:
    """Factors of 2**-20 to 1/2, or such that outputs lie in int8, some below, some of both in a layer; biases up to the limits
    of int32, or of what a kernel of two roundings takes; and one rounding, two, or both in a layer. Half of the layers
    have few weights, some small, so that small shifts do not saturate, and sums lie half way between two values.
    """
    r, params = b.random, op.params
    weight, bias = params["weight"], params["bias"]
    if r.integers(2):
        kept = r.random(weight.shape) < 4 / weight[0].size
        weight = np.trunc(weight / 2 ** r.integers(8) * kept).astype(np.int8)
        bias = bias // 256
    count, reach = len(weight), 255 * np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3))
    low, high = np.sort(r.uniform(1, 20, 2))
    powers = r.uniform(low, high, count)
    usual = np.log2(np.maximum(reach, 1) / 100 / np.exp(r.uniform(0, 3, count)))
    dead = r.random(count) < r.choice([0, 0, 0.2])
    limit = (INT32_MAX >> r.integers(2)) - reach
    bias = np.clip(bias, -limit, limit)
    far = r.random(count) < r.choice([0, 0, 0, 0, 0.1, 0.3, 1])
    bias = np.where(far, limit * r.choice([-1, 1, 0.5, -0.5], count), bias)
    exponent = np.where(dead, r.uniform(20, 32, count), np.maximum(usual, 1) if r.integers(3) else powers)
    m, t = multiplier(2.0**-exponent)
    twice = r.random(count) < r.choice([0, 0, 1, 1, 0.5])
    params.update(weight=weight, bias=bias.astype(np.int32), multiplier=m, shift=(t + TWICE * twice).astype(np.int32))


def traits(graph: Graph) -> set[str]:
    """What its last convolution is a case of."""
    place = max(index for index, op in enumerate(graph.ops) if op.kind == "conv2d")
    bound = bind(graph, graph.ops[place])
    (height, width, made), t = bound.output.shape, bound.params["shift"] % TWICE
    far = bool(((t < 33) | (t > 55)).any())
    pointwise = bound.attrs["kernel"] == (1, 1) and height * width > 1
    named = {
        "pixel": height * width == 1,
        "in strips": any(place in step.ops and len(step.ops) > 1 for step in steps(graph)),
        "asymmetric": bound.attrs.get("extra", (0, 0)) != (0, 0),
        "rows of colours": bound.source.shape[2] == 3 and bound.attrs["kernel"][0] == 3 and height > 3,
        "of several chunks": np.prod(bound.shape("HWI")) > constant("KB_CONV2D_S8_CHUNK"),
        f"pointwise of {bound.source.shape[2]}": pointwise and not far,
        f"pointwise of {bound.source.shape[2]}, shifted far": pointwise and far,
        f"dense to {made}": bound.attrs["kernel"] == bound.source.shape[:2],
    }
    found = {name for name, holds in named.items() if holds}
    return found | {f"{bound.kernel} to {made}", f"{width} wide"}


@pytest.mark.parametrize("first", range(0, GRAPHS, BATCH), ids=lambda first: f"{first} of {GRAPHS}")
def test_simulation_host_and_boards_agree(first: int, tmp_path: Path) -> None:
    check([seeded(seed, layer(seed)) for seed in range(first, min(first + BATCH, GRAPHS))], tmp_path, TARGETS)


def test_a_core_with_dsp_extension_and_no_fpu_agrees(tmp_path: Path) -> None:
    board = TARGETS[0].board
    flags = {"zig": "-target thumb-freestanding-eabi -mcpu=cortex_m4-vfp4d16sp"}
    without = Target(replace(board, core=replace(board.core, name="cortex-m4", features=("dsp",), flags=flags)))
    check([seeded(seed, layer(seed)) for seed in range(BATCH)], tmp_path, [without])


def test_every_loop_is_among_the_cases() -> None:
    found = Counter(trait for seed in range(4000) for trait in traits(layer(seed)))
    kernels, few = ("kb_conv2d_s8", "kb_tflite_conv2d_s8"), range(1, 14)
    wanted = {"pixel", "in strips", "asymmetric", "of several chunks", "rows of colours"}
    wanted |= {f"pointwise of {read}{shift}" for read in (4, 8, 12, 16, 20) for shift in ("", ", shifted far")}
    wanted |= {f"{width} wide" for width in (1, 2, 3, 5)} | {f"dense to {made}" for made in few}
    wanted |= {f"{kernel} to {made}" for kernel in kernels for made in few}
    wanted |= {f"{kernel.replace('conv2d', 'dense_conv2d')} to {made}" for kernel in kernels for made in (1, 2, 3)}
    wanted |= {f"{kernel.replace('conv2d', 'pointwise_conv2d')} to {made}" for kernel in kernels for made in (4, 12)}
    wanted |= {"kb_grouped_conv2d_s8 to 4"}  # factors of 1/4 and more
    assert {trait for trait in wanted if found[trait] < 5} == set()
