"""Graph -> C -> firmware -> board: sizes, cycles and the check that it agrees with host C."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal, cast

from kilobench.api import Board, CellError
from kilobench.device import elf
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.evaluate import Evaluation
from kilobench.graph import Graph


@dataclass(frozen=True)
class Measurement:
    """What one board says about one model."""

    sizes: elf.Sizes
    stack_bytes: int
    over_flash_bytes: int
    over_ram_bytes: int
    cycles: list[int]
    """Of each verified input."""
    layer_cycles: list[int]
    toolchain: str
    flags: str
    build_seconds: float
    run_seconds: float

    @property
    def ram_bytes(self) -> int:
        """Arena, statics and the stack's peak."""
        return self.sizes.arena + self.sizes.static + self.stack_bytes


def measure(
    model: Path, graph: Graph, evaluation: Evaluation, board: Board, workdir: Path, toolchain: str
) -> Measurement:
    """Build the firmware, run it on the emulated board and compare every output with host C bit for bit.

    Raises CellError if the build fails, the firmware fails, or an output differs (naming the first operator that does).
    """
    start = perf_counter()
    firmware = build(model, board, workdir, cast(Literal["zig", "gcc"], toolchain))
    built = perf_counter()
    sizes = elf.sizes(firmware.elf)
    cycles, layers, stack = _run(firmware, board, graph, evaluation)
    over_flash, over_ram = elf.overflow(sizes, board)
    return Measurement(
        sizes,
        stack,
        over_flash,
        over_ram,
        cycles,
        layers,
        firmware.toolchain,
        firmware.flags,
        built - start,
        perf_counter() - built,
    )


def _run(firmware: Firmware, board: Board, graph: Graph, evaluation: Evaluation) -> tuple[list[int], list[int], int]:
    cycles, layer_cycles = [], []
    with EmulatedBoard(firmware.elf, board, enlarged=not firmware.fits) as emulated:
        session = Session(emulated, board.name)
        for x, expected, checksums in zip(evaluation.inputs, evaluation.outputs, evaluation.checksums, strict=True):
            session.load(x.tobytes())
            session.infer()
            cycles.append(session.cycles())
            if session.output() != expected.tobytes():
                session.load(x.tobytes())
                found = [(op, crc) for op, _, crc in session.layers()]
                raise CellError(_first_difference(graph, found, [(op, crc) for op, crc in checksums.tolist()]))
        session.load(evaluation.inputs[0].tobytes())
        layer_cycles = [0] * len(graph.ops)
        for op, count, _ in session.layers():
            layer_cycles[op] += count
        return cycles, layer_cycles, session.stack()


def _first_difference(graph: Graph, board: list[tuple[int, int]], host: list[tuple[int, int]]) -> str:
    for here, there in zip(board, host, strict=True):
        if here != there:
            op = graph.ops[there[0]]
            return f"the board differs from host C, first at operator {op.name} ({op.kind} to {op.output})"
    return "the board's output differs from host C although every operator's checksum agrees"
