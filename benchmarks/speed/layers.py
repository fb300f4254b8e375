# SPDX-License-Identifier: Apache-2.0
"""Many layers in one firmware: the cycles of each, as the firmware counts them."""

import zlib
from collections.abc import Iterator
from pathlib import Path

from kilobench.boards import Board
from kilobench.contracts import CellError
from kilobench.scratch import temporary_folder
from kilobench.toolchain import Toolchain
from tests.fuzz.batch import Batch, Case, Target, engine


def cycles(cases: list[Case], board: Board, toolchain: Toolchain = "zig") -> Iterator[int]:
    """Of each graph's last operator on its one input, on an emulated board; raises CellError where the output is not the
    simulation's.
    """
    target = Target(board, toolchain=toolchain)
    with temporary_folder() as folder:
        batch = Batch(cases, folder)
        elf = batch.program(target, [Path(__file__).with_suffix(".c"), engine(target)], folder)
        for case, answer in zip(cases, batch.answers(elf, board), strict=True):
            spent, _, check = answer.partition(" ")
            wanted = f"{zlib.crc32(case.expected[0].tobytes()):08x}"
            if check != wanted:
                raise CellError(f"{case.name}: {board.name} answers {answer!r}, not the checksum {wanted}")
            yield int(spent)
