# SPDX-License-Identifier: Apache-2.0
"""A contest within a budget: every recipe as large as it allows, by the width of its network or by pruning."""

import os
import subprocess
import sys
from pathlib import Path

from kilobench.results.store import Store
from tests.caches import new_cache

SUITE = """
title: t
tasks: [digits]
recipes: [int8, prune+int8, xnor]
boards: [nucleo_l476rg]
training: steps=20
budgets: [flash=32KiB, "flash=32KiB,latency=10us"]
"""
TOO_LARGE = "board=nucleo_l476rg; the smallest takes"


def test_a_contest_within_a_budget(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "kilobench", "run", str(tmp_path / "s.yaml"), "--output", str(tmp_path / "out")]
    environment = os.environ | {"KILOBENCH_CACHE": str(new_cache(tmp_path / "cache", cache))}

    def run(*options: str) -> str:
        words = [*command, *options]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(TOO_LARGE) == 3
        return done.stdout

    assert "3 measured, 0 cached, 0 failed" in run()
    assert "0 measured, 3 cached, 0 failed" in run()
    assert "3 cells: 3 cached, 0 to measure" in run("--dry-run")
    records = {record.recipe: record for record in Store(tmp_path / "out" / "records").read_all()}
    assert set(records) == {"int8", "prune+int8", "xnor"}
    for recipe, record in records.items():
        assert record.budget == "flash=32KiB,board=nucleo_l476rg" and f"--budget {record.budget}" in record.command
        assert 28 * 1024 < record.flash_bytes <= 32 * 1024 and record.fits
        assert record.effort == 2.6 and sum(record.steps.values()) == 52
        assert record.size.startswith("keep=" if "prune" in recipe else "width=")
    assert records["int8"].steps == {"train": 52, "int8": 0}
    assert records["prune+int8"].steps == {"train": 20, "prune": 32, "int8": 0}
    assert records["xnor"].steps == {"train": 20, "xnor": 32}
    assert records["prune+int8"].network == "resnet8[width=8]"
    assert records["xnor"].parameters > 3 * records["int8"].parameters
