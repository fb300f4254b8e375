# SPDX-License-Identifier: Apache-2.0
"""Records that are judged by the area under the ROC curve: the figure, its interval, and that nothing ranks by it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from kilobench.contracts import Budget, UserError
from kilobench.plugins.registry import load_registry
from kilobench.record import Record, auc, delong
from kilobench.render import render
from kilobench.results.advise import advise
from kilobench.results.check import problems
from kilobench.results.compare import compare
from kilobench.results.store import Store
from kilobench.results.table import rows_of, terminal
from tests.results.records import record

Scores = np.ndarray[Any, np.dtype[np.float32]]


def scores(shift: float, usual: int = 60, unusual: int = 40, seed: int = 0) -> tuple[Scores, Scores]:
    random = np.random.default_rng(seed)
    return tuple(random.normal(mean, 1, n).astype(np.float32) for mean, n in ((0, usual), (shift, unusual)))  # type: ignore[return-value]


def judged(shift: float = 1.0, **changes: Any) -> Record:
    """A plausible record of an autoencoder."""
    facts = {"task": "ad", "classes": 2, "network": "autoencoder", "accuracy": None}
    return record(**{**facts, "auc": auc(*scores(shift)).model_dump(), **changes})


@pytest.mark.parametrize("digits", [0, 1, 7])
def test_the_area_is_that_of_all_pairs(digits: int) -> None:
    """Ties count half."""
    usual, unusual = (np.round(group, digits) for group in scores(0.8))
    wanted = roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate([usual, unusual]))
    assert delong(usual, unusual)[0] == pytest.approx(wanted, abs=1e-12)
    above = (unusual[:, None] > usual) + (unusual[:, None] == usual) / 2
    assert delong(usual, unusual)[0] == pytest.approx(above.mean(), abs=1e-12)


def test_the_interval_is_that_of_delong_on_the_logit_scale() -> None:
    """His structural components are the means of rows and columns of what pairs say."""
    usual, unusual = scores(0.8)
    above = (unusual[:, None] > usual).astype(float)
    variance = above.mean(1).var(ddof=1) / 40 + above.mean(0).var(ddof=1) / 60
    area, low, high = delong(usual, unusual)
    logits = np.log([share / (1 - share) for share in (low, area, high)])
    np.testing.assert_allclose(np.diff(logits), 1.959964 * np.sqrt(variance) / (area * (1 - area)), rtol=1e-5)


def test_intervals_cover_the_area_as_often_as_they_say() -> None:
    """Of normal scores that are a deviation apart it is 0.760; simulated here."""
    found = [delong(*scores(1.0, seed=seed)) for seed in range(1000)]
    assert 0.93 < np.mean([low < 0.7602 < high for _, low, high in found]) < 0.97


def test_where_all_pairs_are_in_order_the_interval_is_not_empty() -> None:
    usual, unusual = np.arange(5, dtype=np.float32), np.arange(5, 8, dtype=np.float32)
    assert delong(usual, unusual) == (1.0, pytest.approx(0.4385, abs=1e-4), 1.0)  # Wilson's of 3 of 3
    assert delong(unusual, usual)[0] == 0
    assert delong(usual[:1], usual[:1])[0] == 0.5


def test_a_record_has_one_of_both_and_says_nothing_of_the_other(tmp_path: Path) -> None:
    files = [json.loads(one.model_dump_json(by_alias=True)) for one in (judged(), record())]
    assert ["accuracy" in files[0], "auc" in files[0]] == [False, True]
    assert ["accuracy" in files[1], "auc" in files[1]] == [True, False]
    assert [Record.model_validate(values) for values in files] == [judged(), record()]
    for values in (files[0] | {"accuracy": files[1]["accuracy"]}, files[0] | {"auc": None}):
        with pytest.raises(ValueError, match="it has not one of accuracy and auc"):
            Record.model_validate(values)


@pytest.mark.parametrize(
    "change",
    [{"mean": 0.9}, {"low": 0.1}, {"high": 0.99}, {"usual": 59}, {"usual": 40, "unusual": 60}, {"scores": "AAAA"},
     {"scores": auc(*scores(1)).scores[:-8] + "AADAfw=="}],
    ids=str,
)  # fmt: skip
def test_an_area_that_is_not_that_of_its_scores_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    values = judged().model_dump(by_alias=True)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values | {"auc": values["auc"] | change}))
    with pytest.raises(UserError, match=r"a\.json is no valid record: auc"):
        Store(tmp_path).read(path)


def test_scores_agree_but_for_the_last_digits_of_a_float() -> None:
    usual, unusual = scores(1.0)
    found = auc(usual, unusual)
    assert found.agrees(auc(usual * np.float32(1 + 1e-6), unusual))
    assert not found.agrees(auc(usual * np.float32(1.001), unusual))
    assert not found.agrees(auc(unusual, usual)) and not found.agrees(record().accuracy)


def test_rows_say_what_they_are_judged_by_and_are_not_ranked() -> None:
    rows = rows_of([judged(1.0, recipe="full"), judged(3.0, recipe="int8"), record("full")])
    full, small, other = (next(row for row in rows if (row["task"], row["recipe"]) == key) for key in
                          (("ad", "full"), ("ad", "int8"), ("fsdd[classes=5]", "full")))  # fmt: skip
    assert (full["measure"], other["measure"]) == ("AUC", "accuracy")
    assert (full["place"], small["place"], other["place"]) == (None, None, 1)
    assert not full["pareto"] and not small["pareto"]
    assert small["accuracy"] == delong(*scores(3.0))[0].__round__(6) and small["samples"] == 100
    assert full["unequal"].startswith("judged by AUC")


def test_of_several_seeds_the_interval_reaches_over_all() -> None:
    seeds = [judged(shift, seed=seed) for seed, shift in enumerate((0.5, 1.0, 1.5))]
    row = rows_of(seeds)[0]
    figures = [one.auc for one in seeds if one.auc]
    assert row["accuracy"] == pytest.approx(np.mean([one.mean for one in figures]))
    assert (row["low"], row["high"]) == (min(one.low for one in figures), max(one.high for one in figures))


def test_the_table_names_the_measure(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=120).print(terminal([judged(), record()]))
    shown = capsys.readouterr().out
    assert "AUC %" in shown and "accuracy %" in shown


def stored(folder: Path, *records: Record) -> Path:
    store = Store(folder / "records")
    for one in records:
        store.write(one)
    return folder / "records"


def test_advice_names_the_measure_and_gives_no_places(tmp_path: Path) -> None:
    folder = stored(tmp_path, judged(recipe="full"), judged(3.0, recipe="int8"))
    page = advise(Budget("nucleo_l476rg"), "ad", folder)
    assert "AUC %" in page and "accuracy %" not in page and page.rstrip().endswith("not ranked")


def test_recipes_are_not_compared(tmp_path: Path) -> None:
    folder = stored(tmp_path, judged(recipe="full"), judged(3.0, recipe="int8"))
    with pytest.raises(UserError, match="full and int8 cannot be compared: judged by AUC"):
        compare("full", "int8", folder)
    others = stored(tmp_path / "b", judged(2.0, recipe="full"))
    with pytest.raises(UserError, match="cannot be compared: ad is judged by AUC"):
        compare(str(folder), str(others), folder)
    assert compare(str(folder), str(folder), folder) == (
        f"A  {folder}\nB  {folder}\n\nthe same in all figures: 2 of 2 comparisons\nB is worse in nothing",
        False,
    )


def test_pages_are_of_accuracies_alone(tmp_path: Path) -> None:
    assert render([judged()], tmp_path / "none", plots=False) == [] and not (tmp_path / "none").exists()
    render([judged(), record()], tmp_path, plots=False)
    pages = "".join(path.read_text() for path in tmp_path.rglob("*.md"))
    assert "fsdd" in pages and "autoencoder" not in pages
    assert "autoencoder" not in (tmp_path / "rows.csv").read_text()


def test_a_record_that_is_judged_by_the_wrong_measure_is_refused() -> None:
    registry = load_registry()
    wrong = record(task="ad", classes=2, network="autoencoder")
    assert "ad is judged by AUC, not by accuracy" in problems(wrong, registry)
    assert not any("judged" in line for line in problems(judged(), registry))
    assert "digits is judged by accuracy, not by AUC" in problems(judged(task="digits", classes=10), registry)
