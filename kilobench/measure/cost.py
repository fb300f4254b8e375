# SPDX-License-Identifier: Apache-2.0
"""What a model takes on a board, for methods that try several."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import nn

from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower
from kilobench.contracts import Board, Cost, Shape
from kilobench.measure.emulator import measure
from kilobench.measure.evaluate import reference


def cost(model: nn.Module, input_shape: Shape, board: Board, toolchain: str) -> Cost:
    """Build its program and run one input on the emulated board. Raises what lowering, building and running raise."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = lower(model, input_shape)
        emit(graph, folder, "candidate")
        expected = reference(graph, HostModel(folder), 1)
        measured = measure(folder, graph, expected, board, folder / "build", toolchain)
    cycles = measured.cycles[0] if measured.cycles else None
    return Cost(
        flash_bytes=measured.sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        cycles=cycles,
        latency_ms=float("inf") if cycles is None else 1000 * cycles / board.clock_hz,
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
    )
