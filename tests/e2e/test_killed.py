# SPDX-License-Identifier: Apache-2.0
"""kill -9 at 50 random moments: no record is lost, half-written or different from those of an undisturbed run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.record import Record
from kilobench.results.store import Store
from tests.caches import new_cache

SUITE = """
title: tiny
tasks: [digits]
recipes: [full, prune+int8, xnor+int8]
boards: [nucleo_l476rg, raspberry_pi_pico]
training: epochs=1
"""
KILLS = 50


def start(suite: Path, cache: Path, output: Path, workers: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kilobench", "run", str(suite), "--output", str(output)]
    command += ["--workers", str(workers)]
    environment = os.environ | {"KILOBENCH_CACHE": str(cache)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def timeless(output: Path) -> list[dict[str, object]]:
    records: list[Record] = Store(output / "records").read_all()
    return [record.model_dump(exclude={"times"}) for record in records]


def units_done(cache: Path) -> list[str]:
    lines = (cache / "costs.jsonl").read_text().splitlines() if (cache / "costs.jsonl").is_file() else []
    return [json.loads(line.partition(" ")[2])["key"] for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, Path, Path]:
    """Suite, cache and output of a run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "s.yaml").write_text(SUITE)
    new_cache(folder / "cache", cache)
    assert start(folder / "s.yaml", folder / "cache", folder / "out").wait() == 0
    return folder / "s.yaml", folder / "cache", folder / "out"


def forget(cache: Path) -> None:
    """All results, but not the compiler's cache."""
    for name in ("models", "evaluations", "records", "failures"):
        shutil.rmtree(cache / name, ignore_errors=True)
    (cache / "costs.jsonl").unlink(missing_ok=True)


def test_killed_at_random_moments(undisturbed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    suite, toolchain, expected = undisturbed
    cache, output = new_cache(tmp_path / "cache", toolchain), tmp_path / "out"
    dice = random.Random(1)
    kills = 0
    while kills < KILLS:
        process = start(suite, cache, output)
        try:
            code = process.wait(timeout=dice.uniform(0.3, 5.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert code == 0
            assert timeless(output) == timeless(expected)
            assert len(set(units_done(cache))) == len(units_done(cache))
            shutil.rmtree(output)
            forget(cache)
        for path in output.rglob("*.json"):
            Store(output).read(path)
    assert start(suite, cache, output).wait() == 0
    assert timeless(output) == timeless(expected)


def test_two_runs_on_one_cache_do_nothing_twice(undisturbed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    suite, toolchain, expected = undisturbed
    cache = new_cache(tmp_path / "cache", toolchain)
    both = [start(suite, cache, tmp_path / name, workers) for name, workers in (("a", 1), ("b", 2))]
    assert [process.wait() for process in both] == [0, 0]
    for name in ("a", "b"):
        assert timeless(tmp_path / name) == timeless(expected)
    done = units_done(cache)
    assert len(set(done)) == len(done) > 0
