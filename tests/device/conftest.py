# SPDX-License-Identifier: Apache-2.0
"""One small firmware for all tests of the serial link, and a deadline for each of them."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from kilobench.boards import Board
from kilobench.compile.graph import Graph
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import EmulatedBoard
from kilobench.measuring.evaluate import Reference
from kilobench.measuring.onboard import Run, measure_over
from kilobench.plugins.registry import load_registry
from tests.device.test_boards import model
from tests.untrained import emitted


@dataclass(frozen=True)
class Example:
    """A firmware, what it was made of, and what it does when nothing disturbs it."""

    firmware: Firmware
    board: Board
    graph: Graph
    reference: Reference
    undisturbed: Run


@pytest.fixture(scope="session")
def example(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("example")
    graph, board = model(), load_registry().get("boards", "nucleo_l476rg")
    expected = emitted(graph, folder / "model", 2)
    firmware = build(folder / "model", board, folder / "build")
    with EmulatedBoard(firmware.elf, board) as emulated:
        undisturbed = measure_over(emulated, graph, expected, board)
    return Example(firmware, board, graph, expected, undisturbed)


@pytest.fixture
def deadline() -> Iterator[None]:
    """No test of a link may hang."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("the test took longer than 60 s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
