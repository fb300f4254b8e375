import random
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from kilobench.render import render
from kilobench.render.table import frame, terminal
from kilobench.stats import wilson
from tests.unit.records import contest, record

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    records = contest()
    first = {path.name: path.read_bytes() for path in render(records, tmp_path / "a")}
    random.Random(0).shuffle(records)
    assert {path.name: path.read_bytes() for path in render(records, tmp_path / "b")} == first


def test_pages_are_the_golden_ones(tmp_path: Path) -> None:
    """After a wanted change: python -m tests.unit.test_render writes them anew; read the diff."""
    render(contest(), tmp_path)
    for name in ("README.md", "tasks/fsdd-classes=5.md"):
        assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_folds_are_pooled_and_compared_on_the_same_samples() -> None:
    rows = frame([record(fold=0, correct=80), record(fold=1, correct=60), record("int8", fold=0, correct=90)])
    full = rows[rows["recipe"] == "full"].iloc[0]
    assert (full["accuracy"], full["samples"], full["folds"]) == (0.7, 200, 2)
    assert (full["low"], full["high"]) != wilson(140, 200), "folds that differ this much say little about others"
    assert full["place"] == 1 and pd.isna(rows[rows["recipe"] == "int8"]["place"].iloc[0]), "one fold has no place"
    assert list(rows["recipe"]) == ["full", "int8"], "those without a place stand last"


def test_ratios_and_ties_are_those_of_the_figures() -> None:
    rows = frame(contest())
    row = rows[(rows["recipe"] == "xnor+int8") & (rows["board"] == "nucleo_l476rg")].iloc[0]
    assert (row["flash_ratio"], row["cycles_ratio"]) == (10, 8)
    assert dict(zip(rows["recipe"], rows["place"], strict=True)) == {"full": 1, "int8": 1, "xnor+int8": 3}


def test_a_board_has_places_of_its_own() -> None:
    rows = frame([record(correct=60), record("int8", correct=90, board="raspberry_pi_pico")])
    assert list(rows["place"]) == [1, 1]


def test_terminal_tables_are_one_per_contest(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=80).print(terminal([*contest(), record("xnor+int8", correct=99, network="other", fold=3)]))
    text = capsys.readouterr().out
    for title in ("fsdd[classes=5] on nucleo_l476rg, acdnet\n", "fsdd[classes=5] on nucleo_l476rg, other\n"):
        assert title in re.sub(r" +\n", "\n", text)
    assert "1 ◆ int8" in text and "3 ◆ xnor+int8" in text


def test_curves_are_drawn_for_a_family_with_several_numbers_of_classes(tmp_path: Path) -> None:
    few, many = record(correct=90, task="fsdd[classes=2]", classes=2), record(correct=70, task="fsdd", classes=10)
    paths = {path.name for path in render([few, many, record(task="esc10", classes=10)], tmp_path)}
    assert {"classes.md", "fsdd-classes.svg"} <= paths and "esc10-classes.svg" not in paths
    cells = [cell.strip() for cell in (tmp_path / "classes.md").read_text().split("|")]
    assert {"`full`", "90.0 (82.6-94.5)", "70.0 (60.4-78.1)"} <= set(cells)


def test_the_index_does_not_compare_one_fold_with_two(tmp_path: Path) -> None:
    lucky = record("xnor", correct=99, network="other")
    render([lucky, record(fold=0, correct=80), record(fold=1, correct=60)], tmp_path)
    assert "| nucleo_l476rg | `full` ◆ |" in (tmp_path / "README.md").read_text()


def test_other_trainings_are_other_contests() -> None:
    rows = frame([record(correct=60), record(correct=80, training_changes="epochs=99")])
    assert list(rows["training"]) == ["", "epochs=99"] and list(rows["place"]) == [1, 1]


def test_ten_crops_are_shown_where_they_were_measured(tmp_path: Path) -> None:
    crops = record().accuracy.model_copy(update={"correct": 91})
    render([record(accuracy_10_crops=crops.model_dump(), partial=7)], tmp_path)
    page = (tmp_path / "tasks" / "fsdd-classes=5.md").read_text()
    assert "10 crops %" in page and "91.0" in page and "**Partial data**: 7 of" in page


def test_folds_of_a_row_are_repeated_by_one_command() -> None:
    rows = frame([record(fold=0), record(fold=1)])
    assert rows["commands"].iloc[0] == ("kilobench run --recipe full --board nucleo_l476rg --fold all",)


if __name__ == "__main__":
    render(contest(), GOLDEN)
