# SPDX-License-Identifier: Apache-2.0
"""Boards that nobody ran anything on answer by what models cost on their core."""

import math
from pathlib import Path

import pytest

from kilobench.contracts import Budget, UserError
from kilobench.record import BoardCost, CoreCost, Costs, Record
from kilobench.results.advise import advise
from kilobench.results.elsewhere import records_on, representatives, rows_elsewhere
from kilobench.results.store import Store
from kilobench.results.table import rows_of
from tests.results.records import record

DIGESTS = {"full": "1" * 64, "int8": "2" * 64}
COMMITTED = Store(Path(__file__).parents[2] / "leaderboard" / "records")


def costs(recipe: str, flash: int, cycles: int | None, over: int = 0) -> Costs:
    board = BoardCost(
        board="nucleo_f411re",
        clock_hz=100_000_000,
        board_flash_bytes=1 << 19,
        board_ram_bytes=1 << 17,
        over_flash_bytes=0,
        over_ram_bytes=over,
        cycles_flash=None if over or not cycles else cycles * 5 // 4,
        cycles_expected=None if over or not cycles else (cycles, cycles * 3 // 2),
    )
    core = CoreCost(
        core="cortex-m4f",
        timing="emulated cortex-m4",
        key="0" * 32,
        built_for="nucleo_l4r5zi",
        flash_bytes=flash,
        ram_bytes=30_000,
        cycles=cycles,
        boards=(board,),
    )
    return Costs(
        task="fsdd[classes=5]",
        network="acdnet",
        training_changes="",
        recipe=recipe,
        effort=2.6,
        budget="",
        model_digest=DIGESTS[recipe],
        toolchain="zig 0.17.1",
        cores=(core,),
    )


def all_folds() -> list[Record]:
    """Two folds of two recipes on one board; the second fold's model is another."""
    return [
        record(recipe, correct=90 - fold, fold=fold, model_digest=digest if fold == 0 else "9" * 64)
        for recipe, digest in DIGESTS.items()
        for fold in (0, 1)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "records")
    for one in all_folds():
        store.write(one)
        path = store.model_path(one)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a model")
    for one in (costs("full", 400_000, 16_000_000, over=99), costs("int8", 100_000, 4_000_000)):
        store.write_costs(one)
    return store


def test_costs_are_read_as_they_were_written(store: Store) -> None:
    assert store.read_costs() == [costs("full", 400_000, 16_000_000, over=99), costs("int8", 100_000, 4_000_000)]
    path = store.costs_path(store.read_costs()[0])
    path.write_text(path.read_text().replace('"cycles"', '"cycled"'))
    with pytest.raises(UserError, match=r"full-effort2\.6\.json is no file of costs: "):
        store.read_costs()


def test_the_first_fold_stands_for_a_recipe(store: Store) -> None:
    assert {one.recipe: one.fold for one in representatives(store.read_all(), store)} == {"full": 0, "int8": 0}
    unequal = [one.model_copy(update={"effort": None}) for one in store.read_all()]
    claimed = [one.model_copy(update={"trust": "claimed"}) for one in store.read_all()]
    assert not list(representatives([*unequal, *claimed], store))
    for path in store.models.iterdir():
        path.unlink()
    assert not list(representatives(store.read_all(), store))


def test_records_of_another_board_have_its_costs_and_their_own_accuracy(store: Store) -> None:
    moved = records_on("nucleo_f411re", store.read_all(), store)
    assert [(one.recipe, one.fold, one.board) for one in moved] == [
        (recipe, fold, "nucleo_f411re") for recipe in ("full", "int8") for fold in (0, 1)
    ]
    assert [one.quality for one in moved] == [one.quality for one in store.read_all()]
    assert {(one.flash_bytes, one.cycles, one.latency_ms, one.fits) for one in moved} == {
        (400_000, 16_000_000, 160.0, False),
        (100_000, 4_000_000, 50.0, True),
    }
    assert all(" --board nucleo_f411re " in one.command for one in moved)


def test_what_was_run_on_a_board_stays(store: Store) -> None:
    ran = [record("int8", "nucleo_f411re", fold=fold, cycles=3_000_000) for fold in (0, 1)]
    found = records_on("nucleo_f411re", [*store.read_all(), *ran], store)
    assert {(one.recipe, one.cycles) for one in found} == {("int8", 3_000_000), ("full", 16_000_000)}


def test_advice_for_a_board_that_nobody_ran_anything_on(store: Store) -> None:
    page = advise(Budget("nucleo_f411re", latency_ms=60), "fsdd[classes=5]", store.folder)
    lines = [line.split() for line in page.splitlines()]
    assert any(line[-5:] == ["97.7", "29.3", "50.0", "(40-60)", "int8"] for line in lines)
    assert "full: RAM by 0.1 KiB, time by 100.0 ms" in page and "built for nucleo_l4r5zi" in page
    with pytest.raises(UserError, match=r"on board 'nucleo_f412re'; nearest is 'nucleo_f411re'; there are: "):
        advise(Budget("nucleo_f412re"), "fsdd[classes=5]", store.folder)


def test_rows_of_another_board_keep_their_places_and_have_ratios_of_their_own(store: Store) -> None:
    rows = rows_of(store.read_all())
    moved = {row["recipe"]: row for row in rows_elsewhere(rows, store.read_costs())}
    assert moved.keys() == {"full", "int8"} and {row["board"] for row in moved.values()} == {"nucleo_f411re"}
    assert {name: row["place"] for name, row in moved.items()} == {row["recipe"]: row["place"] for row in rows}
    assert moved["int8"]["flash_ratio"] == 4 and moved["int8"]["latency_ms"] == 50
    assert (moved["int8"]["expected_low_ms"], moved["int8"]["expected_high_ms"]) == (40, 60)
    assert math.isnan(moved["full"]["cycles_flash"]) and not moved["full"]["fits"]
    assert moved["int8"]["pareto"] and not moved["full"]["pareto"]


def test_a_board_that_the_contest_was_run_on_has_no_rows_besides(store: Store) -> None:
    ran = record("int8", "nucleo_f411re")
    assert not rows_elsewhere(rows_of([*store.read_all(), ran]), store.read_costs())


def test_every_emulated_board_answers_for_what_is_published() -> None:
    boards = {board.board for one in COMMITTED.read_costs() for core in one.cores for board in core.boards}
    recipes = {one.model_digest for one in representatives(COMMITTED.read_all(), COMMITTED)}
    assert {one.model_digest for one in COMMITTED.read_costs()} == recipes, "kilobench remeasure --board all"
    for board in sorted(boards):
        page = advise(Budget(board, flash_bytes=64 << 10), "digits", COMMITTED.folder)
        assert page.startswith(f"digits on {board}, ")
