# SPDX-License-Identifier: Apache-2.0
"""How long a real board is expected to take where an emulated one takes so long (docs/timing.md)."""

from __future__ import annotations

from kilobench.boards import Board


def cycles_expected(board: Board, cycles: int | None, waits: int | None) -> tuple[int, int] | None:
    """Least and most: ``cycles``, and what the core ``waits`` for its flash, each as wrong as it can be.

    None where one of the two is not known, or not how wrong.
    """
    error, timing = board.core.cycles_error, board.flash_timing
    if cycles is None or waits is None or error is None or timing is None:
        return None
    off = cycles * error / 100 + waits * timing.error / 100
    return round(cycles + waits - off), round(cycles + waits + off)
