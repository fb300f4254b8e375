# SPDX-License-Identifier: Apache-2.0
"""Every map of random networks on emulated cores: the same bits as on the host."""

import zlib
from pathlib import Path

import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph
from kilobench.compile.operator import bind
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, random_inputs
from tests.compile.layers import exact_maps, random_layers


def check(graph: Graph, name: str, seed: int, folder: Path) -> None:
    board = load_registry().get("boards", name)
    x = random_inputs(graph, 1, seed)
    emit(graph, folder, "layers")
    maps = exact_maps(graph, x)
    expected = [(index, zlib.crc32(maps[op.output].tobytes())) for index, op in enumerate(graph.ops)]
    firmware = build(folder, board, folder / "build")
    with EmulatedBoard(firmware.elf, firmware.linked) as emulated:
        session = Session(emulated, board.name)
        session.load(x.tobytes())
        assert [(op, checksum) for op, _, checksum in session.layers()] == expected


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("name", ["nucleo_l476rg", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv"])
@pytest.mark.parametrize("seed", range(3))
def test_every_map_is_exact_on_the_board(seed: int, name: str, dtype: DType, tmp_path: Path) -> None:
    check(random_layers(seed + 100, dtype), name, seed, tmp_path)


@pytest.mark.parametrize("width", [4, 7])
def test_kernels_of_large_float_layers_are_exact(width: int, tmp_path: Path) -> None:
    """Four columns of a depthwise convolution and what is left of them; dense layers of all that is left of three taps."""
    b = Builder(width, wild=False)
    source = b.tensor((5, width, 28 if width == 7 else 52), "float32")
    x = b.depthwise(source, (3, 3), (1, 1), (1, 1))
    graph = b.graph(source, b.conv(x, "float32", 17, x.shape[:2], (1, 1), (0, 0)))
    assert [bind(graph, op).kernel for op in graph.ops] == ["kb_depthwise_conv2d_3x3_f32", "kb_dense_conv2d_f32"]
    check(graph, "nucleo_l476rg", width, tmp_path)
