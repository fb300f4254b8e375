# SPDX-License-Identifier: Apache-2.0
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import kilobench  # noqa: F401  (before torch: it says how OpenMP's threads wait, which share cores with other workers)
from tests.caches import new_cache

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of their own for all tests of a worker; what is safe to share is that of all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    shared.mkdir(exist_ok=True)
    folder = new_cache(tmp_path_factory.mktemp("cache"), shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILOBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another test has edited is no code of this process that has changed, nor are its operators found."""
    monkeypatch.setattr("kilobench.sources._asked", {})
    monkeypatch.setattr("kilobench.plugins.operators._used", {})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what keys depend on."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("kilobench", "methods", "tasks", "networks", "hardware", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy
