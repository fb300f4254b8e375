# SPDX-License-Identifier: Apache-2.0
import random
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from kilobench.record import Record, accuracy, wilson
from kilobench.render import render
from kilobench.render.markdown import pages
from kilobench.render.plots import plots
from kilobench.results.store import Store
from kilobench.results.table import Leader, class_curves, frame, leaders, methods, terminal
from tests.results.records import contest, record

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def made_up() -> list[Record]:
    """A contest on two boards, and the same with fewer classes, where another recipe leads."""
    few = [
        record("full", correct=88, task="fsdd[classes=2]", classes=2),
        record("xnor+int8", correct=95, task="fsdd[classes=2]", classes=2, cycles=2_000_000),
    ]
    return [*contest(), *few]


def of(records: list[Record], site: bool = False) -> dict[str, str]:
    return pages(frame(records), records, site=site)


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    records = made_up()
    first = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in render(records, tmp_path / "a")}
    random.Random(0).shuffle(records)
    assert {path.relative_to(tmp_path / "b"): path.read_bytes() for path in render(records, tmp_path / "b")} == first


def test_pages_are_the_golden_ones() -> None:
    """After a wanted change: python -m tests.render.test_render writes them anew; read the diff."""
    made = of(made_up())
    assert set(made) == {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.md")}
    for name, text in made.items():
        assert text == (GOLDEN / name).read_text(), name


def test_committed_pages_are_those_of_the_committed_records() -> None:
    """After new records or other templates: python -m kilobench leaderboard."""
    for name, text in of(Store(ROOT / "leaderboard" / "records").read_all()).items():
        assert text == (ROOT / "leaderboard" / name).read_text(), name


def test_every_link_leads_to_a_page_or_a_plot_and_every_page_says_how_to_cite_it() -> None:
    made = of(made_up())
    there = {*made, *plots(frame(made_up()))}
    title = re.search(r'^title: "(.+)"$', (ROOT / "CITATION.cff").read_text(), re.M)
    assert title
    for name, text in made.items():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (ROOT / name).parent.joinpath(link).resolve().relative_to(ROOT).as_posix() in there, (name, link)
        assert f"*{title[1]}*, commit abc" in text and "the newest on 2026-01-01, with zig 0.17.1" in text


def test_the_site_has_places_for_plots_and_tables_of_its_own() -> None:
    plain, site = of(made_up()), of(made_up(), site=True)
    assert set(plain) == set(site)
    changed = {name for name in plain if plain[name].partition("\n---\n")[0].rstrip() != site[name].rstrip()}
    assert changed == {"classes.md", "tasks/fsdd-classes=2.md", "tasks/fsdd-classes=5.md"}
    assert all("To cite" in plain[name] and "To cite" not in site[name] for name in plain)  # the site has its own foot
    task, classes = site["tasks/fsdd-classes=5.md"], site["classes.md"]
    assert (
        '\n<div class="explore" data-task="fsdd-classes=5"></div>\n' in task
        and "Place" not in task
        and "![" not in task
    )
    assert (
        '\n<div class="classes" data-family="fsdd"></div>\n' in classes
        and "| **leader**" in classes
        and "![" not in classes
    )


def test_a_curve_has_all_seeds_wherever_they_were_measured() -> None:
    more = [record("full", "raspberry_pi_pico", 60, seed=seed) for seed in (1, 2)]
    curve = class_curves(frame([*made_up(), *more]), "fsdd").set_index(["classes", "recipe"])
    assert curve.loc[(5, "full"), "accuracy"] == pytest.approx((80 + 60 + 60) / 300)


def test_a_recipe_is_on_the_page_of_each_of_its_methods() -> None:
    assert methods("prune[keep=1e+1,rank=a]+my-own.x+int8[a=b]") == ["prune", "my-own.x", "int8"]
    made = of(made_up())
    for name in ("xnor", "int8"):
        lines = [
            line for line in made[f"methods/{name}.md"].splitlines() if line.startswith("| `xnor+int8` ◆ | raspberry")
        ]
        assert len(lines) == 1 and "60.0 (50.2-69.1) |" in lines[0] and "-20.0 (-2" in lines[0] and "10.0x" in lines[0]
    assert "60.0 (50.2-69.1)" not in made["methods/full.md"]


def test_a_board_says_what_does_not_fit_and_by_how_much() -> None:
    page = of(made_up())["boards/raspberry_pi_pico.md"]
    assert "1024 KiB flash, 128 KiB RAM. 2 of 3 rows of 1 task(s) fit" in page and "no: RAM +76.3 KiB at conv1" in page


def test_the_leader_is_the_most_accurate_and_ties_are_said() -> None:
    def at(classes: int, **correct: int) -> list[Record]:
        task = f"fsdd[classes={classes}]"
        return [record(name, correct=right, task=task, classes=classes) for name, right in correct.items()]

    rows = frame([*at(2, full=97, int8=98), *at(5, full=95, int8=60, xnor=96), *at(10, full=90, int8=40, xnor=50)])
    found = leaders(class_curves(rows, "fsdd"))
    assert found == [
        Leader(2, "int8", ("full",), False, False),
        Leader(5, "xnor", ("full",), True, True),
        Leader(10, "full", (), True, False),
    ]
    few = [record("full", correct=80, fold=1, task="fsdd[classes=2]", classes=2)]
    rows = frame([*few, *at(2, full=80, int8=98), *at(5, full=80)])
    assert leaders(class_curves(rows, "fsdd"))[0].recipe == "full", "int8 lacks a fold"


def test_other_parameters_of_a_task_are_other_curves() -> None:
    noisy = [record(task=f"fsdd[classes={count},noise=3]", classes=count) for count in (2, 5)]
    made = of([*noisy, record(task="fsdd[classes=7]", classes=7)])
    assert "## fsdd[noise=3]" in made["classes.md"] and "7 classes" not in made["classes.md"]


def many(tasks: int, recipes: int, boards: int, folds: int) -> list[Record]:
    """Records of models of 400 samples, which are right about the same samples on every board."""
    made, plain, random = [], record(), np.random.default_rng(0)
    for task, recipe, fold in np.ndindex(tasks, recipes, folds):
        name = f"prune[keep=0.{recipe}]+int8" if recipe else "full"
        model = {"task": f"task{task}", "recipe": name, "fold": fold, "data_digest": f"fold {fold}"}
        model |= {"accuracy": accuracy(random.random(400) < 0.6 + 0.3 * recipe / recipes)}
        for board in range(boards):
            costs = {"flash_bytes": int(random.integers(10**4, 10**6)), "cycles": int(random.integers(10**6, 10**8))}
            made.append(plain.model_copy(update={**model, **costs, "board": f"board{board}"}))
    return made


@pytest.mark.parametrize("shape", [(20, 25, 4, 5), (1, 400, 25, 1)], ids=["broad", "narrow"])
def test_ten_thousand_records_take_seconds(shape: tuple[int, int, int, int]) -> None:
    """6 s of one core's time each when written; the bound only catches what grows with the square."""
    records = many(*shape)
    start = time.process_time()
    rows = frame(records)
    files = {**pages(rows, records), **plots(rows)}
    assert len(records) == 10_000 and len(files) > shape[0]
    assert time.process_time() - start < 30


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


def test_the_index_does_not_compare_one_fold_with_two() -> None:
    lucky = record("xnor", correct=99, network="other")
    index = of([lucky, record(fold=0, correct=80), record(fold=1, correct=60)])["README.md"]
    assert "| `full` **70.0 %**, 100 KiB, 100 ms |" in index and "99.0" not in index


def test_other_trainings_are_other_contests() -> None:
    rows = frame([record(correct=60), record(correct=80, training_changes="epochs=99")])
    assert list(rows["training"]) == ["", "epochs=99"] and list(rows["place"]) == [1, 1]


def test_ten_crops_are_shown_where_they_were_measured() -> None:
    page = of([record(accuracy_10_crops=record(correct=91).accuracy.model_dump(), partial=7)])[
        "tasks/fsdd-classes=5.md"
    ]
    assert "10 crops %" in page and "91.0" in page and "**Partial data**: 7 of" in page


def test_folds_of_a_row_are_repeated_by_one_command() -> None:
    rows = frame([record(fold=0), record(fold=1)])
    assert rows["commands"].iloc[0] == ("kilobench run --recipe full --board nucleo_l476rg --fold all",)


if __name__ == "__main__":
    for file, content in of(made_up()).items():
        (GOLDEN / file).parent.mkdir(exist_ok=True)
        (GOLDEN / file).write_text(content)
