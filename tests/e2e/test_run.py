# SPDX-License-Identifier: Apache-2.0
"""From data to page with the command that users type."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.results.store import Store
from tests.caches import new_cache

SUITE = """
title: tiny
tasks: [digits]
recipes: [full, prune+int8, xnor+int8, xnor]
boards: [nucleo_l476rg, raspberry_pi_pico]
training: epochs=5
"""


def kilobench(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kilobench", *map(str, arguments)]
    environment = os.environ | {"KILOBENCH_CACHE": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, Path, Path]:
    """A finished run: suite, cache and output."""
    folder = tmp_path_factory.mktemp("run")
    suite = folder / "tiny.yaml"
    suite.write_text(SUITE)
    done = kilobench("run", suite, "--output", folder / "out", cache=new_cache(folder / "cache", cache))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 measured, 0 cached, 0 failed" in done.stdout
    return suite, folder / "cache", folder / "out"


def test_records_hold_what_was_measured(run: tuple[Path, Path, Path]) -> None:
    records = {(r.recipe, r.board): r for r in Store(run[2] / "records").read_all()}
    assert len(records) == 8
    full = records["full", "nucleo_l476rg"]
    assert full.accuracy.total == 450
    assert full.accuracy.mean > 0.95
    assert full.flash_bytes == full.flash.weights + full.flash.runtime + full.flash.board_support
    assert full.ram_bytes == full.ram.arena + full.ram.static + full.ram.stack
    assert full.verified_inputs == 8
    assert full.macs["fp32"] > 0
    assert abs(sum(layer.cycles for layer in full.layers) - full.cycles) < 0.02 * full.cycles
    binary = records["xnor+int8", "nucleo_l476rg"]
    assert binary.macs["fp32"] == 0 < binary.macs["int8"] < binary.macs["binary"]
    assert binary.flash.weights < full.flash.weights / 8


def test_pages_show_every_row_and_its_command(run: tuple[Path, Path, Path]) -> None:
    page = (run[2] / "tasks" / "digits.md").read_text()
    for record in Store(run[2] / "records").read_all():
        assert f"`{record.recipe}`" in page
        assert record.command in page
    assert (run[2] / "plots" / "digits-flash.svg").read_text().startswith("<svg")
    assert "digits" in (run[2] / "README.md").read_text()


def test_the_second_run_is_cached_and_imports_no_torch(run: tuple[Path, Path, Path]) -> None:
    suite, cache, output = run
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    code = (
        "import sys; from kilobench.cli import main\n"
        f"code = main(['run', {str(suite)!r}, '--output', {str(output)!r}])\n"
        "assert code == 0 and 'torch' not in sys.modules and 'unicorn' not in sys.modules"
    )
    environment = os.environ | {"KILOBENCH_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 measured, 8 cached, 0 failed" in done.stdout
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_a_validation_part_is_measured_and_leaves_no_record(run: tuple[Path, Path, Path], tmp_path: Path) -> None:
    arguments = ["--task", "digits", "--recipe", "full", "--board", "nucleo_l476rg", "--training", "epochs=1"]
    done = kilobench("run", *arguments, "--validation", "--output", tmp_path, cache=run[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 measured" in done.stdout and "no records, no pages" in done.stdout
    assert not list(tmp_path.rglob("*"))
    made = [Store(run[1]).read(path) for path in (run[1] / "records").glob("*.json")]
    (validated,) = [record for record in made if record.command.endswith("--validation")]
    assert 0.15 * 1347 < validated.accuracy.total < 0.25 * 1347


def test_a_failing_method_stops_no_other_cell(tmp_path: Path, run: tuple[Path, Path, Path]) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "from kilobench.api import Method\n"
        "class Bad(Method):\n"
        '    """Fails."""\n'
        '    name = "bad"\n'
        '    reference = "none"\n'
        "    def apply(self, model, job):\n"
        "        raise ValueError('on purpose')\n"
    )
    suite = tmp_path / "s.yaml"
    suite.write_text("title: t\ntasks: [digits]\nrecipes: [bad, full]\nboards: [nucleo_l476rg]\ntraining: epochs=1\n")
    done = kilobench("--plugins", plugin, "run", suite, "--output", tmp_path / "out", cache=run[1])
    assert done.returncode == 1
    assert "failed: digits bad on nucleo_l476rg, seed 0, fold 0: ValueError: on purpose" in " ".join(
        done.stdout.split()
    )
    assert [record.recipe for record in Store(tmp_path / "out/records").read_all()] == ["full"]
