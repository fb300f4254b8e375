# SPDX-License-Identifier: Apache-2.0
"""One model on a real board, with its flash set up in turn as matters, beside what the emulator says of the same program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from kilobench.boards import Board, FlashTiming
from kilobench.compile.graph import Graph
from kilobench.contracts import CellError, Progress, UserError
from kilobench.device import arduino
from kilobench.device.protocol import Patience, Session
from kilobench.device.routine import Inference
from kilobench.device.serial import SerialLink, claim
from kilobench.device.words import Identity
from kilobench.measuring.evaluate import Reference
from kilobench.measuring.onboard import layers_over, patience

_WAITS, _INSTRUCTIONS, _DATA, _PREFETCH = "flash_wait_states", "flash_instruction_cache", "flash_data_cache", "prefetch"
_BITS = {_INSTRUCTIONS: 16, _DATA: 32, _PREFETCH: 64}
"""Of a setting, as hardware/firmware/port.h has it; wait states are below them."""
_SLOWDOWN = 8
"""Of the clock, where there are no wait states."""
_STEPS = 7
"""Of progress: building, uploading, and the settings."""


@dataclass(frozen=True)
class Layer:
    """One operator: cycles on the board, and by the emulator, which is None where it has no figure."""

    name: str
    kind: str
    measured: int
    modelled: int | None


@dataclass(frozen=True)
class Point:
    """One inference with the flash in one state, as the board read it back."""

    model: str
    clock_hz: int
    conditions: dict[str, str]
    measured: int
    modelled: int | None
    """None where nothing is known of this state, or the emulator cannot run the program."""
    layers: tuple[Layer, ...]

    @property
    def error(self) -> float | None:
        """Of the model, in percent of what was measured."""
        return None if self.modelled is None else 100 * (self.modelled / self.measured - 1)


@dataclass(frozen=True)
class Emitted:
    """A model, and its C in a folder."""

    name: str
    graph: Graph
    code: Path
    input_offset: int
    """Of its input in the arena."""
    reference: Reference


def calibrate(model: Emitted, board: Board, workdir: Path, port: str, progress: Progress) -> list[Point]:
    """Build, upload, and measure. Raises UserError where nobody answers as that board, CellError where something fails."""
    progress("building", 0, _STEPS)
    elf = arduino.build(model.code, board, workdir).elf
    slow = patience(
        model.graph, replace(board, clock_hz=board.clock_hz // _SLOWDOWN), len(model.reference.checksums[0])
    )
    points = []
    with ExitStack() as stack:
        progress("uploading", 1, _STEPS)
        try:
            stack.enter_context(claim(port, board.name))
            arduino.upload(workdir, board, port)
            link = stack.enter_context(SerialLink(port, board.name, wait=Patience.boot))
            session = Session(link, board.name, model.graph.digest(), slow)
        except CellError as error:
            raise UserError(str(error)) from None
        for number, identity in enumerate(_states(session), 2):
            progress(told(identity.clock_hz, identity.conditions), number, _STEPS)
            points.append(_point(model, board, elf, session, link))
    return points


def settings(conditions: Mapping[str, str]) -> list[int]:
    """For a board that has read back some conditions: caches on and off with prefetch off and on; and no wait states."""
    waits = int(conditions.get(_WAITS, "0"))
    caches = sum(bit for key, bit in _BITS.items() if key in conditions and key != _PREFETCH)
    prefetch = _BITS[_PREFETCH] if _PREFETCH in conditions else 0
    with_waits = [waits | cache | ahead for cache in (caches, 0) for ahead in (0, prefetch)] if waits else []
    return list(dict.fromkeys([*with_waits, caches])) if waits else []


def timing(board: Board, conditions: Mapping[str, str]) -> FlashTiming | None:
    """The board's memory model in a state that was read back; None where nothing is known of it."""
    known = board.flash_timing
    if known is None:
        return None
    kept = {key: conditions.get(key) != "off" for key in _BITS}
    return replace(
        known,
        wait_states=int(conditions.get(_WAITS, known.wait_states)),
        instruction_cache=known.instruction_cache if kept[_INSTRUCTIONS] else None,
        data_cache=known.data_cache if kept[_DATA] else None,
        prefetch=conditions[_PREFETCH] == "on" if _PREFETCH in conditions else known.prefetch,
    )


def _states(session: Session) -> Iterator[Identity]:
    """The board as it is, and in every other state that it takes."""
    seen = [session.identity]
    yield session.identity
    for setting in settings(session.identity.conditions):
        if not session.flash(setting):
            return
        if session.identity not in seen:
            seen.append(session.identity)
            yield session.identity


def told(clock_hz: int, conditions: Mapping[str, str]) -> str:
    """A state in a few words, as in ``80 MHz, 4 wait states, prefetch off, caches on``."""
    parts = [f"{clock_hz / 1e6:g} MHz"]
    parts += [f"{conditions[_WAITS]} wait states"] if _WAITS in conditions else []
    parts += [f"prefetch {conditions[_PREFETCH]}"] if _PREFETCH in conditions else []
    parts += [f"caches {conditions[_INSTRUCTIONS]}"] if _INSTRUCTIONS in conditions else []
    return ", ".join(parts)


def _point(model: Emitted, board: Board, elf: Path, session: Session, link: SerialLink) -> Point:
    """The board in the state that it is in. Raises CellError where its outputs are not host C's."""
    graph, reference = model.graph, model.reference
    session.load(reference.inputs[0].tobytes())
    session.infer()
    measured = session.cycles()
    if session.output() != reference.outputs[0].tobytes():
        raise CellError(f"{link.label}: output: it is not that of host C")
    by_layer = layers_over(session, link, graph, reference)
    modelled, modelled_layers = _modelled(model, board, elf, session.identity)
    layers = zip(graph.ops, by_layer, modelled_layers, strict=True)
    return Point(
        model.name,
        session.identity.clock_hz,
        session.identity.conditions,
        measured,
        modelled,
        tuple(Layer(op.name, op.kind, cycles, ours) for op, cycles, ours in layers),
    )


def _modelled(model: Emitted, board: Board, elf: Path, identity: Identity) -> tuple[int | None, list[int | None]]:
    """Cycles of the same program by the emulator, in all and by layers; None for what it cannot say."""
    flash, layers = timing(board, identity.conditions), [None] * len(model.graph.ops)
    without_waits = identity.conditions.get(_WAITS) == "0"
    if flash is None and not without_waits:
        return None, [*layers]
    emulated = replace(board, flash_timing=flash)
    try:
        with Inference(elf, emulated, waits=not without_waits) as inference:
            total, parts = inference.run_on(model.reference.inputs[0].tobytes(), model.input_offset)
    except CellError:
        return None, [*layers]
    operators = model.reference.checksums[0][:, 0].tolist()
    if len(parts) != len(operators):
        return total, [*layers]
    by_layer = [0] * len(layers)
    for op, cycles in zip(operators, parts, strict=True):
        by_layer[op] += cycles
    return total, [*by_layer]
