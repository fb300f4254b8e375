"""Graph -> C -> host accuracy; graph -> C -> firmware -> board: sizes, cycles and the check that both agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from kilobench.api import Board, CellError, Progress, Split, UserError
from kilobench.device import elf
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Identity, Patience, Session, Transport
from kilobench.emit import emit
from kilobench.graph import Graph
from kilobench.host import HostModel
from kilobench.memory import Plan
from kilobench.simulate import quantise_input

VERIFIED_INPUTS = 8
CROPS = 10
SLOWEST_CYCLES_PER_MAC = 1000
"""For deadlines: the slowest that was measured, float32 on the Cortex-M0+, takes 215."""
CLOCK_TOLERANCE = 0.01


@dataclass(frozen=True)
class Evaluation:
    """What the emitted C, compiled for the host, says about the whole test set."""

    correct: NDArray[np.bool_]
    correct_10_crops: NDArray[np.bool_] | None
    """By the mean softmax over 10 equally spaced windows of every clip; None where there are no longer clips."""
    inputs: NDArray[np.generic]
    """The inputs that boards are checked on, as the board gets them: [up to VERIFIED_INPUTS, height, width, channels]."""
    outputs: NDArray[np.generic]
    """Host C's raw outputs for them, [len(inputs), classes]."""
    checksums: list[list[tuple[int, int]]]
    """Operator and CRC-32 of everything made on the way for each of them."""
    memory: Plan
    seconds: float


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
    clock_hz: int
    """As the board read it back."""
    conditions: dict[str, str]
    """What else cycles depend on, as the board read it back: counter, flash wait states, caches, ..."""

    @property
    def ram_bytes(self) -> int:
        """Arena, statics and the stack's peak."""
        return self.sizes.arena + self.sizes.static + self.stack_bytes


def evaluate(graph: Graph, folder: Path, name: str, split: Split, progress: Progress) -> Evaluation:
    """Emit the model into ``folder``, compile it for the host and run the test set."""
    start = perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    memory = emit(graph, folder, name)
    host = HostModel(folder)
    inputs = quantise_input(graph, split.test_x)
    outputs = host.run(inputs)
    chosen = np.unique(np.linspace(0, len(inputs) - 1, VERIFIED_INPUTS).astype(int))
    checksums = [host.checksums(inputs[i]) for i in chosen]
    correct = outputs.argmax(axis=1) == split.test_y
    crops = None if split.test_clips is None else _crops(graph, host, split.test_clips, progress) == split.test_y
    return Evaluation(correct, crops, inputs[chosen], outputs[chosen], checksums, memory, perf_counter() - start)


def _crops(graph: Graph, host: HostModel, clips: NDArray[np.float32], progress: Progress) -> NDArray[np.int64]:
    """Classes by the mean softmax over windows that start equally spaced in the clips (ACDNet, arXiv 2103.03483)."""
    width, output = graph.tensors[graph.input].shape[1], graph.tensors[graph.output]
    total = np.zeros((len(clips), output.shape[2]))
    for done, start in enumerate(np.linspace(0, clips.shape[3] - width, CROPS).astype(int)):
        progress("accuracy over 10 windows", done, CROPS)
        logits = host.run(quantise_input(graph, clips[..., start : start + width])).astype(np.float64)
        if output.dtype == "int8":
            logits = (logits - output.zero_point) * output.scale
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        total += shares / shares.sum(axis=1, keepdims=True)
    return total.argmax(axis=1)


@dataclass(frozen=True)
class Run:
    """What a board did with the verified inputs, all of whose outputs equalled host C's."""

    cycles: list[int]
    layer_cycles: list[int]
    stack_bytes: int
    identity: Identity


def measure(
    model: Path,
    graph: Graph,
    evaluation: Evaluation,
    board: Board,
    workdir: Path,
    toolchain: str,
    link: str = "emulator",
) -> Measurement:
    """Build the firmware, run it on the board and compare every output with host C bit for bit.

    ``link`` is ``emulator``, or ``serial:PORT`` for a real board, or ``serial`` for the one that is attached; real boards
    are built for with PlatformIO's own toolchain, whatever ``toolchain``. Raises CellError if the build or the firmware
    fails, or an output differs (naming the first operator that does), and UserError if there is no such link.
    """
    kind, _, port = link.partition(":")
    if kind == "serial":
        return _measure_serial(model, graph, evaluation, board, workdir, port)
    if link != "emulator":
        raise UserError(f"no link {link!r}; boards are run on: emulator, serial[:PORT]")
    start = perf_counter()
    firmware = build(model, board, workdir, cast(Literal["zig", "gcc"], toolchain))
    built = perf_counter()
    sizes = elf.sizes(firmware.elf)
    with EmulatedBoard(firmware.elf, board, enlarged=not firmware.fits) as emulated:
        run = measure_over(emulated, graph, evaluation, board)
    return _measurement(firmware, sizes, elf.overflow(sizes, board), run, start, built)


def _measure_serial(
    model: Path, graph: Graph, evaluation: Evaluation, board: Board, workdir: Path, port: str
) -> Measurement:
    from kilobench.device import arduino
    from kilobench.device.attached import find_port
    from kilobench.device.serial import SerialLink, claim

    start = perf_counter()
    port = port or find_port(board)
    firmware = arduino.build(model, board, workdir)
    with claim(port, board.name):
        arduino.upload(workdir, board, port)
        built = perf_counter()
        with SerialLink(port, board.name, wait=Patience.boot) as link:
            run = measure_over(link, graph, evaluation, board)
    return _measurement(firmware, arduino.sizes(firmware.elf), (0, 0), run, start, built)


def _measurement(
    firmware: Firmware, sizes: elf.Sizes, over: tuple[int, int], run: Run, start: float, built: float
) -> Measurement:
    return Measurement(
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
    )


def patience(graph: Graph, board: Board) -> Patience:
    """Deadlines for a model on a board: several times what the slowest arithmetic takes."""
    seconds = SLOWEST_CYCLES_PER_MAC * sum(graph.macs().values()) / board.clock_hz
    return Patience(inference=Patience.inference + seconds)


def measure_over(
    transport: Transport, graph: Graph, evaluation: Evaluation, board: Board, waits: Patience | None = None
) -> Run:
    """Run the verified inputs on a board whose firmware is there already; ``waits`` replaces ``patience``'s deadlines.

    Raises CellError in one line, naming board, port and step, if the firmware is another one, the board's clock is not
    what its file says, the link fails for good, or an output differs from host C.
    """
    session = Session(transport, board.name, graph.digest(), waits or patience(graph, board))
    clock_hz = session.identity.clock_hz
    if abs(clock_hz - board.clock_hz) > CLOCK_TOLERANCE * board.clock_hz:
        raise CellError(
            f"{transport.label}: clock: the board runs at {clock_hz / 1e6:g} MHz, its file says {board.clock_hz / 1e6:g}"
        )
    cycles = []
    for x, expected, checksums in zip(evaluation.inputs, evaluation.outputs, evaluation.checksums, strict=True):
        session.load(x.tobytes())
        session.infer()
        cycles.append(session.cycles())
        if session.output() != expected.tobytes():
            session.load(x.tobytes())
            difference = _first_difference(graph, [(op, crc) for op, _, crc in session.layers()], checksums)
            raise CellError(f"{transport.label}: output: {difference}")
    session.load(evaluation.inputs[0].tobytes())
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
