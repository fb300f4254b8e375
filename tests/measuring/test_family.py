# SPDX-License-Identifier: Apache-2.0
"""One program for all boards of a core says of each what a program of its own says."""

from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.measuring.emulator import measure
from kilobench.measuring.evaluate import EvaluatedModel
from kilobench.measuring.family import measure_family
from kilobench.plugins.registry import load_registry
from kilobench.results.costing import emulated_families
from kilobench.results.store import Store
from tests.results.records import published_model

STORE = Store(Path(__file__).parents[2] / "leaderboard" / "records")
FAMILIES = dict(emulated_families(load_registry()))
BYTES, SHARE = 200, 0.01
"""By which the two may differ: of flash by the length of a board's name and what is aligned behind it, of cycles in all."""


@pytest.fixture(scope="module")
def model() -> EvaluatedModel:
    record, *_ = STORE.select(task="digits", recipe="int8", board="nucleo_l476rg")
    return published_model(STORE, record)


@pytest.mark.parametrize("core", sorted(FAMILIES))
def test_costs_are_those_of_the_boards_themselves(core: str, model: EvaluatedModel, tmp_path: Path) -> None:
    boards = FAMILIES[core]
    emit(model.graph, tmp_path, "digits")
    family = measure_family(tmp_path, model.graph, model.reference, boards, tmp_path / "family")
    assert tuple(member.board for member in family.members) == boards and family.cycles
    smallest = min(family.members, key=lambda member: (member.board.ram_bytes, member.board.flash.bytes))
    own = measure(tmp_path, model.graph, model.reference, smallest.board, tmp_path / "own", "zig")
    assert own.sizes.flash_bytes == pytest.approx(family.flash_bytes, abs=BYTES)
    assert own.ram_bytes == pytest.approx(family.ram_bytes, abs=8)
    assert own.cycles[0] == pytest.approx(family.cycles, rel=SHARE)
    assert (own.over_flash_bytes, own.over_ram_bytes) == (smallest.over_flash_bytes, smallest.over_ram_bytes) == (0, 0)
    assert (own.flash_waits is None) == (smallest.flash_waits is None)
    if own.flash_waits is not None and smallest.flash_waits is not None:
        assert own.cycles[0] + own.flash_waits == pytest.approx(family.cycles + smallest.flash_waits, rel=SHARE)


def test_boards_say_by_how_much_a_program_misses_them(model: EvaluatedModel, tmp_path: Path) -> None:
    """With one region of RAM and with two; what fits none is not run."""

    def smaller(board: Board, flash: int, ram: int) -> Board:
        return replace(
            board,
            flash=replace(board.flash, bytes=flash),
            ram=tuple(replace(region, bytes=ram // len(board.ram)) for region in board.ram),
        )

    boards = [board for board in FAMILIES["cortex-m4f"] if board.name in ("nucleo_l476rg", "nucleo_f446re")]
    assert sorted(len(board.ram) for board in boards) == [1, 2]
    boards = [smaller(board, 20 << 10, 2 << 10) for board in boards]
    emit(model.graph, tmp_path, "digits")
    family = measure_family(tmp_path, model.graph, model.reference, boards, tmp_path / "family")
    assert family.cycles is None
    for member in family.members:
        own = measure(tmp_path, model.graph, model.reference, member.board, tmp_path / "own", "zig")
        assert member.over_flash_bytes == pytest.approx(own.over_flash_bytes, abs=BYTES) and own.over_flash_bytes > 0
        assert member.over_ram_bytes == pytest.approx(own.over_ram_bytes, abs=16) and own.over_ram_bytes > 0
        assert member.flash_waits is None
