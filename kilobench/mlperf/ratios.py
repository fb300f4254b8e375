# SPDX-License-Identifier: Apache-2.0
"""Cycles of a board divided by those of the reference board: ours beside those of silicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kilobench.mlperf.published import Result
from kilobench.mlperf.reports import REFERENCE_BOARD, Reference


@dataclass(frozen=True)
class Ratio:
    """One board and benchmark; ``published`` has a value for every engine that a submitter measured on both boards."""

    benchmark: str
    board: str
    core: str
    ours: float
    published: tuple[float, ...]

    @property
    def inside(self) -> bool:
        """Whether ours lies within what is published, to the two digits that are shown."""
        low, high = (round(bound(self.published), 2) for bound in (min, max))
        return low <= round(self.ours, 2) <= high


def ratios(reference: Reference, results: Sequence[Result]) -> list[Ratio]:
    """Of all boards that have a published pair and were measured here, in the order of the report."""
    base = reference.on(REFERENCE_BOARD)
    found = []
    for one in reference.facts.boards:
        pairs = published_ratios(results, reference.model.benchmark, one.board)
        cycles = one.cycles_on_board
        if base is not None and base.cycles_on_board and cycles and pairs and one.board != REFERENCE_BOARD:
            ratio = cycles / base.cycles_on_board
            found.append(Ratio(reference.model.benchmark, one.board, one.core, ratio, pairs))
    return found


def published_ratios(results: Sequence[Result], benchmark: str, board: str) -> tuple[float, ...]:
    """Sorted, of the same round, submitter, engine and type of weights on both boards."""
    base, there = (_at_full_clock(results, benchmark, one) for one in (REFERENCE_BOARD, board))
    return tuple(sorted(cycles / base[who] for who, cycles in there.items() if who in base))


def _at_full_clock(results: Sequence[Result], benchmark: str, board: str) -> dict[tuple[str, ...], float]:
    """Cycles by who measured them, at the highest clock where there are several."""
    found = [result for result in results if (result.benchmark, result.board) == (benchmark, board)]
    return {result.who: result.cycles for result in sorted(found, key=lambda result: result.mhz)}
