# SPDX-License-Identifier: Apache-2.0
"""Speed of runs: two workers against one, and what a cached cell costs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from kilobench.measuring.recording import Where, command
from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import Suite
from kilobench.record import Record
from kilobench.results.store import Store
from kilobench.runs.plan import plan, points
from kilobench.runs.suite import load_suite

SEEDS, CACHED = 8, 400
SUITE = f"""
title: embarrassingly parallel
tasks: [digits]
recipes: [full]
boards: [nucleo_l476rg]
training: epochs=24
seeds: {list(range(SEEDS))}
"""


def seconds(suite: Path, cache: Path, output: Path, workers: int) -> float:
    command = [sys.executable, "-m", "kilobench", "run", str(suite), "--output", str(output)]
    environment = os.environ | {"KILOBENCH_CACHE": str(cache)}
    start = perf_counter()
    subprocess.run(
        [*command, "--threads", "1", "--workers", str(workers)], env=environment, check=True, capture_output=True
    )
    return perf_counter() - start


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, Path]:
    """A suite, and a cache that holds compiler and data and no results."""
    suite, cache = tmp_path / "s.yaml", tmp_path / "cache"
    suite.write_text(SUITE.replace("epochs=24", "epochs=1"))
    seconds(suite, cache, tmp_path / "out", 2)
    suite.write_text(SUITE)
    forget(cache)
    return suite, cache


def forget(cache: Path) -> None:
    for name in ("models", "evaluations", "records"):
        shutil.rmtree(cache / name)


def test_two_workers(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    suite, cache = prepared
    took = {}
    for workers in (1, 2):
        took[workers] = seconds(suite, cache, tmp_path / f"out{workers}", workers)
        forget(cache)
    print(f"\none worker {took[1]:.1f} s, two {took[2]:.1f} s: {took[1] / took[2]:.2f}x")
    assert took[1] / took[2] >= 1.7


def test_cached_cells(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    """What each of many costs: planning, reading and checking its record, its part of tables and pages."""
    suite, cache = prepared
    text = suite.read_text().replace("epochs=24", "epochs=1")
    took = {}
    for count in (SEEDS, CACHED):
        suite.write_text(text.replace(str(list(range(SEEDS))), str(list(range(count)))))
        if count == SEEDS:
            seconds(suite, cache, tmp_path / "out", 2)
        else:
            pretend(suite, cache)
        for again in ("copies the records", "finds them there"):
            took[count] = seconds(suite, cache, tmp_path / "out", 2)
            print(f"\n{count} cached cells in {took[count]:.2f} s: {again}")
    assert len(Store(tmp_path / "out" / "records").read_all()) == CACHED
    each = (took[CACHED] - took[SEEDS]) / (CACHED - SEEDS)
    print(f"{1000 * each:.1f} ms each")
    assert each <= 0.05


def pretend(suite: Path, cache: Path) -> None:
    """Records for all cells of a suite, copied from those of its first seeds."""
    registry = load_registry()
    cells = plan(points(load_suite(suite, registry), registry, "emulator", "zig", threads=1), registry)
    there = [cache / "records" / f"{cell.key}.json" for cell in cells[:SEEDS]]
    for number, cell in enumerate(cells[SEEDS:], SEEDS):
        record = Record.model_validate_json(there[number % SEEDS].read_bytes())
        changes = {
            "cell": cell.key,
            "seed": cell.point.seed,
            "command": command(cell.model.arguments, Where(cell.board)),
        }
        (cache / "records" / f"{cell.key}.json").write_text(
            record.model_copy(update=changes).model_dump_json(by_alias=True)
        )


def test_planning(tmp_path: Path) -> None:
    """10 000 cells."""
    names = ("digits", "fsdd", "fsdd[classes=2]", "fsdd[classes=5]")
    boards = ("nucleo_l476rg", "nucleo_f446re", "raspberry_pi_pico", "nucleo_f103rb", "nrf52840_dk")
    recipes = ("full", "int8", "prune+int8", "xnor", "xnor+int8")
    suite = Suite(title="t", tasks=names, recipes=recipes, boards=boards, seeds=tuple(range(100)))
    registry = load_registry()
    start = perf_counter()
    cells = plan(points(suite, registry, "emulator", "zig"), registry)
    print(f"\n{len(cells)} cells planned in {perf_counter() - start:.2f} s")
    assert len(cells) == 10_000
