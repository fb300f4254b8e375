# SPDX-License-Identifier: Apache-2.0
"""What a model takes on a board, before it is trained or while it is."""

from __future__ import annotations

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.contracts import Cost
from kilobench.measuring.emulator import measure
from kilobench.measuring.evaluate import reference
from kilobench.scratch import temporary_folder


def cost(graph: Graph, board: Board, toolchain: str) -> Cost:
    """Build its program and run one input on the emulated board. Raises what building and running raise."""
    with temporary_folder() as folder:
        emit(graph, folder, "candidate")
        expected = reference(graph, HostModel(folder), 1)
        measured = measure(folder, graph, expected, board, folder / "build", toolchain)
    cycles = measured.cycles[0] if measured.cycles else None
    latency = float("inf") if cycles is None else 1000 * (cycles + (measured.flash_waits or 0)) / board.clock_hz
    return Cost(
        flash_bytes=measured.sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        cycles=cycles,
        latency_ms=latency,
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
    )
