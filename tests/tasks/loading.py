# SPDX-License-Identifier: Apache-2.0
"""What the tests of tasks share."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kilobench.contracts import Split, Task
from kilobench.plugins.registry import load_registry

COUNTS: dict[str, int] = importlib.import_module("kilobench.contrib.tasks._speech_commands").COUNTS
"""Of every word of Speech Commands."""
SPEAKERS = {"train": range(6), "validation": range(6, 8), "test": range(8, 11)}
REAL_DATA = os.environ.get("KILOBENCH_DATA", "")


def task(spec: str) -> Task:
    built: Task = load_registry().get("tasks", spec)
    return built


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


def load(spec: str, cache: Path, fold: int = 0) -> Split:
    return task(spec).load(fold, cache, silent)


def tone(path: Path, pitch: float, rate: int = 8000, seconds: float = 0.05) -> None:
    """A short tone of its own pitch, so that no two files are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(int(rate * seconds)) * pitch) / 2, rate)


def speech_commands(folder: Path) -> None:
    """Speech Commands in the publisher's layout: eleven speakers say every word once; two noises."""
    for index, word in enumerate(COUNTS):
        for speaker in range(11):
            path = folder / word / f"{speaker:08x}_nohash_0.wav"
            tone(path, 0.05 + index / 50 + speaker / 2000, 16_000, 1.0 if speaker % 2 else 0.6)
    for name, part in (("validation", "validation"), ("testing", "test")):
        lines = [f"{word}/{speaker:08x}_nohash_0.wav\n" for word in COUNTS for speaker in SPEAKERS[part]]
        (folder / f"{name}_list.txt").write_text("".join(lines))
    noise = np.random.default_rng(0).normal(size=6 * 16_000) * 0.1
    (folder / "_background_noise_").mkdir()
    soundfile.write(folder / "_background_noise_" / "white_noise.wav", noise, 16_000)
    soundfile.write(folder / "_background_noise_" / "pink_noise.wav", np.cumsum(noise) * 0.01, 16_000)


def needs_real(folder: str) -> pytest.MarkDecorator:
    """Skips where the real data set is not on this machine."""
    there = bool(REAL_DATA) and (Path(REAL_DATA) / folder).is_dir()
    return pytest.mark.skipif(not there, reason=f"KILOBENCH_DATA holds no {folder}")


@contextmanager
def scratch(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is gone when its users are: arrays of sound are large."""
    folder = factory.mktemp("scratch")
    yield folder
    shutil.rmtree(folder)
