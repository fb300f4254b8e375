# SPDX-License-Identifier: Apache-2.0
"""What longer training changes, of made-up records."""

import re

import numpy as np
import pytest

from kilobench.record import Record, accuracy
from kilobench.render.longer import lines, panels
from kilobench.render.plots import claims
from kilobench.render.study import page
from kilobench.results.longer import Lengths, lengths
from kilobench.results.table import rows_of
from tests.results.records import record

BUDGET = "flash=64KiB,board=nucleo_l476rg"


def made(recipe: str, right: int, steps: int, folds: int = 3, **changes: object) -> list[Record]:
    """On every fold so many of 100 samples are right."""
    facts = {
        "budget": BUDGET,
        "flash_bytes": 30_000,
        "accuracy": accuracy(np.arange(100) < right).model_dump(),
        "training_changes": f"steps={steps}",
        "steps": {"train": steps},
        "effort": 1.0,
    }
    return [record(recipe, fold=fold, data_digest=f"fold {fold}", **(facts | changes)) for fold in range(folds)]


def told(*records: list[Record]) -> list[Lengths]:
    return lengths(rows_of([one for some in records for one in some]))


SHORT = [made("int8", 80, 500), made("prune+int8", 79, 500), made("xnor", 70, 500)]
LONG = [made("int8", 82, 1000), made("prune+int8", 84, 1000), made("xnor", 86, 1000)]


def test_lengths_of_one_contest_are_side_by_side() -> None:
    (found,) = told(*LONG, *SHORT, made("xnor[layout=study]", 60, 1000), made("lsq", 90, 500), made("lsq", 95, 1000))
    assert found.label == "acdnet on fsdd[classes=5] at 64 KiB"
    assert found.recipes == ["int8", "prune+int8", "xnor", "xnor[layout=study]"], "the study's"
    short, long = found.lengths
    assert (short.row["steps"], long.row["steps"]) == (500, 1000) and not short.gains
    assert {name: round(100 * gain.mean) for name, gain in long.gains.items()} == {
        "int8": 2,
        "prune+int8": 5,
        "xnor": 16,
    }
    assert short.xnor and long.xnor
    assert (round(100 * short.xnor.mean), round(100 * long.xnor.mean)) == (-9, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"folds": 2},
        {"trust": "claimed"},
        {"training_changes": "steps=1000,lr=0.1"},
        {"training_changes": "study,steps=1000"},
        {"budget": "flash=32KiB,board=nucleo_l476rg"},
        {"task": "fsdd"},
        {"network": "resnet8"},
    ],
)
def test_nothing_but_the_length_is_another(other: dict[str, object]) -> None:
    """And few trainings, or what is not believed, say nothing of it."""
    assert told(*SHORT, made("xnor", 86, 1000)) != []
    assert told(*SHORT, made("xnor", 86, 1000, **other)) == []  # type: ignore[arg-type]


def test_lengths_are_those_of_xnor() -> None:
    assert told(*SHORT, *LONG[:2]) == []
    (found,) = told(*SHORT, made("xnor", 86, 1000))
    assert found.lengths[1].xnor is None and list(found.lengths[1].gains) == ["xnor"]


def test_a_gain_is_on_the_last_length_that_a_recipe_has() -> None:
    (found,) = told(*SHORT, made("xnor", 86, 1000), made("xnor", 87, 2000), made("int8", 90, 2000))
    assert {name: round(100 * gain.mean) for name, gain in found.lengths[2].gains.items()} == {"int8": 10, "xnor": 1}


def test_they_are_on_the_page_and_drawn() -> None:
    rows = rows_of([one for some in (*SHORT, *LONG) for one in some])
    found = lengths(rows)
    short, long = lines(found)
    assert (
        short["`xnor` %"] == "70.0"
        and short["Contest"] == "[acdnet on fsdd[classes=5] at 64 KiB](tasks/fsdd-classes=5.md)"
    )
    assert re.fullmatch(r"86\.0; \+16\.0 \(\+[0-9.]+ to \+[0-9.]+\)", long["`xnor` %"])
    assert page(rows, [], str)["longer"] == str([short, long])
    points = panels(found)["acdnet on fsdd[classes=5] at 64 KiB"]
    assert [(one["label"], one["steps"], one["accuracy"]) for one in points[-2:]] == [
        ("prune+int8", 1000, 84),
        ("xnor", 1000, 86),
    ]
    drawn = claims(rows)["plots/study-longer.svg"]
    assert "acdnet on fsdd[classes=5] at 64 KiB" in drawn and "steps (logarithmic)" in drawn

    once = rows_of([one for some in SHORT for one in some])
    assert page(once, [], str)["longer"] == "" and "plots/study-longer.svg" not in claims(once)
