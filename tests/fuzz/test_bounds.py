# SPDX-License-Identifier: Apache-2.0
"""int8 convolutions whose sums are as large as they get are the same everywhere: kernels put several sums into one word."""

from pathlib import Path

import numpy as np

from kilobench.compile.graph import Graph
from kilobench.compile.int8 import multiplier
from kilobench.compile.ops._integers import TWICE
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, Pair
from tests.fuzz.batch import INPUTS, Case, Target, differences

CONVOLUTIONS: list[tuple[int, int, Pair]] = [(64, 8, (1, 1)), (130, 6, (1, 1)), (60, 5, (3, 3)), (1, 9, (8, 8))]
"""Channels read and made, and the kernel."""


def graph(seed: int, source_channels: int, made: int, kernel: Pair, depthwise: bool) -> Graph:
    """Weights of -127 and 127, alike in all of a channel or at random; every second has two roundings."""
    b = Builder(seed, wild=False)
    source = b.tensor((9, 11, source_channels), "int8")
    windows = kernel, (1, 1), (kernel[0] // 2, kernel[1] // 2)
    x = b.depthwise(source, *windows) if depthwise else b.conv(source, "int8", made, *windows, bits=8)
    params = b.ops[-1].params
    signs = b.random.choice([-1, 1], params["weight"].shape)
    alike = np.arange(x.shape[2]) % 3 < 2
    if depthwise:
        signs[..., alike] = np.where(np.arange(alike.sum()) % 2, -1, 1)
    else:
        signs[alike] = np.where(np.arange(alike.sum()) % 2, -1, 1)[:, None, None, None]
    params["weight"] = (127 * signs).astype(np.int8)
    if depthwise:  # some are -128, of every third layer four side by side
        chosen = (b.random.random(signs.shape) < 0.2) & (np.indices(signs.shape).sum(axis=0) % 2 == 0)
        chosen[:2, :2, -1] |= seed % 3 == 0
        params["weight"][chosen] = -128
    taps = kernel[0] * kernel[1] * (1 if depthwise else source_channels)
    params["multiplier"], params["shift"] = multiplier(np.full(x.shape[2], 100 / (taps * 127 * 128)))
    if seed % 2:
        params["shift"] = (params["shift"] + TWICE).astype(np.int32)
    return b.graph(source, x)


def test_the_largest_sums_are_the_same_everywhere(tmp_path: Path) -> None:
    graphs = [graph(seed, *numbers, False) for seed, numbers in enumerate(CONVOLUTIONS * 2)]
    graphs += [graph(seed, 8, 8, kernel, True) for seed, kernel in enumerate([(3, 3), (3, 3), (5, 5), (5, 5)])]
    cases = []
    for index, made in enumerate(graphs):
        shape = (INPUTS, *made.tensors[made.input].shape)
        inputs = np.where(np.arange(INPUTS) % 2, 127, -128).reshape(-1, 1, 1, 1)
        mixed = np.random.default_rng(index).choice([-128, 127], shape)
        rows = np.arange(shape[1]).reshape(1, -1, 1, 1) < 6
        cases.append(Case(f"graph {index}", made, np.where(rows, inputs, mixed).astype(np.int8)))
        assert len(np.unique(cases[-1].expected)) > 15  # most are not clamped
    boards = load_registry()
    targets = [
        Target(boards.get("boards", name))
        for name in ("nucleo_l4r5zi", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv")
    ]
    assert not differences(cases, tmp_path / "batch", targets)
