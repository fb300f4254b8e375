# SPDX-License-Identifier: Apache-2.0
"""Intervals of cycles, by what core and board files say of their error."""

from dataclasses import replace

import pytest

from kilobench.boards import Board
from kilobench.measuring.expected import cycles_expected
from kilobench.plugins.registry import load_registry
from kilobench.record import span

BOARDS: list[Board] = [entry.value for entry in load_registry().entries["boards"].values()]  # type: ignore[misc]
L4R5: Board = load_registry().get("boards", "nucleo_l4r5zi")


def test_core_and_flash_are_wrong_together() -> None:
    """6 % of a million and half of 200 000 waits."""
    assert (L4R5.core.cycles_error, L4R5.flash_timing.error) == (6, 50)  # type: ignore[union-attr]
    assert cycles_expected(L4R5, 1_000_000, 200_000) == (1_040_000, 1_360_000)


def test_published_waits_lie_within() -> None:
    """CMSIS-NN's IC, KWS and VWW on the L4R5: silicon over emulation without wait states, and what the model says."""
    for silicon, model in ((112, 107), (103, 110), (106, 109)):
        ends = cycles_expected(L4R5, 100_000, (model - 100) * 1000)
        assert ends is not None and ends[0] <= silicon * 1000 <= ends[1]


@pytest.mark.parametrize("board", [board for board in BOARDS if board.core.timing], ids=lambda board: board.name)
def test_an_emulated_board_has_an_interval_where_all_is_known(board: Board) -> None:
    ends, known = cycles_expected(board, 10**6, 10**5), board.flash_timing is not None and board.core.cycles_error
    assert (ends is not None) == bool(known)
    if ends is not None:
        assert 0 < ends[0] < 1_100_000 < ends[1] and ends[0] + ends[1] == 2_200_000


def test_what_is_not_known_has_none() -> None:
    assert cycles_expected(L4R5, None, 5) is None and cycles_expected(L4R5, 5, None) is None
    assert cycles_expected(replace(L4R5, flash_timing=None), 5, 5) is None
    assert cycles_expected(replace(L4R5, core=replace(L4R5.core, cycles_error=None)), 5, 5) is None


@pytest.mark.parametrize(
    ("ends", "text"),
    [((27.2, 33.4), " (27-33)"), ((4.04, 5.46), " (4.0-5.5)"), ((0.331, 0.419), " (0.33-0.42)"), (None, "")],
)
def test_spans_are_as_short_as_they_can_be(ends: tuple[float, float] | None, text: str) -> None:
    assert span(ends) == text
