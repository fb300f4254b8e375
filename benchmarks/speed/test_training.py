# SPDX-License-Identifier: Apache-2.0
"""Seconds per batch of training, input pipeline included, against the study's (study.py), as ratios."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = {"micro": 10, "paper": 5}


def seconds(trainer: str, channels: str, form: str) -> float:
    """In a process of its own: how freed memory is kept is a property of the process."""
    command = [sys.executable, "-m", f"benchmarks.speed.{trainer}", channels, form, str(STEPS[channels])]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


@pytest.mark.parametrize(
    ("channels", "form", "reach"),
    [("micro", "full", 3.0), ("micro", "xnor", 2.5), ("paper", "full", 2.0), ("paper", "xnor", 2.0)],
)
def test_training_against_the_studys(
    capsys: pytest.CaptureFixture[str], channels: str, form: str, reach: float
) -> None:
    """The better of two rounds each, in turn, so that another program on the machine disturbs both."""
    rounds = [(seconds("study", channels, form), seconds("ours", channels, form)) for _ in range(2)]
    study, ours = (min(column) for column in zip(*rounds, strict=True))
    with capsys.disabled():
        print(
            f"\nacdnet[channels={channels}] {form}: {ours:.2f} s a batch, the study's {study:.2f} s: {study / ours:.1f}x"
        )
    assert study / ours >= reach
