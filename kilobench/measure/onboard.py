"""Graph -> C -> firmware -> board: sizes, cycles and the check that it agrees with host C."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import cast

from kilobench.api import Board, CellError, PowerMeter, Progress
from kilobench.compile.graph import Graph
from kilobench.device import elf
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import MAX_CYCLES, EmulatedBoard
from kilobench.device.protocol import Identity, Patience, Session, Transport
from kilobench.measure.evaluate import Reference
from kilobench.toolchain import Toolchain

SLOWEST_CYCLES_PER_MAC = 1000
"""For deadlines: the slowest that was measured, float32 on the Cortex-M0+, takes 215."""
MOST_CYCLES = 16_000_000_000
"""Of all measured inputs together: so many of them are run as stay below, the first in any case."""
CLOCK_TOLERANCE = 0.01
_USUAL_CYCLES_PER_MAC = 5
_ENERGY_SECONDS = 2.0


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


def measure(
    model: Path,
    graph: Graph,
    reference: Reference,
    board: Board,
    workdir: Path,
    toolchain: str,
    link: str = "emulator",
    power: str = "",
    progress: Progress | None = None,
) -> Measurement:
    """Build the firmware, run it on the board and compare every output with host C bit for bit.

    ``link`` is ``emulator``, or ``serial:PORT`` for a real board, or ``serial`` for the one that is attached; real boards
    are built for with PlatformIO's own toolchain, whatever ``toolchain``. ``power`` names the meter in a real board's supply,
    as in ``ppk2``. A program that the board's memory does not hold runs on the same core with more; one that no address
    reaches is counted, but not run. Raises CellError if the build or the firmware fails, or an output differs (naming the first
    operator that does).
    """
    kind, _, port = link.partition(":")
    if kind == "serial":
        return _measure_serial(model, graph, reference, board, workdir, port, power)
    start = perf_counter()
    firmware = build(model, board, workdir, cast(Toolchain, toolchain))
    built = perf_counter()
    sizes, over = elf.sizes(firmware.elf), elf.overflow(firmware.elf, board, firmware.linked)
    if not firmware.runs:
        return _measurement(firmware, sizes, over, None, start, built)
    outlook = _Outlook(graph, len(reference.inputs), progress)
    limit = max(MAX_CYCLES, MOST_CYCLES + 3 * SLOWEST_CYCLES_PER_MAC * sum(graph.macs().values()))
    with EmulatedBoard(firmware.elf, firmware.linked, max_cycles=limit, watch=outlook.tell) as emulated:
        run = measure_over(emulated, graph, reference, board, done=outlook.correct)
    return _measurement(firmware, sizes, over, run, start, built)


class _Outlook:
    """How far an emulated board is, in cycles, of what its inferences take: a guess until the first of them is over."""

    def __init__(self, graph: Graph, inputs: int, progress: Progress | None) -> None:
        self._progress, self._inputs = progress, inputs
        self._total = (inputs + 1) * _USUAL_CYCLES_PER_MAC * sum(graph.macs().values())

    def correct(self, cycles: list[int]) -> None:
        """What the inferences so far took; one more by layers follows the last."""
        self._total = sum(cycles) + cycles[-1] * (_inputs_left(cycles, self._inputs) + 1)

    def tell(self, cycles: int) -> None:
        """Cycles so far."""
        if self._progress is not None:
            self._progress("running on the emulated board", min(cycles, self._total), self._total)


def _inputs_left(cycles: list[int], inputs: int) -> int:
    """How many inputs are still to be run after some that took ``cycles``."""
    return max(0, min(inputs - len(cycles), (MOST_CYCLES - sum(cycles)) // cycles[-1]))


def _measure_serial(
    model: Path, graph: Graph, reference: Reference, board: Board, workdir: Path, port: str, power: str
) -> Measurement:
    from kilobench.device import arduino
    from kilobench.device.ports import find_port
    from kilobench.device.power import meter
    from kilobench.device.serial import SerialLink, claim

    start = perf_counter()
    port = port or find_port(board)
    firmware = arduino.build(model, board, workdir)
    with claim(port, board.name), meter(power) if power else nullcontext() as supply:
        arduino.upload(workdir, board, port)
        built = perf_counter()
        with SerialLink(port, board.name, wait=Patience.boot) as link:
            run = measure_over(link, graph, reference, board)
            if supply is not None:
                energy = energy_uj(supply, link, graph, reference, board, run.cycles[0])
                run = replace(run, energy_uj=energy)
    return _measurement(firmware, arduino.sizes(firmware.elf), (0, 0), run, start, built)


def energy_uj(
    supply: PowerMeter, transport: Transport, graph: Graph, reference: Reference, board: Board, cycles: int
) -> float:
    """Microjoules per inference of the whole board, from so many in a row that they take some seconds."""
    session = Session(transport, board.name, graph.digest(), patience(graph, board))
    count = max(1, round(_ENERGY_SECONDS * board.clock_hz / cycles))
    session.load(reference.inputs[0].tobytes())
    return supply.sampled(lambda: session.infer(count)).energy_uj / count


def _measurement(
    firmware: Firmware, sizes: elf.Sizes, over: tuple[int, int], run: Run | None, start: float, built: float
) -> Measurement:
    """Without a run the stack is as reserved, and the clock that of the board's file."""
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
    seconds = SLOWEST_CYCLES_PER_MAC * sum(graph.macs().values()) / board.clock_hz
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
        if not _inputs_left(cycles, len(reference.inputs)):
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
