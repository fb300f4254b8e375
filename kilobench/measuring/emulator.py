# SPDX-License-Identifier: Apache-2.0
"""Measuring on an emulated board."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import cast

from kilobench.boards import Board
from kilobench.compile.counts import macs
from kilobench.compile.graph import Graph
from kilobench.contracts import Progress, silent
from kilobench.device import elf
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import MAX_CYCLES, EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.measuring.evaluate import Reference
from kilobench.measuring.onboard import (
    MOST_CYCLES,
    SLOWEST_CYCLES_PER_MAC,
    Measurement,
    Run,
    inputs_left,
    layers_over,
    measure_over,
    measurement,
    patience,
)
from kilobench.toolchain import Toolchain

_USUAL_CYCLES_PER_MAC = 5
_SLOWEST_FLASH = 100
"""For limits: times the cycles without wait states."""
_WITH_FLASH = 4
"""Inferences as long as which the two take whose waits for the flash are counted."""


def measure(
    model: Path,
    graph: Graph,
    reference: Reference,
    board: Board,
    workdir: Path,
    toolchain: str,
    progress: Progress = silent,
) -> Measurement:
    """Build the firmware of the model in folder ``model``, run it, and compare every output with host C bit for bit.

    A program that the board's memory does not hold runs on the same core with more; one that no address reaches is counted, but
    not run. Raises CellError if the build or the firmware fails, or an output differs (naming the first operator that does).
    """
    start = perf_counter()
    firmware = build(model, board, workdir, cast(Toolchain, toolchain))
    built = perf_counter()
    sizes, over = elf.sizes(firmware.elf), elf.overflow(firmware.elf, board, firmware.linked)
    if not firmware.runs:
        return measurement(firmware, sizes, over, None, start, built)
    waits = firmware.linked.flash_timing is not None
    outlook = _Outlook(graph, len(reference.inputs), _WITH_FLASH if waits else 0, progress)
    limit = most_cycles(graph)
    with EmulatedBoard(firmware.elf, firmware.linked, max_cycles=limit, watch=outlook.tell) as emulated:
        run = measure_over(emulated, graph, reference, board, done=outlook.correct)
        outlook.slower(emulated.cycles)
    if waits:
        run = _with_flash(run, firmware, graph, reference, limit, outlook)
    return measurement(firmware, sizes, over, run, start, built)


def _with_flash(run: Run, firmware: Firmware, graph: Graph, reference: Reference, limit: int, outlook: _Outlook) -> Run:
    """With what the first input waits for the board's flash: as a whole, and by layers."""
    with flash_run(firmware, firmware.linked, graph, reference, limit, outlook.tell) as (emulated, session):
        flash_waits, weights_waits = session.cycles() - run.cycles[0], emulated.weights_waits
        layers = layers_over(session, emulated, graph, reference)
    by_layer = [after - before for after, before in zip(layers, run.layer_cycles, strict=True)]
    return replace(run, flash_waits=flash_waits, weights_waits=weights_waits, layer_flash_waits=by_layer)


@contextmanager
def flash_run(
    firmware: Firmware,
    linked: Board,
    graph: Graph,
    reference: Reference,
    limit: int,
    tell: Callable[[int], None] | None = None,
) -> Iterator[tuple[EmulatedBoard, Session]]:
    """A board that waits for the flash of ``linked``, after an inference of the first input; ``limit``: cycles without waits."""
    limit *= _SLOWEST_FLASH
    with EmulatedBoard(firmware.elf, linked, max_cycles=limit, waits=True, watch=tell) as emulated:
        waits = patience(graph, linked, len(reference.checksums[0]))
        waits = replace(waits, inference=_SLOWEST_FLASH * waits.inference)
        session = Session(emulated, linked.name, graph.digest(), waits)
        session.load(reference.inputs[0].tobytes())
        session.infer()
        yield emulated, session


def most_cycles(graph: Graph) -> int:
    """That measuring a model takes without waits, at the most."""
    return max(MAX_CYCLES, MOST_CYCLES + 3 * SLOWEST_CYCLES_PER_MAC * sum(macs(graph).values()))


class _Outlook:
    """How far an emulated board is, in cycles, of what its inferences take: a guess until the first of them is over."""

    def __init__(self, graph: Graph, inputs: int, more: int, progress: Progress) -> None:
        self._progress, self._inputs, self._more = progress, inputs, more
        self._total = (inputs + 1 + more) * _USUAL_CYCLES_PER_MAC * sum(macs(graph).values())
        self._before, self._factor = 0, 1.0

    def correct(self, cycles: list[int]) -> None:
        """What the inferences so far took; one more by layers follows the last, and as many as ``more``."""
        self._total = sum(cycles) + cycles[-1] * (inputs_left(cycles, self._inputs) + 1 + self._more)

    def slower(self, before: int) -> None:
        """From now on cycles, from 0 on again, count as a share of those that are left ``before`` the end."""
        self._before, self._factor = before, self._more / 2

    def tell(self, cycles: int) -> None:
        """Cycles so far."""
        done = self._before + self._factor * cycles
        self._progress("running on the emulated board", min(done, self._total), self._total)
