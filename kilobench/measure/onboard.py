# SPDX-License-Identifier: Apache-2.0
"""What a board says about a model, over whatever link: sizes, cycles, and that every output agrees with host C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from kilobench.compile.counts import macs
from kilobench.compile.graph import Graph
from kilobench.contracts import Board, CellError
from kilobench.device import elf
from kilobench.device.build import Firmware
from kilobench.device.protocol import Identity, Patience, Session, Transport
from kilobench.measure.evaluate import Reference

SLOWEST_CYCLES_PER_MAC = 1000
"""For deadlines: the slowest that was measured, float32 on the Cortex-M0+, takes 215."""
MOST_CYCLES = 16_000_000_000
"""Of all measured inputs together: so many of them are run as stay below, the first in any case."""
CLOCK_TOLERANCE = 0.01


@dataclass(frozen=True)
class Measurement:
    """What one board says about one model."""

    program: Path
    """The program, in the folder where it was built."""
    sizes: elf.Sizes
    stack_bytes: int
    over_flash_bytes: int
    over_ram_bytes: int
    cycles: list[int]
    """Of each measured input; none where the program is too large to run even on the enlarged board."""
    layer_cycles: list[int]
    toolchain: str
    flags: str
    build_seconds: float
    run_seconds: float
    clock_hz: int
    """As the board read it back."""
    conditions: dict[str, str]
    """What else cycles depend on, as the board read it back: counter, flash wait states, caches, ..."""
    energy_uj: float | None
    """Per inference, where a meter was in the supply."""

    @property
    def ram_bytes(self) -> int:
        """Arena, statics and the stack's peak."""
        return self.sizes.arena + self.sizes.static + self.stack_bytes


@dataclass(frozen=True)
class Run:
    """What a board did with the measured inputs, all of whose outputs equalled host C's."""

    cycles: list[int]
    layer_cycles: list[int]
    stack_bytes: int
    identity: Identity
    energy_uj: float | None = None


def inputs_left(cycles: list[int], inputs: int) -> int:
    """How many inputs are still to be run after some that took ``cycles``."""
    return max(0, min(inputs - len(cycles), (MOST_CYCLES - sum(cycles)) // cycles[-1]))


def measurement(
    firmware: Firmware, sizes: elf.Sizes, over: tuple[int, int], run: Run | None, start: float, built: float
) -> Measurement:
    """What was built and what it did, ``over`` by how many bytes of flash and RAM it misses the board; begun and built when.

    Without a run the stack is as reserved, and the clock that of the board's file.
    """
    board = firmware.linked
    run = run or Run([], [], sizes.stack_reserved, Identity(board.name, "", board.clock_hz, {}))
    return Measurement(
        firmware.elf,
        sizes,
        run.stack_bytes,
        *over,
        run.cycles,
        run.layer_cycles,
        firmware.toolchain,
        firmware.flags,
        built - start,
        perf_counter() - built,
        run.identity.clock_hz,
        run.identity.conditions,
        run.energy_uj,
    )


def patience(graph: Graph, board: Board) -> Patience:
    """Deadlines for a model on a board: several times what the slowest arithmetic takes."""
    seconds = SLOWEST_CYCLES_PER_MAC * sum(macs(graph).values()) / board.clock_hz
    return Patience(inference=Patience.inference + seconds)


def measure_over(
    transport: Transport,
    graph: Graph,
    reference: Reference,
    board: Board,
    waits: Patience | None = None,
    done: Callable[[list[int]], None] | None = None,
) -> Run:
    """Run the measured inputs on a board whose firmware is there already; ``waits`` replaces ``patience``'s deadlines.

    Of a slow model not all are run (MOST_CYCLES). ``done`` is told the cycles of the inputs so far after each of them.
    Raises CellError in one line, naming board, port and step, if the firmware is another one, the board's clock is not
    what its file says, the link fails for good, or an output differs from host C.
    """
    session = Session(transport, board.name, graph.digest(), waits or patience(graph, board))
    clock_hz = session.identity.clock_hz
    if abs(clock_hz - board.clock_hz) > CLOCK_TOLERANCE * board.clock_hz:
        raise CellError(
            f"{transport.label}: clock: the board runs at {clock_hz / 1e6:g} MHz, its file says {board.clock_hz / 1e6:g}"
        )
    cycles: list[int] = []
    for x, expected, checksums in zip(reference.inputs, reference.outputs, reference.checksums, strict=True):
        session.load(x.tobytes())
        session.infer()
        cycles.append(session.cycles())
        if session.output() != expected.tobytes():
            session.load(x.tobytes())
            found = [(op, crc) for op, _, crc in session.layers()]
            difference = _first_difference(graph, found, [(op, crc) for op, crc in checksums.tolist()])
            raise CellError(f"{transport.label}: output: {difference}")
        if done is not None:
            done(cycles)
        if not inputs_left(cycles, len(reference.inputs)):
            break
    session.load(reference.inputs[0].tobytes())
    layer_cycles = [0] * len(graph.ops)
    for op, count, _ in session.layers():
        layer_cycles[op] += count
    return Run(cycles, layer_cycles, session.stack(), session.identity)


def _first_difference(graph: Graph, board: list[tuple[int, int]], host: list[tuple[int, int]]) -> str:
    for here, there in zip(board, host, strict=True):
        if here != there:
            op = graph.ops[there[0]]
            return f"the board differs from host C, first at operator {op.name} ({op.kind} to {op.output})"
    return "the board's output differs from host C although every operator's checksum agrees"
