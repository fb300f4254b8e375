# SPDX-License-Identifier: Apache-2.0
"""What every method makes runs on an emulated board as on the host."""

from pathlib import Path

import pytest

from kilobench.compile.simulate import quantise_input
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.learn.trained import digits, run_in_c


@pytest.mark.parametrize(
    "recipe", ["full", "int8", "qat", "xnor", "xnor[layout=study]", "prune+int8", "ternary", "reactnet", "adabin"]
)
def test_the_board_equals_host_c(recipe: str, tmp_path: Path) -> None:
    board = load_registry().get("boards", "nucleo_l476rg")
    graph, expected, _ = run_in_c(digits().apply(recipe), digits(), tmp_path)
    x = quantise_input(graph, digits().split.test_x[:1])
    with EmulatedBoard(build(tmp_path, board, tmp_path / "build").elf, board) as emulated:
        session = Session(emulated, board.name)
        session.load(x.tobytes())
        session.infer()
        assert session.output() == expected[0].tobytes()
