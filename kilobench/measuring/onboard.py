# SPDX-License-Identifier: Apache-2.0
"""What a board says about a model, over whatever link: sizes, cycles, and that every output agrees with host C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from kilobench.boards import Board
from kilobench.compile.counts import macs
from kilobench.compile.graph import Graph
from kilobench.contracts import CellError
from kilobench.device import elf
from kilobench.device.build import STACK_BYTES, Firmware
from kilobench.device.protocol import Patience, Session, Transport
from kilobench.device.words import MOST_CYCLES as MOST_SAID
from kilobench.device.words import Identity
from kilobench.measuring.evaluate import Reference

SLOWEST_CYCLES_PER_MAC = 1000
"""For limits: the slowest that was measured, float32 on the Cortex-M0+, takes 273."""
_SLOWEST, _SLOWEST_INTEGER = {"fp32": SLOWEST_CYCLES_PER_MAC}, 50
"""For deadlines: the slowest of others, int8 on the Cortex-M0+, takes 12."""
_LINE_SECONDS, _BYTES_A_SECOND = 0.01, 2500
"""Of an answer, and of an input in hex with its answers: half of what 115200 baud allow."""
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
    flash_waits: int | None
    """Cycles that the first input takes more with the flash as on the board, by the model of it; None without one."""
    weights_waits: int | None
    """Of these cycles those that reads of weights wait."""
    layer_flash_waits: list[int]
    """What each layer takes more; empty without a model."""
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
    flash_waits: int | None = None
    weights_waits: int | None = None
    layer_flash_waits: list[int] = field(default_factory=list)


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
        run.flash_waits,
        run.weights_waits,
        run.layer_flash_waits,
        firmware.toolchain,
        firmware.flags,
        built - start,
        perf_counter() - built,
        run.identity.clock_hz,
        run.identity.conditions,
        run.energy_uj,
    )


def patience(graph: Graph, board: Board, parts: int) -> Patience:
    """Deadlines for a model on a board: several times what the slowest arithmetic takes, and lines of ``parts`` layers."""
    cycles = sum(_SLOWEST.get(kind, _SLOWEST_INTEGER) * count for kind, count in macs(graph).items())
    inference = Patience.inference + cycles / board.clock_hz + parts * _LINE_SECONDS
    return Patience(inference=inference, load=graph.tensors[graph.input].bytes / _BYTES_A_SECOND)


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
    what its file says, the link fails for good, the board says what cannot be, or an output differs from host C.
    """
    parts = max(len(checksums) for checksums in reference.checksums)
    session = Session(transport, board.name, graph.digest(), waits or patience(graph, board, parts))
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
        if (output := session.output()) != expected.tobytes():
            if len(output) != expected.nbytes:
                raise CellError(f"{transport.label}: output: it has {len(output)} bytes, not {expected.nbytes}")
            session.load(x.tobytes())
            difference = _first_difference(graph, _layers(session, transport, checksums), checksums)
            raise CellError(f"{transport.label}: output: {difference}")
        if done is not None:
            done(cycles)
        if not inputs_left(cycles, len(reference.inputs)):
            break
    layer_cycles = layers_over(session, transport, graph, reference)
    if (stack := session.stack()) > (most := max(board.ram_bytes, STACK_BYTES)):
        raise CellError(f"{transport.label}: stack: bytes is {stack}; the board has RAM of {most}")
    return Run(cycles, layer_cycles, stack, session.identity)


def layers_over(session: Session, transport: Transport, graph: Graph, reference: Reference) -> list[int]:
    """Cycles of each layer, of the first measured input. Raises CellError where what one makes is not what host C made."""
    session.load(reference.inputs[0].tobytes())
    cycles = [0] * len(graph.ops)
    for op, count, _ in _layers(session, transport, reference.checksums[0]):
        cycles[op] += count
    return cycles


def _layers(session: Session, transport: Transport, checksums: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """What the board says of layers, which must be those of host C, [parts, 2], one by one."""
    layers = session.layers()
    found, expected = [op for op, _, _ in layers], checksums[:, 0].tolist()
    if len(found) != len(expected):
        raise CellError(f"{transport.label}: layers: count is {len(found)}, not {len(expected)}")
    for index, (op, there) in enumerate(zip(found, expected, strict=True)):
        if op != there:
            raise CellError(f"{transport.label}: layers: operator is {op} in line {index + 1}, not {there}")
    if (total := sum(cycles for _, cycles, _ in layers)) > MOST_SAID:
        raise CellError(f"{transport.label}: layers: cycles are {total} together, more than {MOST_SAID}")
    return layers


def _first_difference(graph: Graph, board: list[tuple[int, int, int]], host: NDArray[np.int64]) -> str:
    for (op, _, crc), (_, there) in zip(board, host.tolist(), strict=True):
        if crc != there:
            differing = graph.ops[op]
            return f"the board differs from host C, first at operator {differing.name} ({differing.kind} to {differing.output})"
    return "the board's output differs from host C although every operator's checksum agrees"
