# SPDX-License-Identifier: Apache-2.0
import math
import random
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from kilobench.boards import Board, RunCurrent
from kilobench.mlperf.page import mlperf_pages
from kilobench.plugins.registry import load_registry
from kilobench.record import Record, TooLarge, Unsuited, accuracy, wilson
from kilobench.render import render
from kilobench.render.csv import COLUMNS
from kilobench.render.markdown import pages
from kilobench.render.plots import class_panels, plots
from kilobench.render.site import task_data
from kilobench.render.study import answered
from kilobench.results.budgets import budget_tables, smallest
from kilobench.results.claims import CLAIMS
from kilobench.results.elsewhere import rows_elsewhere
from kilobench.results.store import Store
from kilobench.results.table import Leader, class_curves, leaders, methods, rows_of, slug, terminal
from tests.results.records import contest, record

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def made_up() -> list[Record]:
    """A contest on two boards, and the same with fewer classes, where another recipe leads."""
    few = [
        record("full", correct=88, task="fsdd[classes=2]", classes=2),
        record("xnor+int8", correct=95, task="fsdd[classes=2]", classes=2, cycles=2_000_000),
    ]
    return [*contest(), *few, *budgeted(), *of_unequal_terms()]


def budgeted() -> list[Record]:
    """Three recipes at two budgets of one board, one of which was run on another, too."""
    rows = []
    for kib, right in ((32, {"int8": 85, "xnor": 70, "prune+int8": 83}), (64, {"int8": 90, "xnor": 96})):
        budget = f"flash={kib}KiB,board=nucleo_l476rg"
        for recipe, correct in right.items():
            size = "keep=0.2" if recipe.startswith("prune") else f"width={kib / 64:g}"
            network = "acdnet" if recipe.startswith("prune") else f"acdnet[{size}]"
            facts = {
                "network": network,
                "budget": budget,
                "size": size,
                "flash_bytes": kib * 1000,
                "cycles": kib * 90_000,
            }
            rows.append(record(recipe, correct=correct, **facts))
            if kib == 64:
                rows.append(record(recipe, "raspberry_pi_pico", correct, **facts))
    return rows


TOO_LARGE = TooLarge(
    task="fsdd[classes=5]", network="acdnet", recipe="full", effort=2.6, budget="flash=32KiB,board=nucleo_l476rg",
    board="nucleo_l476rg", link="emulator", toolchain="zig 0.17.1", flash_bytes=40_960, ram_bytes=4096, latency_ms=3,
)  # fmt: skip


def of_unequal_terms() -> list[Record]:
    """Each would lead the contest that it is not in: of no stated effort, of another one, of an older version."""
    return [
        record("qat", correct=99, effort=None, steps={}),
        record("ternary", correct=99, steps={"train": 2700}),
        record("prune+int8", correct=99, contributions={"method prune": 1}),
        record("prune", correct=70, contributions={"method prune": 2}),
    ]


def table(records: list[Record]) -> pd.DataFrame:
    """Their rows, to be asked of."""
    return pd.DataFrame(rows_of(records))


def of(records: list[Record], site: bool = False) -> dict[str, str]:
    return pages(rows_of(records), records, [TOO_LARGE], site=site)


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


def test_latency_is_that_with_the_flash_where_there_is_a_model_of_it() -> None:
    text = of([record(cycles_flash=12_000_000), record("int8", cycles=4_000_000)])
    page = text["tasks/fsdd-classes=5.md"]
    lines = {name: next(line for line in page.splitlines() if f"| `{name}`" in line) for name in ("full", "int8")}
    cells = {name: line.replace(" ", "").split("|") for name, line in lines.items()}
    assert {"8.00", "150.0"} < {*cells["full"]} and {"4.00", "≥50.0"} < {*cells["int8"]}
    assert "latency at 80 MHz, with its flash (estimated)" in text["boards/nucleo_l476rg.md"]
    told = "- Latency holds what the core waits for the board's flash, *estimated* by a model of it"
    assert told in page and told in of([record(cycles_flash=12_000_000)], site=True)["tasks/fsdd-classes=5.md"]
    rows = table([record(cycles_flash=12_000_000), record(fold=1, cycles_flash=14_000_000)])
    assert list(rows["cycles_flash"]) == [13_000_000] and list(rows["latency_ms"]) == [162.5]


def test_energy_is_estimated_where_the_current_of_a_board_is_known(tmp_path: Path) -> None:
    board: Board = load_registry().get("boards", "nucleo_l476rg")
    boards = {board.name: replace(board, run_current=RunCurrent(10, 3, "a data sheet"))}
    records = [record(), record("int8", cycles=4_000_000, energy_uj=9999.5, link="serial", timing="measured dwt")]
    records += [record(board="raspberry_pi_pico"), record("xnor", clock_hz=40_000_000)]
    rows = {(row["recipe"], row["board"]): row for row in rows_of(records, boards)}
    told = {key: (row["energy_uj"], row["energy_estimated_uj"]) for key, row in rows.items()}
    assert str(told[("full", "nucleo_l476rg")]) == "(nan, 3000.0)" and told[("int8", "nucleo_l476rg")] == (
        9999.5,
        1500.0,
    )
    assert all(map(math.isnan, (*told[("full", "raspberry_pi_pico")], *told[("xnor", "nucleo_l476rg")])))
    made = pages(rows_of(records, boards), records)
    for name in ("tasks/fsdd-classes=5.md", "boards/nucleo_l476rg.md"):
        assert "energy estimated from the data sheet: 10 mA at 3 V (a data sheet)" in made[name]
        assert "Energy µJ (estimated)" in made[name] and "≥ 3000.0" in made[name] and "nan" not in made[name]
    assert (
        "stimated" not in made["boards/raspberry_pi_pico.md"]
        and "Energy" not in of(records[:1])["boards/nucleo_l476rg.md"]
    )
    render(records, tmp_path, boards)
    csv = pd.read_csv(tmp_path / "rows.csv").set_index(["recipe", "board"])["energy_estimated_uj"]
    assert csv[("full", "nucleo_l476rg")] == 3000 and math.isnan(csv[("full", "raspberry_pi_pico")])
    columns = task_data(rows_of(records, boards), {name: [1, 2] for name in ("nucleo_l476rg", "raspberry_pi_pico")})[
        "columns"
    ]
    assert sorted(map(str, columns["estimated"])) == ["1500.0", "3000.0", "None", "None"]


def test_latency_has_the_interval_in_which_a_real_board_is_expected() -> None:
    expected = record(cycles_flash=12_000_000, cycles_expected=(11_000_000, 13_000_000))
    text = of([expected, record("int8", cycles_flash=12_000_000)])
    for page in ("tasks/fsdd-classes=5.md", "boards/nucleo_l476rg.md"):
        assert [
            name
            for name in ("full", "int8")
            for line in text[page].splitlines()
            if f"`{name}`" in line and "150.0 (138-162)" in line
        ] == ["full"]
    rows = table([expected])
    assert (rows["expected_low_ms"][0], rows["expected_high_ms"][0]) == (137.5, 162.5)


def test_committed_pages_are_those_of_the_committed_records() -> None:
    """After new records or other templates: python -m kilobench leaderboard."""
    store = Store(ROOT / "leaderboard" / "records")
    records = store.read_all()
    boards = {name: entry.value for name, entry in load_registry().entries["boards"].items()}
    rows = rows_of(records, boards)
    elsewhere, ready = rows_elsewhere(rows, store.read_costs(), boards), mlperf_pages(ROOT / "leaderboard", records)
    made = pages(rows, records, store.read_too_large(), ready, elsewhere=elsewhere)
    for name, text in made.items():
        assert text == (ROOT / "leaderboard" / name).read_text(), name
    assert {f"boards/{path.name}" for path in (ROOT / "leaderboard" / "boards").iterdir()} <= made.keys()


def test_the_index_leads_with_the_answer() -> None:
    answer = (ROOT / "leaderboard" / "study.md").read_text().split("\n\n")[1]
    assert answer.startswith("**")
    assert answer in (ROOT / "leaderboard" / "README.md").read_text()


def test_the_study_has_a_page_with_every_claim_and_its_figures(tmp_path: Path) -> None:
    render(made_up(), tmp_path)
    page = (tmp_path / "study.md").read_text()
    assert "study.md" not in of([record("full"), record("int8")]), "of no XNOR-Net nothing is said"
    for claim in CLAIMS:
        section = page.split(f"\n## {claim.title}\n")[1].split("\n## ")[0]
        assert all(f"**{part}" in section for part in ("The claim.", "Here.", "Verdict: ", "Instead.")), claim.title
        assert f"[{claim.title}](#" in page and not re.search(r"\b(nan|inf|None)\b", section)
    assert "**not measured yet**: no data set has `xnor`, `prune+int8` and a reference" in page.replace(
        "Verdict: ", "**"
    )
    drawn = {path.name for path in (tmp_path / "plots").glob("study-*.svg")}
    assert (
        drawn == set(re.findall(r"plots/(study-[a-z]+\.svg)", page)) and {"study-few.svg", "study-space.svg"} <= drawn
    )


def test_the_same_space_is_a_budget_and_papers_stand_beside_what_was_trained() -> None:
    paper = {"network": "acdnet[channels=paper]", "task": "esc10"}
    rows = rows_of(
        [record(name, correct=right, **paper) for name, right in (("full", 80), ("xnor", 60), ("prune+int8", 70))]
    )
    found = {one.claim.name: one for one in answered(rows, [])}
    assert found["space"].verdict.word == found["eight"].verdict.word == "not measured yet"
    assert found["few"].lines and not found["space"].lines
    drawn = found["accuracies"].figure
    assert drawn and [(mark.series, round(mark.value, 2)) for mark in drawn.points] == [
        ("here", 80),
        ("the study", 96.65),
    ]
    assert [line["Here %"] for line in found["accuracies"].lines][:2] == [
        "80.0 (71.1-86.7)",
        "no ranked record of `acdnet[channels=paper]` on it",
    ]
    assert {"plots/study-accuracies.svg", "plots/study-memory.svg", "plots/study-few.svg"} <= set(plots(rows))


def test_every_link_leads_to_a_page_or_a_plot_and_every_page_says_how_to_cite_it() -> None:
    made = of(made_up())
    there = {*made, *plots(rows_of(made_up())), "rows.csv", "rows.md"}
    title = re.search(r'^title: "(.+)"$', (ROOT / "CITATION.cff").read_text(), re.M)
    assert title
    for name, text in made.items():
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if link.startswith("https://"):
                continue
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
        and "MACs (counted)" not in task
        and "![Accuracy against" not in task
    )
    assert (
        '\n<div class="classes" data-family="fsdd"></div>\n' in classes
        and "| **leader**" in classes
        and "![" not in classes
    )


def test_a_curve_has_all_seeds_wherever_they_were_measured() -> None:
    more = [record("full", "raspberry_pi_pico", 60, seed=seed) for seed in (1, 2)]
    curve = pd.DataFrame(class_curves(rows_of([*made_up(), *more]), "fsdd")).set_index(["classes", "recipe"])
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
    assert "1024 KiB flash, 128 KiB RAM. 4 of 5 rows of 1 task(s) fit" in page and "no: RAM +76.3 KiB at conv1" in page


def test_what_had_other_terms_is_never_placed() -> None:
    rows = table(made_up())
    for recipe, budget in (("qat", ""), ("ternary", ""), ("prune+int8", "")):
        row = rows[(rows["recipe"] == recipe) & (rows["budget"] == budget)].iloc[0]
        assert pd.isna(row["place"]) and not row["pareto"] and row["unequal"] and np.isnan(row["difference"]), recipe
    ranked = rows[(rows["budget"] == "") & (rows["board"] == "nucleo_l476rg") & (rows["classes"] == 5)]
    assert dict(zip(ranked["recipe"], ranked["place"].fillna(0), strict=True)) == {
        "full": 1, "int8": 1, "prune": 3, "xnor+int8": 4, "qat": 0, "ternary": 0, "prune+int8": 0,
    }  # fmt: skip
    page = of(made_up())["tasks/fsdd-classes=5.md"]
    assert "unequal effort: 2700 steps, not 2600" in page and "method prune: version 1, the newest is 2" in page
    assert "nucleo_l476rg, emulator: unequal effort" in page, "shown apart"


def test_what_was_pruned_from_other_networks_is_another_row() -> None:
    facts = {"budget": "flash=64KiB,board=nucleo_l476rg", "size": "keep=0.5"}
    rows = table([record("prune", **facts), record("prune", network="acdnet[width=2]", correct=60, **facts)])
    assert list(rows["built"]) == ["acdnet", "acdnet[width=2]"] and list(rows["accuracy"]) == [0.8, 0.6]


def test_steps_may_differ_by_rounding() -> None:
    rows = table([record(), record("int8", steps={"train": 1000, "prune": 1601})])
    assert list(rows["unequal"]) == ["", ""]


def test_what_exceeds_its_budget_is_not_ranked_on_the_board_of_the_budget() -> None:
    facts = {"budget": "flash=64KiB,board=nucleo_l476rg", "size": "width=1", "flash_bytes": 65_537}
    rows = table([record("int8", **facts), record("int8", "raspberry_pi_pico", **facts)]).set_index("board")
    assert rows["unequal"]["nucleo_l476rg"] == "exceeds its budget: flash 65537 of 65536"
    assert rows["place"]["raspberry_pi_pico"] == 1


def test_budgets_are_columns_and_say_who_wins() -> None:
    tables = budget_tables(rows_of(made_up()), [TOO_LARGE])
    assert [(one.board, [column.title for column in one.columns]) for one in tables] == [
        ("nucleo_l476rg", ["32 KiB", "64 KiB"])
    ]
    small, large = tables[0].columns
    assert [entry.recipe for entry in small.winners] == ["int8", "prune+int8"]
    assert small.sentence == (
        "At 32 KiB tests cannot tell `int8` 85.0 % °, `prune+int8` 83.0 % °; `int8` takes 1.00 times the cycles of `prune+int8`."
    )
    assert large.sentence == "At 64 KiB `xnor` wins with 96.0 % °; it takes 1.00 times the cycles of `int8` (90.0 % °)."
    page = of(made_up())["tasks/fsdd-classes=5.md"]
    assert "| `full` | too large: at least 40.0 KiB of flash, 4.0 of RAM |" in page
    drawn = plots(rows_of(made_up()))["plots/fsdd-classes=5-budgets-1.svg"]
    labels = re.findall(r">([^<>]+)</text>", drawn)
    assert [label for label in labels if label in ("int8", "xnor", "prune+int8")] == ["xnor", "int8", "prune+int8"]
    assert labels[-3:-1] == ["32 KiB", "64 KiB"] and "fsdd-classes=5-budgets-1.svg" in page


@pytest.mark.parametrize(
    ("budget", "ram", "said"),
    [
        ("flash=32KiB", 4096, ""),
        ("flash=64KiB", 126_976, ", more than the board's memory holds"),
        ("flash=64KiB,ram=64KiB", 126_976, ""),
        ("latency=2ms", 4096, ", 3.0 ms"),
        ("latency=9ms", 126_976, ", 3.0 ms, more than the board's memory holds"),
    ],
)
def test_what_is_too_large_says_for_what(budget: str, ram: int, said: str) -> None:
    one = TOO_LARGE.model_copy(update={"budget": f"{budget},board=nucleo_l476rg", "ram_bytes": ram})
    assert smallest(one) == f"too large: at least 40.0 KiB of flash, {ram / 1024:.1f} of RAM{said}"


def test_of_a_task_what_was_trained_for_longest_is_first() -> None:
    facts = {"budget": "flash=64KiB,board=nucleo_l476rg", "size": "width=1", "flash_bytes": 65_000}
    trained = [(1170, "steps=450"), (2600, ""), (5200, "steps=2000")]
    rows = [record("int8", **facts, steps={"train": steps}, training_changes=how) for steps, how in trained]
    assert [table.steps for table in budget_tables(rows_of(rows))] == [5200, 2600, 1170]


def test_a_sentence_names_five_of_many_winners() -> None:
    facts = {"budget": "flash=64KiB,board=nucleo_l476rg", "size": "width=1", "flash_bytes": 65_000}
    tied = [record(recipe, **facts) for recipe in ("bireal", "int4", "int8", "lsq", "nm", "pact", "xnor")]
    (table,) = budget_tables(rows_of(tied))
    assert "`nm` 80.0 % ° and 2 more; `bireal` takes" in table.columns[0].sentence


def test_all_rows_are_one_csv_and_every_column_is_explained(tmp_path: Path) -> None:
    render(made_up(), tmp_path)
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert len(rows) == len(rows_of(made_up())) and list(rows) == list(COLUMNS)
    assert all(f"| `{name}` |" in (tmp_path / "rows.md").read_text() for name in rows)
    best = rows[
        (rows["recipe"] == "xnor") & (rows["board"] == "nucleo_l476rg") & rows["budget"].str.contains("64", na=False)
    ]
    assert best["network"].item() == "acdnet[width=1]" and best["steps"].item() == 2600


def test_a_curve_joins_equal_steps_of_three_folds_and_the_reference_alone() -> None:
    def at(classes: int, recipe: str, folds: int, **changes: object) -> list[Record]:
        task = f"fsdd[classes={classes}]"
        return [record(recipe, fold=fold, task=task, classes=classes, **changes) for fold in range(folds)]

    other = {"steps": {"train": 5200}}
    first = [*at(2, "full", 3), *at(2, "int8", 3), *at(3, "full", 3, **other), *at(3, "int8", 3, **other)]
    others = [*at(4, "full", 3), *at(4, "int8", 2), *at(5, "xnor", 3), *at(6, "full", 3), *at(6, "xnor", 3)]
    curves = class_curves(rows_of([*first, *others]), "fsdd")
    joined = [(row["classes"], row["recipe"]) for row in curves if row["joined"]]
    assert joined == [(2, "full"), (2, "int8"), (4, "full"), (6, "full"), (6, "xnor")]


def test_the_leader_is_the_most_accurate_and_ties_are_said() -> None:
    def at(classes: int, **correct: int) -> list[Record]:
        task = f"fsdd[classes={classes}]"
        return [
            record(name, correct=right, task=task, classes=classes, fold=fold)
            for name, right in correct.items()
            for fold in range(3)
        ]

    few = [*at(2, full=97, int8=98), *at(5, full=95, int8=60, xnor=96), *at(10, full=90, int8=40, xnor=50)]
    rows = rows_of([*few, *at(20, full=40, int8=90), *at(50, full=20, nm=80)])
    found = leaders(class_curves(rows, "fsdd"))
    assert found == [
        Leader(2, "int8", ("full",), False, False),
        Leader(5, "xnor", ("full",), False, False),
        Leader(10, "full", (), False, False),
        Leader(20, "int8", (), True, False),
        Leader(50, "nm", (), True, True),
    ]
    few = [record("full", correct=80, fold=3, task="fsdd[classes=2]", classes=2)]
    rows = rows_of([*few, *at(2, full=80, int8=98), *at(5, full=80)])
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
    rows = rows_of(records)
    files = {**pages(rows, records), **plots(rows)}
    assert len(records) == 10_000 and len(files) > shape[0]
    assert time.process_time() - start < 30


def test_folds_are_pooled_and_compared_on_the_same_samples() -> None:
    rows = table([record(fold=0, correct=80), record(fold=1, correct=60), record("int8", fold=0, correct=90)])
    full = rows[rows["recipe"] == "full"].iloc[0]
    assert (full["accuracy"], full["samples"], full["folds"]) == (0.7, 200, 2)
    assert (full["low"], full["high"]) != wilson(140, 200), "folds that differ this much say little about others"
    assert full["place"] == 1 and pd.isna(rows[rows["recipe"] == "int8"]["place"].iloc[0]), "one fold has no place"
    assert list(rows["recipe"]) == ["full", "int8"], "those without a place stand last"


def test_ratios_and_ties_are_those_of_the_figures() -> None:
    rows = table(contest())
    row = rows[(rows["recipe"] == "xnor+int8") & (rows["board"] == "nucleo_l476rg")].iloc[0]
    assert (row["flash_ratio"], row["cycles_ratio"]) == (10, 8)
    assert dict(zip(rows["recipe"], rows["place"], strict=True)) == {"full": 1, "int8": 1, "xnor+int8": 3}


def test_a_board_has_places_of_its_own() -> None:
    rows = table([record(correct=60), record("int8", correct=90, board="raspberry_pi_pico")])
    assert list(rows["place"]) == [1, 1]


def test_terminal_tables_are_one_per_contest(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=80).print(terminal([*contest(), record("xnor+int8", correct=99, network="other", fold=3)]))
    text = capsys.readouterr().out
    for title in ("fsdd[classes=5] on nucleo_l476rg, acdnet\n", "fsdd[classes=5] on nucleo_l476rg, other\n"):
        assert title.replace("\n", ", 2600 steps each (2.6 trainings)\n") in re.sub(r" +\n", "\n", text)
    assert "1 ◆ int8" in text and "3 ◆ xnor+int8" in text


def test_curves_are_drawn_for_a_family_with_several_numbers_of_classes(tmp_path: Path) -> None:
    few, many = record(correct=90, task="fsdd[classes=2]", classes=2), record(correct=70, task="fsdd", classes=10)
    paths = {path.name for path in render([few, many, record(task="esc10", classes=10)], tmp_path)}
    assert {"classes.md", "fsdd-classes.svg"} <= paths and "esc10-classes.svg" not in paths
    cells = [cell.strip() for cell in (tmp_path / "classes.md").read_text().split("|")]
    assert {"`full`", "90.0 (82.6-94.5), 8.00 M °", "70.0 (60.4-78.1), 8.00 M °"} <= set(cells)


@pytest.mark.parametrize(
    ("counts", "heights"),
    [((10, 50), [-19, -19]), ((10, 46, 50), [-19, -19, -49]), ((10, 48, 49, 50), [-19, -19, -49, -49])],
)
def test_who_leads_is_not_written_over_who_leads_beside_it(counts: tuple[int, ...], heights: list[int]) -> None:
    """On two heights; more of them than that so close together cannot be told apart anyway."""
    at = [{"task": f"fsdd[classes={count}]", "classes": count, "fold": fold} for count in counts for fold in range(3)]
    rows = rows_of([record(correct=90, **facts) for facts in at])
    (panel,) = class_panels(rows, "fsdd")
    assert [layer["encoding"]["y"]["value"] for layer in panel["layer"][1:]] == heights


def test_pages_of_what_has_no_records_any_more_are_removed(tmp_path: Path) -> None:
    """What lies beside them and no page leads to stays, and without plots pictures stay as they were."""
    kept = record("full", correct=90, task="esc10", classes=10)
    gone = [record("xnor", task="fsdd", classes=10), record("xnor", task="fsdd[classes=2]", classes=2, board="mine")]
    alone = {path.relative_to(tmp_path / "a") for path in render([kept], tmp_path / "a")}
    before = {path.relative_to(tmp_path / "b") for path in render([kept, *gone], tmp_path / "b")}
    assert before - alone >= {Path(f"{name}.md") for name in ("tasks/fsdd", "boards/mine", "methods/xnor", "classes")}
    (tmp_path / "b" / "tasks" / "mine.md").write_text("a note")
    render([kept], tmp_path / "b", plots=False)
    left = {path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*.*")}
    assert left == alone | {Path("tasks/mine.md")} | {path for path in before if path.suffix == ".svg"}


def test_the_index_does_not_compare_one_fold_with_two() -> None:
    lucky = record("xnor", correct=99, network="other")
    index = of([lucky, record(fold=0, correct=80), record(fold=1, correct=60)])["README.md"]
    assert "| `full` **70.0 % °**, 100 KiB, ≥ 100 ms |" in index and "99.0" not in index


def test_other_trainings_are_other_contests() -> None:
    rows = table([record(correct=60), record(correct=80, training_changes="epochs=99")])
    assert list(rows["training"]) == ["", "epochs=99"] and list(rows["place"]) == [1, 1]


def test_ten_crops_are_shown_where_they_were_measured() -> None:
    page = of([record(accuracy_10_crops=record(correct=91).accuracy.model_dump())])["tasks/fsdd-classes=5.md"]
    assert "10 crops %" in page and "91.0" in page


def test_a_page_says_what_of_the_data_is_not_as_published() -> None:
    page = of([record(partial=7, transcoded=93)])["tasks/fsdd-classes=5.md"]
    assert "**Partial data**: 7 of" in page and "**Transcoded data**: 93 of" in page
    page = of([record()])["tasks/fsdd-classes=5.md"]
    assert "Partial data" not in page and "Transcoded data" not in page


def test_folds_of_a_row_are_repeated_by_one_command() -> None:
    rows = table([record(fold=0), record(fold=1)])
    assert rows["commands"].iloc[0] == ("kilobench run --recipe full --board nucleo_l476rg --fold all",)


def test_what_does_not_suit_a_network_has_a_row_until_there_is_one_that_does() -> None:
    records = made_up()
    known = records[0]
    unsuited = [
        Unsuited(task=known.task, network=known.network, recipe=recipe, reason="no depthwise convolution")
        for recipe in (f"distill+{known.recipe}", known.recipe)
    ]
    for site in (False, True):
        files = pages(rows_of(records), records, unsuited=unsuited, site=site)
        page = files[f"tasks/{slug(known.task)}.md"]
        (row,) = [line for line in page.splitlines() if "no depthwise convolution" in line]
        assert f"`distill+{known.recipe}`" in row and "## Not suited" in page
        assert "no depthwise convolution" in files[f"methods/{methods(known.recipe)[0]}.md"]


if __name__ == "__main__":
    for file, content in of(made_up()).items():
        (GOLDEN / file).parent.mkdir(exist_ok=True)
        (GOLDEN / file).write_text(content)
