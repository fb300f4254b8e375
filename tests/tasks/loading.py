# SPDX-License-Identifier: Apache-2.0
"""What the tests of tasks share."""

from __future__ import annotations

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
