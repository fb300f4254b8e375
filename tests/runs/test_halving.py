# SPDX-License-Identifier: Apache-2.0
"""Successive halving: a real search on digits, what is left of it when it is cut, and what it does when nothing is found."""

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from kilobench.commands import tune
from kilobench.contracts import Budget, Cost, Split, Task, Training, UserError
from kilobench.data.loading import load
from kilobench.files import write_kept
from kilobench.paths import cache_dir
from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import Suite
from kilobench.record import Record
from kilobench.runs import sizing
from kilobench.runs.executors import InProcess
from kilobench.runs.halving import Found, Search, lengths, ranked, whole_seconds
from kilobench.runs.intime import SharedExecutor
from kilobench.runs.plan import Point, points
from kilobench.runs.space import Candidate
from kilobench.runs.units import size_unit
from kilobench.runs.work import Workshop
from tests.results.records import record

REGISTRY = load_registry()
BOARD = "nucleo_l476rg"
SUITE = Suite("t", ("digits",), (), (BOARD,), budgets=("flash=64KiB",), training="steps=9")
RECIPES = ("int8", "int8[batches=1]", "int8[calibrate=percentile]", "qat")
CANDIDATES = [Candidate("resnet8[width=2]", recipe) for recipe in RECIPES]
RUNGS = ["steps=3", "steps=9"]


def point(suite: Suite) -> Point:
    return points(suite, REGISTRY, "emulator", "zig", threads=1)[0]


def put_sizes(width: float, keeps: bool = True, flash: int = 30_000) -> None:
    """What the searches for sizes find, as if they had been made."""
    for candidate in CANDIDATES:
        suite = dataclasses.replace(SUITE, recipes=(candidate.recipe,), network=candidate.network, validation=True)
        wanted = point(suite)
        (size,) = sizing.sizes([wanted], REGISTRY).values()
        cost = dataclasses.asdict(Cost(flash, 9000, 10**6, 12.5, 0, 0))
        write_kept(size_unit(wanted, size).path, json.dumps({"size": width, "cost": cost, "keeps": keeps}).encode())


def search(seconds: float = 600) -> Search:
    executor = SharedExecutor(lambda units: InProcess(Workshop(REGISTRY)), 1, seconds)
    return Search(SUITE, CANDIDATES, RUNGS, REGISTRY, point, executor, Console(file=io.StringIO()))


def told(found: Found) -> list[dict[Candidate, Any]]:
    """All but how long it took."""
    return [
        {one: record.model_dump(exclude={"times", "versions"}) for one, record in rung.items()} for rung in found.rungs
    ]


def only_held_out(*args: object, held_out: bool = False, **kwargs: object) -> Split:
    assert held_out, "the test fold is asked for"
    return load(*args, held_out=held_out, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Found]]:
    """A whole search, in which nobody can load the test fold, and its cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("search") / "cache"
        shutil.copytree(cache_dir(), folder, symlinks=True) if cache_dir().is_dir() else folder.mkdir()
        patch.setenv("KILOBENCH_CACHE", str(folder))
        patch.setattr("kilobench.runs.work.load", only_held_out)
        put_sizes(2.0)
        yield folder, search().run()


def test_the_best_third_of_a_rung_is_trained_for_longer(undisturbed: tuple[Path, Found]) -> None:
    _, found = undisturbed
    first, last = found.rungs
    assert found.complete and not found.left_out and not found.too_large
    assert set(first) == set(CANDIDATES)
    assert set(ranked(first)[:2]) <= set(last) and len(last) <= 3  # a third of four, and of the first three before
    assert found.best == ranked(last)[0]
    accuracies = [last[one].quality.mean for one in ranked(last)]
    assert accuracies == sorted(accuracies, reverse=True)


def test_all_of_a_rung_had_the_same_steps_and_the_held_out_data(undisturbed: tuple[Path, Found]) -> None:
    _, found = undisturbed
    for rung, steps in zip(found.rungs, (round(2.6 * 3), round(2.6 * 9)), strict=True):
        assert {sum(record.steps.values()) for record in rung.values()} == {steps}
        assert {record.quality.total for record in rung.values()} == {269}  # of 1347
        assert all("--validation" in record.command for record in rung.values())


def test_the_command_of_the_best_uses_the_test_fold(undisturbed: tuple[Path, Found]) -> None:
    _, found = undisturbed
    again = search()
    again.run()
    arguments = again.whole(found.best).model.arguments
    assert "--validation" not in arguments and arguments[:2] == ("--task", "digits")
    assert "--training" in arguments and "steps=9" in arguments


def test_a_search_that_was_cut_goes_on_to_the_same_end(
    undisturbed: tuple[Path, Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after the third candidate of the first rung: what is missing is made again, and what is there is read."""
    folder, found = undisturbed
    shutil.copytree(folder, tmp_path / "cache", symlinks=True)
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    first = found.rungs[0]
    kept = {first[one].cell for one in CANDIDATES[:3]}
    for path in (tmp_path / "cache" / "records").glob("*.json"):
        if path.stem not in kept:
            path.unlink()
    for path in (tmp_path / "cache" / "evaluations").glob("*"):
        path.unlink()
    cut = search(seconds=1e-9).run()
    assert not cut.complete and set(cut.rungs[0]) == set(CANDIDATES[:3]) and not cut.rungs[1]
    resumed = search().run()
    assert resumed.complete and told(resumed) == told(found) and resumed.best == found.best


def trained(training: Training) -> Task:
    """A task that trains so, or four times as long by another name."""
    return cast(
        Task, SimpleNamespace(training=training, trainings={"longer": dataclasses.replace(training, epochs=48)})
    )


def test_rungs_are_thirds_of_the_training() -> None:
    assert lengths(trained(Training(epochs=12)), "", 3) == ["epochs=1", "epochs=4", ""]
    assert lengths(trained(Training(steps=450)), "mix=0.5", 3) == ["mix=0.5,steps=50", "mix=0.5,steps=150", "mix=0.5"]
    assert lengths(trained(Training()), "steps=90,lr=0.1", 2) == ["lr=0.1,steps=30", "steps=90,lr=0.1"]
    assert lengths(trained(Training(epochs=2)), "", 4) == ["epochs=1", ""]
    assert lengths(trained(Training()), "", 1) == [""]
    assert lengths(trained(Training()), "longer,mix=1", 2) == ["longer,mix=1,epochs=16", "longer,mix=1"]


def test_equal_accuracies_are_in_the_order_of_time_and_flash() -> None:
    slow, small, fast = (Candidate("n", recipe) for recipe in ("slow", "small", "fast"))
    rung = {
        slow: record(correct=80, cycles=9_000_000),
        small: record(correct=80, flash_bytes=90_000),
        fast: record(correct=80, cycles=7_000_000),
    }
    assert ranked(rung) == [fast, small, slow]
    assert ranked(rung | {slow: record(correct=81)})[0] == slow


def test_what_no_size_keeps_is_left_out_and_the_nearest_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    put_sizes(0.5, keeps=False, flash=70_000)
    found = search().run()
    assert found.complete and set(found.too_large) == set(CANDIDATES)
    with pytest.raises(
        UserError, match=r"none of 4 candidates keeps flash=64KiB; the nearest is int8, resnet8: .* KiB"
    ):
        tune.require_something(found, Budget(BOARD, flash_bytes=65536), "flash=64KiB")


def test_without_time_nothing_is_tried_and_nothing_is_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    found = search(seconds=1e-9).run()
    assert not found.complete and found.reached == -1
    with pytest.raises(UserError, match="the time was over before anything was trained"):
        tune.require_something(found, Budget(BOARD), "flash=64KiB")


def test_time_is_kept_for_the_last_run_where_there_is_enough() -> None:
    executor = SharedExecutor(lambda units: InProcess(None), 1, 100)
    executor.reserve(30)
    assert 69 < executor.left <= 70
    executor.reserve(101)
    assert not executor.reserved and executor.left > 99


def test_the_last_run_is_expected_to_take_longer_than_a_rung() -> None:
    one = Candidate("n", "int8")
    made: Record = record()  # a second each to train, build, evaluate and run
    assert whole_seconds(Found([{one: made}, {one: made}])) == pytest.approx(1 / 0.8 + 3)
    assert whole_seconds(Found([{one: made}, {}])) == pytest.approx(3 / 0.8 + 3)
