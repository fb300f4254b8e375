# SPDX-License-Identifier: Apache-2.0
"""Kernels of two roundings: simulation, host C and the firmware of cores with and without DSP extension agree, where what they
make use of holds and where it does not.
"""

from pathlib import Path

import numpy as np

from kilobench.compile.graph import Graph
from kilobench.compile.int8 import multiplier
from kilobench.compile.operator import bind
from kilobench.compile.ops._integers import TWICE
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, random_inputs
from tests.fuzz.batch import INPUTS, Case, Target, differences


def summed(seed: int) -> Graph:
    """A sum in which one factor is 1/2, as that of the larger scale always is; of some seeds both are, as of equal scales."""
    b = Builder(seed)
    source = b.tensor((3, int(b.random.integers(1, 9)), b.channels()), "int8")
    other = b.conv(source, "int8", out=source.shape[2], kernel=(1, 1), stride=(1, 1), padding=(0, 0))
    real = [0.5, 0.5 if seed % 4 == 0 else b.random.uniform(0.01, 0.5)]
    m, t = multiplier(np.array([*(real[place] for place in b.random.permutation(2)), 2.0 ** -b.random.uniform(17, 20)]))
    params = {"multiplier": m, "shift": t + np.int32(TWICE)}
    made = b.tensor(source.shape, "int8")
    return b.graph(source, b.op("tflite_add", [source, other], made, {"relu": bool(seed % 2)}, params))


def convolved(seed: int) -> Graph:
    """A convolution, of even seeds depthwise; one in four channels has a bias of 2**30, as TFLite writes those that training
    has emptied. Their output is the same whatever is read, but for every third seed, where it lies between two values.
    """
    b = Builder(seed)
    source = b.tensor((5, int(b.random.integers(3, 9)), b.channels()), "int8")
    made = b.depthwise(source) if seed % 2 == 0 else b.conv(source, "int8")
    (op,) = b.ops
    real = np.exp(b.random.uniform(np.log(1e-4), np.log(0.1), made.shape[2]))
    empty = b.random.random(made.shape[2]) < 0.25
    signs = np.sign(b.random.normal(size=made.shape[2])).astype(np.int32)
    bias = np.where(empty, signs * (2**30 + (0 if seed % 3 else 2**23)), op.params["bias"])
    m, t = multiplier(np.where(empty, 2.0**-24, real))
    params = {"multiplier": m, "shift": t + np.int32(TWICE), "bias": bias.astype(np.int32)}
    op.params.update({name: value.astype(np.int32) for name, value in params.items()})
    return b.graph(source, made)


def test_two_roundings_are_the_same_everywhere(tmp_path: Path) -> None:
    graphs = [make(seed) for make in (summed, convolved) for seed in range(24)]
    kernels = {bind(graph, graph.ops[-1]).kernel for graph in graphs}
    assert kernels >= {
        "kb_tflite_add_exact_s8",
        "kb_tflite_add_s8",
        "kb_tflite_conv2d_s8",
        "kb_tflite_depthwise_conv2d_s8",
    }
    assert "kb_grouped_conv2d_s8" in kernels  # sums too large to be doubled
    cases = [Case(f"graph {index}", graph, random_inputs(graph, INPUTS, index)) for index, graph in enumerate(graphs)]
    boards = load_registry()
    targets = [Target(boards.get("boards", name)) for name in ("nucleo_l4r5zi", "raspberry_pi_pico", "nucleo_f103rb")]
    assert not differences(cases, tmp_path / "batch", targets)
