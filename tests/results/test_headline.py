# SPDX-License-Identifier: Apache-2.0
"""Headlines against numbers that were computed by hand."""

import math
from typing import Any

import pytest

from kilobench.results.headline import Headline, headlines
from kilobench.results.table import rows_of
from tests.results.records import record

NAN = math.nan


def row(task: str, flash: float, cycles: float, difference: float, recipe: str = "int8", **more: Any) -> dict[str, Any]:
    ratios = {"flash_ratio": flash, "cycles_ratio": cycles, "difference": difference}
    return {"recipe": recipe, "task": task, "board": "one", **ratios, **more}


def of(*rows: dict[str, Any]) -> Headline:
    (headline,) = headlines(list(rows))
    return headline


def test_ratios_have_geometric_means_and_deviations() -> None:
    """ln 2 and ln 8 are ln 4 -+ ln 2; -1 and -3 points are -2 -+ 1."""
    headline = of(row("a", 2, 1, -0.01), row("b", 8, 4, -0.03))
    assert headline.recipe == "int8" and headline.tasks == 2
    assert (headline.flash_ratio.mean, headline.flash_ratio.deviation) == pytest.approx((4, 2))
    assert (headline.cycles_ratio.mean, headline.cycles_ratio.deviation) == pytest.approx((2, 2))
    assert (headline.difference_points.mean, headline.difference_points.deviation) == pytest.approx((-2, 1))


def test_embench_divides_by_the_number_of_tasks() -> None:
    """Ratios 1, 1, 8: ln 8 / 3 = ln 2; deviations ln 2, ln 2 and 2 ln 2, so that the variance is 2 (ln 2)^2."""
    headline = of(*(row(task, ratio, 1, 0) for task, ratio in (("a", 1), ("b", 1), ("c", 8))))
    assert headline.flash_ratio.mean == pytest.approx(2)
    assert headline.flash_ratio.deviation == pytest.approx(math.exp(math.sqrt(2) * math.log(2)))
    assert (headline.cycles_ratio.mean, headline.cycles_ratio.deviation) == (1, 1)


def test_a_task_counts_once_however_many_rows_it_has() -> None:
    """Task a: sqrt(2 * 8) = 4 on two boards, -2 points; with b's 9 and -4 points: sqrt(36) = 6 and -3."""
    headline = of(row("a", 2, 1, -0.01), row("a", 8, 1, -0.03, board="two"), row("b", 9, 1, -0.04))
    assert headline.flash_ratio.mean == pytest.approx(6) and headline.tasks == 2
    assert headline.difference_points.mean == pytest.approx(-3)


def test_the_reference_turned_around_inverts_the_ratio() -> None:
    ratios = [("a", 2), ("b", 5), ("c", 3.7)]
    there, back = of(*(row(t, r, r, 0) for t, r in ratios)), of(*(row(t, 1 / r, 1 / r, 0) for t, r in ratios))
    assert there.flash_ratio.mean * back.flash_ratio.mean == pytest.approx(1)
    assert there.flash_ratio.deviation == pytest.approx(back.flash_ratio.deviation)


def test_what_is_missing_does_not_count() -> None:
    headline = of(row("a", 2, NAN, -0.01), row("a", 2, 6, NAN), row("b", 8, NAN, -0.03), row("c", NAN, NAN, NAN))
    assert headline.tasks == 3
    assert headline.flash_ratio.mean == pytest.approx(4) and headline.flash_ratio.tasks == 2
    assert headline.cycles_ratio.mean == pytest.approx(6) and headline.cycles_ratio.tasks == 1
    assert math.isnan(headline.cycles_ratio.deviation), "one task has no spread"
    nothing = of(row("a", NAN, NAN, NAN))
    assert math.isnan(nothing.flash_ratio.mean) and nothing.difference_points.tasks == 0 and nothing.tasks == 1


def test_recipes_come_by_name() -> None:
    rows = [row("a", 1, 1, 0, recipe) for recipe in ("xnor", "full", "int8")]
    assert [headline.recipe for headline in headlines(list(rows))] == ["full", "int8", "xnor"]
    assert headlines([]) == []


def test_rows_of_a_table_have_a_headline() -> None:
    full = record("full", correct=90, flash_bytes=400_000, cycles=8_000_000)
    int8 = record("int8", correct=88, flash_bytes=100_000, cycles=4_000_000)
    reference, headline = headlines(rows_of([full, int8]))
    assert (reference.flash_ratio.mean, reference.difference_points.mean) == (1, 0)
    assert headline.flash_ratio.mean == pytest.approx(4) and headline.cycles_ratio.mean == pytest.approx(2)
    assert headline.difference_points.mean == pytest.approx(-2)
