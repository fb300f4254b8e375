# SPDX-License-Identifier: Apache-2.0
"""Pixels in front of networks: all 256 arrive, everywhere the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.ends import PIXELS, pixels
from kilobench.compile.graph import DType, Graph
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.memory import plan
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder
from tests.fuzz.batch import Case, Target, differences

BOARDS = ("nucleo_l476rg", "raspberry_pi_pico")
IMAGES = np.stack([np.arange(256), np.arange(256)[::-1]]).reshape(2, 16, 16, 1).astype(np.uint8)
"""Two that hold every value."""
KNOWN: dict[str, tuple[DType, float, int]] = {
    "pixels": ("int8", 1 / 128, 0),
    "narrower": ("int8", 0.003, 20),
    "float": ("float32", 0.0, 0),
    "wide": ("int16", 2**-15, 0),
}


def network(dtype: DType, scale: float, zero_point: int) -> Graph:
    """A convolution over the whole image."""
    b = Builder(3)
    source = replace(b.tensor((16, 16, 1), dtype), scale=scale, zero_point=zero_point)
    b.tensors[source.name] = source
    return b.graph(source, b.conv(source, "float32" if dtype == "float32" else "int8", 4, (3, 3)))


def read(graph: Graph) -> Graph:
    """What the first layer reads as the output."""
    front = graph.ops[0]
    maps = {name: graph.tensors[name] for name in (graph.input, front.output)}
    return Graph(maps, (front,), graph.input, (front.output,))


def test_every_pixel_arrives_in_simulation_on_the_host_and_on_boards(tmp_path: Path) -> None:
    graphs = {name: pixels(network(*known), PIXELS) for name, known in KNOWN.items()}
    p = IMAGES.astype(np.float64)
    wanted = {
        "pixels": p - 128,
        "narrower": np.clip(np.rint((p - 128) / 128 / 0.003) + 20, -128, 127),
        "float": (p - 128) / 128,
        "wide": 256 * (p - 128),
    }
    for name, graph in graphs.items():
        check_graph(graph)
        assert np.array_equal(simulate(graph, IMAGES)[graph.ops[0].output], wanted[name]), name
    cases = [
        Case(f"{name}, {count} operators", made, IMAGES)
        for name, graph in graphs.items()
        for count, made in enumerate((read(graph), graph), 1)
    ]
    targets = [Target(load_registry().get("boards", name)) for name in BOARDS]
    assert not differences(cases, tmp_path / "batch", targets)


@pytest.mark.parametrize("name", KNOWN)
def test_pixels_are_the_inputs_of_before(name: str) -> None:
    """Floats of image tasks give the same, whether a graph takes them or the pixels that they are."""
    before = network(*KNOWN[name])
    after, x = pixels(before, PIXELS), ((IMAGES - 128.0) / 128).astype(np.float32).transpose(0, 3, 1, 2)
    assert np.array_equal(quantise_input(after, x), IMAGES)
    first, second = (simulate(graph, quantise_input(graph, x))[graph.output] for graph in (before, after))
    assert np.array_equal(first, second)


def test_an_int8_network_alone_says_which_pixels_it_takes() -> None:
    """As the reference firmware of MLPerf Tiny has it: whatever the grid, q = p - 128."""
    graph = pixels(network("int8", 0.003, 20))
    assert [op.kind for op in graph.ops] == ["pixels", "conv2d"]
    assert (graph.tensors[graph.input].scale, graph.tensors[graph.input].zero_point) == (0.003, 148)
    assert pixels(graph) is graph and pixels(graph, PIXELS) is graph


def test_int8_pixels_take_no_memory() -> None:
    before = network("int8", 1 / 128, 0)
    assert plan(pixels(before)).arena_bytes == plan(before).arena_bytes


def test_a_tensor_may_have_the_name_already() -> None:
    graph = network("int8", 1 / 128, 0)
    tensors = {**graph.tensors, "pixels": replace(graph.tensors[graph.input], name="pixels")}
    del tensors[graph.input]
    renamed = Graph(tensors, (replace(graph.ops[0], inputs=("pixels",)),), "pixels", graph.outputs)
    check_graph(pixels(renamed))
