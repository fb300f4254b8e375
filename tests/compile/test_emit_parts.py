# SPDX-License-Identifier: Apache-2.0
"""Networks of many operators: their C is cut into functions, so that the stack stays small."""

from pathlib import Path

import numpy as np

from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.compile.simulate import simulate
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, random_inputs


def test_the_stack_does_not_grow_with_the_operators(tmp_path: Path) -> None:
    peaks = []
    for count in (4, 200):
        b = Builder(0)
        first = source = b.tensor((4, 4, 8), "int8")
        for _ in range(count):
            source = b.conv(source, "int8", out=8, kernel=(3, 3), stride=(1, 1), padding=(1, 1))
        graph, folder = b.graph(first, source), tmp_path / str(count)
        (folder / "model").mkdir(parents=True)
        emit(graph, folder / "model", "many")
        x = random_inputs(graph, 1, 0)
        assert np.array_equal(HostModel(folder / "model").run(x).ravel(), simulate(graph, x)[graph.output].ravel())
        board = load_registry().get("boards", "raspberry_pi_pico")
        firmware = build(folder / "model", board, folder / "build")
        with EmulatedBoard(firmware.elf, board) as emulated:
            session = Session(emulated, board.name)
            session.load(x[0].tobytes())
            session.infer()
            peaks.append(session.stack())
    assert peaks[1] <= peaks[0] + 300 and peaks[1] < 2048
