# SPDX-License-Identifier: Apache-2.0
"""Two runs on one cache: what another is making comes after what none is."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import Suite
from kilobench.progress import OverallProgress
from kilobench.runs.plan import plan, points
from kilobench.runs.run import Work, execute
from kilobench.runs.units import Costs, Unit, units
from tests.runs.test_passing import Scripted, done

HOLDS = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"


@contextmanager
def held_by_another(unit: Unit) -> Iterator[None]:
    unit.lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDS, str(unit.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate("\n")


def order(trainings: dict[str, Unit]) -> list[str]:
    with OverallProgress(Console(file=io.StringIO()), 1) as progress:
        return [key for key, _ in execute(Work([], [], {}, trainings, Costs()), Scripted(*[done] * 3), progress)]


def test_what_another_run_is_making_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    suite = Suite(title="t", tasks=("digits",), recipes=("full",), boards=("nucleo_l476rg",), seeds=(0, 1, 2))
    registry = load_registry()
    found = units(plan(points(suite, registry, "emulator", "zig"), registry))
    trainings = {key: unit for key, unit in found.items() if unit.kind == "train" and unit.stage == 0}
    first, second, third = trainings
    with held_by_another(trainings[first]):
        assert order(trainings) == [second, third, first]
    assert trainings[first].lock.exists() and order(trainings) == [first, second, third]
