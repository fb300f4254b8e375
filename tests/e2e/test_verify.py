# SPDX-License-Identifier: Apache-2.0
"""``kilobench verify``: published models again, on two boards, and whatever is not found as it is published."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.plugins.registry import load_registry
from kilobench.results.recheck import Difference, Findings, Recheck, _differing, sample
from kilobench.results.store import Store
from kilobench.results.verify import Verifier
from tests.e2e.submissions import all_right, lie, model_of, only
from tests.e2e.test_remeasure import PUBLISHED, files, published
from tests.results.records import published_model, record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One published record, its model, and what that costs on other boards."""
    store = published(tmp_path / "board", ["int8"])
    costs = PUBLISHED.costs_of(store.read_all()[0])
    assert costs
    store.write_costs(costs)
    return store


def verify(store: Store, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = main(["verify", "--output", str(store.folder.parent), *options])
    return code, capsys.readouterr().out


def test_what_is_published_is_found_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    there = files(store)
    code, told = verify(store, capsys, "--workers", "1")
    assert told.endswith(
        "\n1 models predicted again; 1 run on a second board too, 1 of them beside published costs; 0 differences\n"
    )
    assert (code, files(store)) == (0, there)


def test_whatever_differs_is_listed(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better accuracy, in the model's file too; less RAM; fewer cycles on other boards. Nothing is written."""
    monkeypatch.setenv("COLUMNS", "250")
    board = store.folder.parent
    (costs,) = store.read_costs()
    cheaper = [core.model_copy(update={"cycles": (core.cycles or 0) + 7}) for core in costs.cores]
    store.write_costs(costs.model_copy(update={"cores": tuple(cheaper)}))
    values = only(board)[1]
    lie(board, all_right(values) | {"ram": values["ram"] | {"peak": "elsewhere"}})
    there = files(store)
    code, told = verify(store, capsys, "--workers", "0")
    assert (code, files(store)) == (1, there)
    lines = [line.split() for line in told.splitlines()]
    path, costed = (str(one.relative_to(board)) for one in (only(board)[0], store.costs_path(store.read_all()[0])))
    assert lines.index(["not", "found", "again:", path]) > lines.index(["not", "found", "again:", costed]) > 0
    right, total = round(values["accuracy"]["mean"] * values["accuracy"]["total"]), values["accuracy"]["total"]
    assert right < total and ["quality.mean", "1.0", str(values["accuracy"]["mean"])] in lines
    assert ["ram.peak", "elsewhere", values["ram"]["peak"]] in lines
    assert sum(
        words[0].endswith(".cycles") and int(words[1]) == int(words[2]) + 7 for words in lines if len(words) == 3
    )


def test_a_model_that_is_damaged_fails(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    model_of(store.folder.parent).write_bytes(b"no model")
    code, told = verify(store, capsys, "--workers", "0")
    assert code == 1 and told.count("failed: digits int8") == 1 and "cannot be read as a graph" in told


def test_data_that_is_not_here_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOBENCH_DATA", raising=False)
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    one = PUBLISHED.select(task="fsdd", recipe="int8")[0]
    verifier = Verifier(PUBLISHED, load_registry(), download=False)
    found = verifier.evaluated(one, published_model(PUBLISHED, one))
    assert found == "free-spoken-digit-dataset is not here (kilobench data fetch fsdd)"


def step(task: str, recipe: str, seconds: float, costed: bool = True) -> Recheck:
    one = record(recipe, task=task)
    one = one.model_copy(update={"times": one.times.model_copy(update={"run_s": seconds})})
    return Recheck(f"{task} {recipe} {seconds}", (one,), (), (), core="cortex-m7", costed=costed)


def names(steps: Sequence[Recheck]) -> list[str]:
    return [one.key for one in steps]


def test_a_sample_is_spread_over_tasks_then_recipes() -> None:
    steps = [
        step("fsdd[classes=2]", "int8", 1),
        step("fsdd", "int8", 2),
        step("fsdd", "xnor", 3),
        step("fsdd", "prune+int8", 9),
        step("digits", "int8", 4),
        step("digits", "full", 5, costed=False),
        step("digits", "full", 6),
    ]
    assert names(sample(steps, 3)) == ["fsdd[classes=2] int8 1", "fsdd xnor 3", "digits full 6"]
    assert names(sample(steps[::-1], 3)) == names(sample(steps, 3))[::-1]
    assert sample(steps, 99) == steps and not sample([], 3)
    slower = replace(steps[0], records=(record(task="esc10"),), key="esc10")
    assert "esc10" in names(sample([*steps, slower], 3))


def test_differences_have_the_path_of_what_differs() -> None:
    before = {
        "a": 1,
        "layers": [{"name": "conv", "cycles": 5}, {"name": "out", "cycles": 2}],
        "ends": [1, 2],
        "x": None,
    }
    after = {
        "a": 1,
        "layers": [{"name": "conv", "cycles": 6}, {"name": "out", "cycles": 2}],
        "ends": [1],
        "x": {"b": 2},
    }
    found = list(_differing(before, after))
    assert found == [("layers.conv.cycles", "5", "6"), ("ends", "[1, 2]", "[1]"), ("x", "None", "{'b': 2}")]
    assert not list(_differing(after, after))
    findings = Findings([Difference("file", *one) for one in found], "why")
    assert Findings.read(findings.text()) == findings
