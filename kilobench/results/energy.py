# SPDX-License-Identifier: Apache-2.0
"""Energy per inference in microjoules: by a meter, which records hold, or *estimated* from the data sheet of the board's chip.

The estimate is made when it is shown, of a record's latency and the board's file, so that a current that is mended changes no
record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from kilobench.boards import Board
from kilobench.record import Record

Boards = Mapping[str, Board]
"""By name, those that are known."""


def measured_uj(records: Sequence[Record]) -> float:
    """The mean; NaN where it was not measured throughout."""
    return fmean([math.nan if record.energy_uj is None else record.energy_uj for record in records])


def estimated_uj(records: Sequence[Record], boards: Boards) -> float:
    """The mean; NaN where the current at a record's clock is not known."""
    return fmean([_estimated_uj(record, boards) for record in records])


def _estimated_uj(record: Record, boards: Boards) -> float:
    board = boards.get(record.board)
    energy = None if board is None else board.estimated_uj(record.latency_ms, record.clock_hz)
    return math.nan if energy is None else energy


def worst_uj(records: Sequence[Record], boards: Boards, measured: bool) -> float:
    """Of one kind, the most that any takes; NaN where it is not known of all."""
    each = [measured_uj([record]) if measured else estimated_uj([record], boards) for record in records]
    return math.nan if any(map(math.isnan, each)) else max(each)


def source(record: Record, boards: Boards) -> str:
    """The current that energy is estimated by, and where it stands; nothing where it is not known."""
    board = boards.get(record.board)
    if board is None or board.run_current is None or board.clock_hz != record.clock_hz:
        return ""
    return board.run_current.told
