# SPDX-License-Identifier: Apache-2.0
"""Measuring on an emulated board."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Literal, cast

from kilobench.api import Board
from kilobench.compile.graph import Graph
from kilobench.device import elf
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.measure.evaluate import Reference
from kilobench.measure.onboard import Measurement, measure_over, measurement


def measure(
    model: Path, graph: Graph, reference: Reference, board: Board, workdir: Path, toolchain: str
) -> Measurement:
    """Build the firmware of the model in folder ``model``, run it, and compare every output with host C bit for bit.

    Raises CellError if the build or the firmware fails, or an output differs (naming the first operator that does).
    """
    start = perf_counter()
    firmware = build(model, board, workdir, cast(Literal["zig", "gcc"], toolchain))
    built = perf_counter()
    sizes = elf.sizes(firmware.elf)
    with EmulatedBoard(firmware.elf, board, enlarged=not firmware.fits) as emulated:
        run = measure_over(emulated, graph, reference, board)
    return measurement(firmware, sizes, elf.overflow(sizes, board), run, start, built)
