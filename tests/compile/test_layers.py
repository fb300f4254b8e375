# SPDX-License-Identifier: Apache-2.0
"""Every map of random networks: host C against the simulation, to the bit; and strips against whole maps."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph
from kilobench.compile.host import HostModel
from kilobench.compile.schedule import steps
from tests.compile.graphs import Builder, random_inputs
from tests.compile.layers import exact_maps, layer, random_layers


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(6))
def test_every_map_is_exact(seed: int, dtype: DType, tmp_path: Path) -> None:
    graph = random_layers(seed, dtype)
    x = random_inputs(graph, 1, seed)
    emit(graph, tmp_path, "layers")
    maps = exact_maps(graph, x)
    expected = [(index, zlib.crc32(maps[op.output].tobytes())) for index, op in enumerate(graph.ops)]
    assert HostModel(tmp_path).checksums(x[0]) == expected


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("conv2d", (40, 6, 5), "int8"),
        ("conv2d", (1, 200, 5), "float32"),
        ("conv2d", (40, 6, 3), "int16"),
        ("conv2d", (1, 200, 1), "int16"),
        ("depthwise_conv2d", (1, 200, 5), "int8"),
        ("depthwise_conv2d", (40, 6, 5), "float32"),
        ("max_pool", (40, 6, 5), "int8"),
        ("max_pool", (1, 200, 5), "float32"),
        ("avg_pool", (1, 200, 5), "int8"),
        ("avg_pool", (40, 6, 5), "float32"),
    ],
)
def test_strips_equal_the_whole_map(kind: str, shape: tuple[int, int, int], dtype: DType, tmp_path: Path) -> None:
    graph = _in_strips(kind, shape, dtype)
    x = random_inputs(graph, 1, 0)
    emit(graph, tmp_path, "strips")
    assert np.array_equal(HostModel(tmp_path).run(x).ravel(), exact_maps(graph, x)[graph.output].ravel())


def _in_strips(kind: str, shape: tuple[int, int, int], dtype: DType) -> Graph:
    """An operator whose output is large and pooled at once, of the first seed that makes the schedule cut it into strips."""
    for seed in range(200):
        b = Builder(seed)
        source = b.tensor(shape, dtype)
        graph = b.graph(source, layer(b, "max_pool", layer(b, kind, source, 40)))
        if len(steps(graph)) == 1:
            return graph
    raise AssertionError("the schedule never cuts this into strips")


@pytest.mark.parametrize(("padding", "extra"), [((3, 1), (-3, 0)), ((0, 1), (3, 0))])
def test_no_strip_is_all_padding(padding: tuple[int, int], extra: tuple[int, int], tmp_path: Path) -> None:
    """Of what a window above or below the map reads there is nothing, and less than nothing of what that reads."""
    b = Builder(0)
    source = b.tensor((800, 16, 3), "int8")
    x = b.conv(source, "int8", 8, (1, 1), (2, 1), (0, 0))
    window = b.window(x, (3, 3), (1, 1), padding) | {"extra": extra, "relu": False}
    y = b.op("conv2d", [x], b.tensor((401, 16, 8), "int8"), window, b._int8_params((8, 3, 3, 8), "int8"))
    graph = b.graph(source, b.pool(y, "max_pool", (1, 2), (1, 2)))
    assert [step.ops for step in steps(graph)] == [(0,), (1, 2)]
    x = random_inputs(graph, 1, 0)
    emit(graph, tmp_path, "padding")
    assert np.array_equal(HostModel(tmp_path).run(x).ravel(), exact_maps(graph, x)[graph.output].ravel())
