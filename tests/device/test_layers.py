# SPDX-License-Identifier: Apache-2.0
"""Every map of random networks on emulated cores: the same bits as on the host."""

import zlib
from pathlib import Path

import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import random_inputs
from tests.compile.layers import exact_maps, random_layers


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("name", ["nucleo_l476rg", "raspberry_pi_pico"])
@pytest.mark.parametrize("seed", range(3))
def test_every_map_is_exact_on_the_board(seed: int, name: str, dtype: DType, tmp_path: Path) -> None:
    graph, board = random_layers(seed + 100, dtype), load_registry().get("boards", name)
    x = random_inputs(graph, 1, seed)
    emit(graph, tmp_path, "layers")
    maps = exact_maps(graph, x)
    expected = [(index, zlib.crc32(maps[op.output].tobytes())) for index, op in enumerate(graph.ops)]
    firmware = build(tmp_path, board, tmp_path / "build")
    with EmulatedBoard(firmware.elf, firmware.linked) as emulated:
        session = Session(emulated, board.name)
        session.load(x.tobytes())
        assert [(op, checksum) for op, _, checksum in session.layers()] == expected
