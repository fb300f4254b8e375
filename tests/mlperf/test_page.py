# SPDX-License-Identifier: Apache-2.0
"""The page: golden, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.contracts import UserError
from kilobench.mlperf.page import mlperf_page, mlperf_pages
from kilobench.mlperf.reports import read_references
from kilobench.plugins.suites import ModelSuite
from kilobench.record import Record, auc
from kilobench.render import render
from kilobench.render.page import Page
from kilobench.report.facts import Judged
from kilobench.results.store import Store
from kilobench.results.table import rows_of
from tests.mlperf.made import facts, model, reference, result, written
from tests.results.records import record

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden.md")
REPORTS = ROOT / "leaderboard" / "mlperf-tiny"
AREA = auc(np.arange(4, dtype=np.float32), np.array([1, 2, 3, 4], np.float32))
JUDGED = Judged(inputs="ic01 of MLPerf Tiny", digest="0", count=200, accuracy=None, auc=AREA, target=0.85)
SUITE = ModelSuite("t", "mlperf-tiny", {"ic01": model(), "ic01-once": model(rounding="once")}, ("nucleo_l4r5zi",))


def made_up() -> Page:
    """A benchmark in both roundings, one without inputs, trained networks, and silicon."""
    cycles: dict[str, int | None] = {
        "nucleo_l4r5zi": 1_500_000,
        "nucleo_u575zi_q": 1_500_000,
        "nucleo_g0b1re": 6_000_000,
    }
    references = [
        reference("ic01", "tflite", {board: 2 * (count or 0) for board, count in cycles.items()}),
        reference("ic01-once", "once", cycles),
        reference("ad01", "once", {**cycles, "nucleo_g0b1re": None}, JUDGED),
    ]
    results = [
        result("nucleo_l4r5zi", 60, energy_uj=5000),
        result("nucleo_u575zi_q", 100),
        result("nucleo_u575zi_q", 90, round="1.1"),
        result("nucleo_l4r5zi", 50, round="1.1", weights="float32"),
        result("nucleo_l4r5zi", 70, benchmark="ad01", quality=0.86),
    ]

    def trained(recipe: str, correct: int, cycles: int, network: str = "resnet8", **changes: Any) -> Record:
        return record(recipe, correct=correct, task="cifar10", classes=10, network=network, cycles=cycles, **changes)

    records = [
        trained("int8", 85, 1_700_000),
        trained("int8", 99, 1, trust="claimed"),
        trained("xnor", 99, 2),
        trained("int8", 99, 3, "resnet18"),
        trained("int8", 99, 4, budget="flash=64KiB,board=nucleo_l476rg", size="width=4"),
    ]
    return mlperf_page(references, results, rows_of(records))


def test_the_page_is_the_golden_one() -> None:
    """After a wanted change: python -m tests.mlperf.test_page writes it anew; read the diff."""
    assert made_up().text == GOLDEN.read_text()


def test_dead_channels_are_told_and_the_axis_shows_all_points() -> None:
    ours = reference("ic01", "tflite", {"nucleo_l4r5zi": 1_500_000})
    fewer = replace(ours, facts=ours.facts.model_copy(update={"left_out_macs": 3_000_000}))
    page = mlperf_page([fewer], [result("nucleo_l4r5zi", 10)], rows_of([]))
    assert "75 % of the MACs of IC make channels" in page.text and "| 0.38 |" in re.sub(" +", " ", page.text)
    assert "dead channels of IC" in page.plot["title"]["subtitle"][-1]
    low, high = page.plot["encoding"]["x"]["scale"]["domain"]
    drawn = [point["per_mac"] for point in page.plot["data"]["values"]]
    assert len(drawn) == 2 and low < min(drawn) < max(drawn) < high


def test_the_committed_page_is_that_of_the_committed_reports() -> None:
    """After new reports, records or another template: python -m kilobench leaderboard."""
    (page,) = mlperf_pages(REPORTS.parent, Store(ROOT / "leaderboard" / "records").read_all())
    assert page.text == (REPORTS.parent / page.name).read_text()


def test_the_reference_models_reach_the_quality_that_is_asked_for() -> None:
    """In C, on the inputs of MLPerf Tiny that are at hand."""
    judged = {one.name: one.facts.judged for one in read_references(REPORTS)}
    for name, count, target in (("ic01", 200, 0.85), ("kws01", 1000, 0.9)):
        found = judged[name]
        assert found is not None and (found.count, found.target) == (count, target) and found.quality >= target


def test_readme_leads_to_the_page_and_the_plot_is_drawn(tmp_path: Path) -> None:
    page = made_up()
    made = render([record()], tmp_path, others=[page])
    assert tmp_path / page.name in made and f"]({page.name})" in (tmp_path / "README.md").read_text()
    assert "<svg" in (tmp_path / "plots/mlperf-tiny.svg").read_text()
    assert re.findall(r"!\[.*\]\((.*)\)", page.text) == ["plots/mlperf-tiny.svg"]
    assert "![" not in page.site and 'data-family="mlperf-tiny"' in page.site


def test_without_reports_there_is_no_page(tmp_path: Path) -> None:
    assert mlperf_pages(tmp_path, []) == []


def test_a_report_of_another_version_model_or_rounding_is_named_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, "ic01", facts("tflite", {"nucleo_l4r5zi": 5}))
    assert [one.name for one in read_references(tmp_path, SUITE)] == ["ic01"]
    good = json.loads(path.read_text())
    changes = {
        "form": ("kilobench report 9", "form: Input should be 'kilobench report"),
        "model": ("other.tflite", "it is of other.tflite, rounding tflite, not of model.tflite, rounding tflite"),
        "rounding": ("once", "it is of model.tflite, rounding once, not of model.tflite, rounding tflite"),
    }
    for key, (value, message) in changes.items():
        path.write_text(json.dumps(good | {key: value}))
        with pytest.raises(UserError) as raised:
            read_references(tmp_path, SUITE)
        assert str(raised.value).startswith(str(path)) and message in str(raised.value)
    path.write_text(json.dumps(good))
    path.rename(tmp_path / "ic1.json")
    with pytest.raises(UserError, match=r"ic1.json: the suite mlperf-tiny has no model 'ic1'; nearest is 'ic01'"):
        read_references(tmp_path, SUITE)


@pytest.mark.parametrize(
    ("name", "cycles", "message"),
    [
        ("ic01-once", 5, "there is a report ic01-once, but none of ic01"),
        ("ic01", None, "the report ic01 has no cycles of nucleo_l4r5zi"),
    ],
)
def test_reports_that_make_no_page_are_refused(name: str, cycles: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mlperf_page([reference(name, "once", {"nucleo_l4r5zi": cycles})], [result("nucleo_l4r5zi", 5)], [])


if __name__ == "__main__":
    GOLDEN.write_text(made_up().text)
