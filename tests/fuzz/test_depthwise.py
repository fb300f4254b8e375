# SPDX-License-Identifier: Apache-2.0
"""Every kernel of int8 depthwise convolutions, by all ways in which its tiles lie, is what the simulation says on all cores, and
so where it overwrites its input, and where channels are nearly dead.
"""

from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.graph import Graph
from kilobench.compile.kernels import constant
from kilobench.compile.memory import plan
from kilobench.compile.operator import bind
from kilobench.compile.ops._integers import TWICE
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, Pair, random_inputs
from tests.fuzz.batch import INPUTS, Case, Target, differences

SHAPES: list[tuple[tuple[int, int, int], Pair, Pair, Pair]] = [
    ((16, 16, 8), (3, 3), (1, 1), (1, 1)),
    ((25, 5, 12), (3, 3), (1, 1), (1, 1)),
    ((5, 25, 7), (3, 3), (1, 1), (0, 1)),
    ((31, 40, 5), (3, 3), (1, 1), (1, 1)),
    ((13, 12, 9), (3, 3), (2, 2), (1, 1)),
    ((30, 33, 4), (3, 3), (2, 2), (1, 0)),
    ((9, 9, 6), (3, 3), (3, 3), (1, 1)),
    ((3, 3, 12), (3, 3), (1, 1), (1, 1)),
    ((6, 7, 9), (3, 3), (2, 2), (1, 1)),
    ((2, 6, 8), (3, 3), (3, 3), (1, 0)),
    ((30, 25, 5), (3, 3), (3, 3), (1, 1)),
    ((9, 8, 5), (3, 3), (1, 2), (1, 1)),
    ((2, 2, 8), (3, 3), (1, 1), (1, 1)),
    ((1, 1, 9), (3, 3), (1, 1), (1, 1)),
    ((12, 11, 6), (5, 5), (1, 1), (2, 2)),
    ((12, 11, 6), (5, 5), (2, 2), (2, 2)),
    ((14, 9, 4), (7, 7), (1, 1), (3, 3)),
    ((10, 12, 5), (4, 6), (1, 1), (1, 2)),
    ((12, 12, 4), (5, 4), (2, 3), (2, 1)),
    ((6, 60, 4), (2, 8), (1, 1), (0, 4)),
    ((40, 1, 12), (3, 1), (1, 1), (1, 0)),
    ((29, 1, 7), (3, 1), (1, 1), (2, 0)),
    ((1, 12, 9), (1, 3), (1, 1), (0, 0)),
    ((6, 3, 8), (3, 1), (1, 1), (1, 0)),
    ((60, 1, 8), (10, 1), (1, 1), (4, 0)),
    ((1, 60, 8), (1, 5), (1, 2), (0, 2)),
    ((15, 1, 13), (15, 1), (1, 1), (7, 0)),
    ((7, 7, 3), (3, 3), (1, 1), (1, 1)),
    ((1, 31, 7), (1, 5), (1, 1), (0, 2)),
    ((41, 23, 4), (3, 3), (3, 3), (0, 1)),
    ((33, 1, 8), (5, 1), (1, 1), (2, 0)),
    ((1, 22, 7), (1, 4), (1, 1), (0, 1)),
    ((9, 14, 5), (1, 2), (1, 1), (0, 1)),
    ((14, 9, 4), (1, 1), (1, 1), (0, 0)),
    ((11, 13, 6), (1, 3), (3, 1), (0, 1)),
    ((5, 29, 13), (1, 1), (1, 3), (0, 0)),
    ((5, 2, 7), (1, 2), (1, 3), (0, 1)),
    ((3, 1, 8), (5, 1), (1, 1), (2, 0)),
    *(((18, 7 + n, 8), (3, 3), (1, 1), (1, 1)) for n in range(4)),
    ((2, 9, 5), (1, 5), (1, 1), (0, 4)),
    ((1, 22, 5), (1, 10), (1, 1), (0, 0)),
    ((23, 1, 8), (10, 1), (1, 1), (0, 0)),
    ((1, 24, 6), (1, 10), (1, 1), (0, 0)),
    ((1, 50, 4), (1, 33), (1, 1), (0, 16)),
    ((11, 9, 4), (5, 5), (1, 1), (2, 2)),
    ((9, 11, 5), (2, 7), (1, 2), (1, 3)),
]


def graph(seed: int, shape: tuple[int, int, int], kernel: Pair, stride: Pair, padding: Pair) -> Graph:
    """The convolution between two others, so that nothing else keeps its input. Every third has two roundings, every second some
    channels that need long shifts, and of others every second large factors; all others have some whose shifts are far from those
    of their neighbours.
    """
    b = Builder(seed, wild=False)
    source = b.tensor(shape, "int8")
    x = b.conv(source, "int8", shape[2], (1, 1), (1, 1), (0, 0))
    made = b.depthwise(x, kernel, stride, padding)
    params = b.ops[-1].params
    if seed % 2:
        dead = np.arange(shape[2]) % 3 == 0
        params["shift"] = np.where(dead, 57 + np.arange(shape[2]) % 6, params["shift"]).astype(np.int32)
        params["bias"] = np.where(dead, b.random.integers(-(2**29), 2**29, shape[2]), params["bias"]).astype(np.int32)
    elif seed % 4 == 2 and seed % 3:
        params["shift"] = 30 + np.arange(shape[2], dtype=np.int32) % 4
        params["weight"], params["bias"] = np.clip(params["weight"], -1, 1), params["bias"] % 64
    if seed % 4 != 2 or seed % 3 == 0:
        params["shift"][1::3] = 33 if seed % 2 else 46
    if seed % 3 == 0:
        params["shift"] = (params["shift"] + TWICE).astype(np.int32)
    return b.graph(source, b.conv(made, "int8", 4, (1, 1), (1, 1), (0, 0)))


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [graph(seed, *shape) for seed, shape in enumerate(SHAPES * 2)]


def test_all_kernels_are_the_same_everywhere(graphs: list[Graph], tmp_path: Path) -> None:
    kinds = {bind(graph, graph.ops[1]).kernel for graph in graphs}
    names = ("", "3x3_", "direct_", "line_", "wide_")
    assert kinds >= {f"kb_{twice}depthwise_conv2d_{name}s8" for twice in ("", "tflite_") for name in names}
    cases = [Case(f"graph {index}", graph, random_inputs(graph, INPUTS, index)) for index, graph in enumerate(graphs)]
    boards = load_registry()
    targets = [
        Target(boards.get("boards", name))
        for name in ("nucleo_l4r5zi", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv")
    ]
    assert not differences(cases, tmp_path / "batch", targets)


def test_channels_that_3x3_makes_fastest_are_among_others(graphs: list[Graph]) -> None:
    usual, found = constant("KB_DEPTHWISE_RIGHT"), set()
    for bound in (bind(graph, graph.ops[1]) for graph in graphs):
        if bound.kernel == "kb_depthwise_conv2d_3x3_s8":
            shifts = {int(shift) % 256 for shift in np.asarray(bound.fields()["channel"])[:, 2]}
            found |= {(bound.attrs["stride"], shift > usual) for shift in shifts - {usual} if usual in shifts}
    assert found == {((n, n), further) for n in (1, 2) for further in (False, True)}


def test_what_is_read_before_it_is_written_takes_no_map_of_its_own(graphs: list[Graph]) -> None:
    over = [graph for graph in graphs if bind(graph, graph.ops[1]).in_place]
    same = [g for g in over if g.tensors[g.ops[1].output].bytes == g.tensors[g.ops[1].inputs[0]].bytes]
    assert len(same) >= 4
    for g in same:
        offsets = plan(g).offsets
        assert offsets[g.ops[1].output] == offsets[g.ops[1].inputs[0]]


def test_a_strip_that_would_begin_where_the_input_does_is_not_made_in_place(tmp_path: Path) -> None:
    g = graph(200229, (16, 7, 5), (3, 3), (1, 1), (2, 2))
    read, made = (g.tensors[name] for name in (g.ops[1].inputs[0], g.ops[1].output))
    offsets, row = plan(g).offsets, made.shape[1] * made.shape[2]
    assert offsets[made.name] - offsets[read.name] in range(row, made.bytes, row)
    assert not differences([Case("strips", g, random_inputs(g, INPUTS, 0))], tmp_path / "batch", [])
