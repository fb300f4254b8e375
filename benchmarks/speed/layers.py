# SPDX-License-Identifier: Apache-2.0
"""Many layers in one firmware: the cycles of each, as the firmware counts them."""

import zlib
from collections.abc import Iterator
from pathlib import Path

from kilobench.contracts import Board, CellError
from kilobench.scratch import temporary_folder
from kilobench.toolchain import Toolchain
from tests.fuzz.batch import Batch, Case, Target, engine


class Rig:
    """An emulated board and a toolchain, with the kernels compiled once, in ``folder``."""

    def __init__(self, board: Board, toolchain: Toolchain, folder: Path) -> None:
        self._target = Target(board, toolchain=toolchain)
        self._common = [Path(__file__).with_suffix(".c"), engine(self._target, folder)]

    def cycles(self, cases: list[Case]) -> Iterator[int]:
        """Of each graph's last operator on its one input; raises CellError where the output is not the simulation's."""
        with temporary_folder() as folder:
            batch = Batch(cases, folder)
            elf = batch.program(self._target, self._common, folder)
            for case, answer in zip(cases, batch.answers(elf, self._target.board), strict=True):
                cycles, _, check = answer.partition(" ")
                wanted = f"{zlib.crc32(case.expected[0].tobytes()):08x}"
                if check != wanted:
                    raise CellError(f"{case.name}: the board answers {answer!r}, not the checksum {wanted}")
                yield int(cycles)
