# SPDX-License-Identifier: Apache-2.0
"""Measuring on emulated boards."""

from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.measuring.emulator import measure
from kilobench.measuring.evaluate import reference
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder


def test_waits_are_counted_of_inferences_that_take_minutes(tmp_path: Path) -> None:
    """As float32 does on a Cortex-M0+, at a slow clock."""
    b = Builder(1)
    source = b.tensor((30, 30, 16), "float32")
    graph = b.graph(source, b.conv(source, "float32", 24, (30, 30), (3, 3), (1, 1)))
    (code := tmp_path / "code").mkdir()
    emit(graph, code, "slow")
    board = replace(load_registry().get("boards", "raspberry_pi_pico"), clock_hz=1_000_000)
    measured = measure(code, graph, reference(graph, HostModel(code), 1), board, tmp_path / "build", "zig")
    assert measured.cycles[0] > 50 * board.clock_hz
    assert measured.flash_waits
    assert len(measured.layer_flash_waits) == len(graph.ops)


@pytest.mark.parametrize("board", ["raspberry_pi_pico", "raspberry_pi_pico_2_riscv"])
def test_weights_are_waited_for_on_either_architecture(board: str, tmp_path: Path) -> None:
    """Those of a dense layer are read once: lines of eight bytes, every one of which takes 64 wait states."""
    b = Builder(1)
    source = b.tensor((1, 1, 512), "int8")
    graph = b.graph(source, b.conv(source, "int8", 64, (1, 1), (1, 1), (1, 1)))
    (code := tmp_path / "code").mkdir()
    emit(graph, code, "dense")
    found = load_registry().get("boards", board)
    measured = measure(code, graph, reference(graph, HostModel(code), 1), found, tmp_path / "build", "zig")
    assert measured.flash_waits is not None and measured.weights_waits is not None
    assert measured.weights_waits == pytest.approx(measured.sizes.weights / 8 * 64, rel=0.05)  # few twice
    assert measured.weights_waits <= measured.flash_waits
