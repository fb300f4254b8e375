# SPDX-License-Identifier: Apache-2.0
"""Measuring on a real board at a serial port, with a meter in its supply if there is one."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from kilobench.boards import Board, PowerMeter
from kilobench.compile.graph import Graph
from kilobench.contracts import CellError
from kilobench.device import arduino
from kilobench.device.ports import find_port
from kilobench.device.power import meter
from kilobench.device.protocol import Patience, Session, Transport
from kilobench.device.serial import SerialLink, claim
from kilobench.measuring.evaluate import Reference
from kilobench.measuring.onboard import Measurement, measure_over, measurement, patience

_ENERGY_SECONDS = 2.0
_MOST_ENERGY_UJ = 1e12
"""As records have room for."""


def measure(
    model: Path, graph: Graph, reference: Reference, board: Board, workdir: Path, port: str, power: str
) -> Measurement:
    """Build with PlatformIO's own toolchain, upload, run, and compare every output with host C bit for bit.

    ``port`` is empty for the one that is attached; ``power`` names the meter in the board's supply, as in ``ppk2``. Raises
    CellError if the build, the upload or the firmware fails, or an output differs (naming the first operator that does).
    """
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
    return measurement(firmware, arduino.sizes(firmware.elf), (0, 0), run, start, built)


def energy_uj(
    supply: PowerMeter, transport: Transport, graph: Graph, reference: Reference, board: Board, cycles: int
) -> float:
    """Microjoules per inference of the whole board, from so many in a row that they take some seconds.

    Raises CellError if the meter says what no board takes.
    """
    session = Session(transport, board.name, graph.digest(), patience(graph, board, 0))
    count = max(1, round(_ENERGY_SECONDS * board.clock_hz / cycles))
    session.load(reference.inputs[0].tobytes())
    energy = supply.sampled(lambda: session.infer(count, 2 * _ENERGY_SECONDS)).energy_uj / count
    if not 0 < energy < _MOST_ENERGY_UJ:
        raise CellError(f"{transport.label}: energy: the meter says {energy:g} uJ, not from 0 to {_MOST_ENERGY_UJ:g}")
    return energy
