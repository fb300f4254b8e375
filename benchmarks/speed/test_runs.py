"""Speed of runs: two workers against one, and what a cached cell costs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from kilobench.plan import plan
from kilobench.registry import load_registry
from kilobench.store import Store
from kilobench.suite import Suite

SEEDS = 8
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
    """Beyond what a run of no cells takes: planning, reading and checking records, table and pages."""
    suite, cache = prepared
    seconds(suite, cache, tmp_path / "out", 2)
    took = seconds(suite, cache, tmp_path / "out", 2)
    begin = perf_counter()
    subprocess.run([sys.executable, "-m", "kilobench", "list"], check=True, capture_output=True)
    start_up = perf_counter() - begin
    records = len(Store(tmp_path / "out" / "records").read_all())
    assert records == SEEDS
    print(f"\n{1000 * (took - start_up) / records:.0f} ms a cached cell of {records}")


def test_planning(tmp_path: Path) -> None:
    """10 000 cells."""
    names = ("digits", "fsdd", "fsdd[classes=2]", "fsdd[classes=5]")
    boards = ("nucleo_l476rg", "nucleo_f446re", "raspberry_pi_pico", "nucleo_f103rb", "nrf52840_dk")
    recipes = ("full", "int8", "prune+int8", "xnor", "xnor+int8")
    suite = Suite(title="t", tasks=names, recipes=recipes, boards=boards, seeds=tuple(range(100)))
    registry = load_registry()
    start = perf_counter()
    cells = plan(suite, registry, "emulator", "zig")
    print(f"\n{len(cells)} cells planned in {perf_counter() - start:.2f} s")
    assert len(cells) == 10_000
