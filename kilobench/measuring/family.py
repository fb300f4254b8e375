# SPDX-License-Identifier: Apache-2.0
"""A model on all emulated boards of one core: one program, whose size and cycles they share, with the flash of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kilobench.boards import Board
from kilobench.compile.graph import Graph
from kilobench.contracts import Progress, silent
from kilobench.device import elf, memory_model
from kilobench.device.build import Firmware, build, shortfall
from kilobench.device.emulator import EmulatedBoard
from kilobench.measuring.emulator import flash_run, most_cycles
from kilobench.measuring.evaluate import Reference
from kilobench.measuring.onboard import measure_over


@dataclass(frozen=True)
class Member:
    """What one board says of the program of its family."""

    board: Board
    over_flash_bytes: int
    over_ram_bytes: int
    flash_waits: int | None
    """Cycles that the first input takes more with the board's flash; None without a model of it, or where it does not fit."""


@dataclass(frozen=True)
class FamilyCost:
    """A program built for the board with the most memory of its core, whose code is that of the others."""

    built_for: Board
    flash_bytes: int
    ram_bytes: int
    """Arena, statics and the stack's peak; the stack as reserved where it was not run."""
    cycles: int | None
    """The mean over the measured inputs; None where no board of the family holds the program."""
    members: tuple[Member, ...]


def measure_family(
    model: Path,
    graph: Graph,
    reference: Reference,
    boards: Sequence[Board],
    workdir: Path,
    progress: Progress = silent,
) -> FamilyCost:
    """Build the model in folder ``model`` once for ``boards`` of one core, and run it with the flash of each that holds it.

    What a board's own program has otherwise is its name, by whose length code may lie elsewhere: some bytes of flash, and up to
    1 % of cycles. Raises CellError as kilobench.measuring.emulator.measure does.
    """
    largest = max(boards, key=lambda board: (board.ram_bytes, board.flash.bytes, board.name))
    progress("building", 0, len(boards) + 2)
    firmware = build(model, replace(largest, flash_timing=None), workdir)
    sizes = elf.sizes(firmware.elf)
    over = [shortfall(sizes, board) for board in boards]
    still = sizes.arena + sizes.static
    if (0, 0) not in over:
        members = tuple(Member(board, *by, None) for board, by in zip(boards, over, strict=True))
        return FamilyCost(largest, sizes.flash_bytes, still + sizes.stack_reserved, None, members)
    progress("running", 1, len(boards) + 2)
    limit = most_cycles(graph)
    with EmulatedBoard(firmware.elf, firmware.linked, max_cycles=limit) as emulated:
        run = measure_over(emulated, graph, reference, largest)
    flash = _Flash(firmware, graph, reference, limit)
    found = []
    for index, (board, by) in enumerate(zip(boards, over, strict=True)):
        progress(f"with the flash of {board.name}", index + 2, len(boards) + 2)
        longer = None if any(by) else flash.cycles(board)
        found.append(Member(board, *by, None if longer is None else longer - run.cycles[0]))
    cycles = round(sum(run.cycles) / len(run.cycles))
    return FamilyCost(largest, sizes.flash_bytes, still + run.stack_bytes, cycles, tuple(found))


class _Flash:
    """Runs a program with the flash of boards, once for those whose flash is alike."""

    def __init__(self, firmware: Firmware, graph: Graph, reference: Reference, limit: int) -> None:
        self._firmware, self._graph, self._reference = firmware, graph, reference
        self._limit = limit
        self._known: dict[tuple[int, ...], int] = {}

    def cycles(self, board: Board) -> int | None:
        """Of the first input; None without a model of the board's flash."""
        if board.flash_timing is None:
            return None
        linked = replace(self._firmware.linked, flash_timing=board.flash_timing)
        alike = memory_model.waits(linked)
        if alike not in self._known:
            self._known[alike] = self._run(linked)
        return self._known[alike]

    def _run(self, linked: Board) -> int:
        with flash_run(self._firmware, linked, self._graph, self._reference, self._limit) as (_, session):
            return session.cycles()
