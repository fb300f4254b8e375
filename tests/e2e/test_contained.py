# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that loop, leak, crash and print: each fails alone, in time, with a reason, and is remembered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.results.store import Store
from tests.caches import new_cache

PLUGIN = '''
import ctypes
import os
from kilobench.api import Method

class {name}(Method):
    """Misbehaves."""
    name = "{lower}"
    reference = "none"
    def apply(self, model, job):
        {body}
        return model
'''
BODIES = {
    "Loops": "while True: pass",
    "Leaks": "keep = []\n        while True: keep.append(bytearray(1 << 26))",
    "Crashes": "ctypes.string_at(0)",
    "Leaves": "os._exit(3)",
    "Prints": "print('from Python'); os.write(1, b'from C'); raise ValueError('on purpose')",
}
REASONS = {
    "loops": "it took longer than 30 s (--time-limit)",
    "leaks": "not enough memory (--memory-limit)",
    "crashes": "the worker process ended: killed by SIGSEGV",
    "leaves": "the worker process ended: it exited with 3",
    "prints": "ValueError: on purpose",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Plug-ins and a suite that uses them, and a cache."""
    folder = tmp_path_factory.mktemp("contained")
    (folder / "plugins").mkdir()
    new_cache(folder / "cache", cache)
    for name, body in BODIES.items():
        (folder / "plugins" / f"{name.lower()}.py").write_text(PLUGIN.format(name=name, lower=name.lower(), body=body))
    recipes = ", ".join([*REASONS, "full"])
    (folder / "s.yaml").write_text(
        f"title: t\ntasks: [digits]\nrecipes: [{recipes}]\nboards: [nucleo_l476rg]\ntraining: epochs=1\n"
    )
    return folder


def kilobench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kilobench", "--plugins", str(folder / "plugins"), *arguments]
    environment = os.environ | {"KILOBENCH_CACHE": str(folder / "cache")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


@pytest.fixture(scope="module")
def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """The first run."""
    limits = ["--time-limit", "30", "--memory-limit", "2"]
    return kilobench(folder, "run", str(folder / "s.yaml"), "--output", str(folder / "out"), *limits)


def test_each_fails_alone_with_a_reason(run: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert run.returncode == 1, run.stdout + run.stderr
    for name, reason in REASONS.items():
        line = next(line for line in run.stdout.splitlines() if line.startswith(f"failed: digits {name} on"))
        assert reason in line
    assert "1 measured, 0 cached, 5 failed" in run.stdout
    assert [record.recipe for record in Store(folder / "out" / "records").read_all()] == ["full"]


def test_what_was_printed_is_in_the_log_alone(run: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert "from Python" not in run.stdout and "from C" not in run.stdout
    line = next(line for line in run.stdout.splitlines() if line.startswith("failed: digits prints"))
    key = line.rpartition("kilobench log ")[2].rstrip(")")
    shown = kilobench(folder, "log", key).stdout
    assert shown.startswith("digits prints: prints: ValueError: on purpose\n")
    assert "from Python" in shown and "from C" in shown and "Traceback" in shown
    listed = kilobench(folder, "log").stdout
    assert len(listed.splitlines()) == 5 and key in listed


def test_what_failed_is_skipped_until_it_is_asked_for(run: subprocess.CompletedProcess[str], folder: Path) -> None:
    again = kilobench(folder, "run", str(folder / "s.yaml"), "--output", str(folder / "out"))
    assert again.returncode == 1
    assert "0 measured, 1 cached, 0 failed, 5 skipped (--retry-failed tries them again)" in again.stdout
    one = ["--task", "digits", "--recipe", "prints", "--board", "nucleo_l476rg", "--training", "epochs=1"]
    retried = kilobench(folder, "run", *one, "--output", str(folder / "out"), "--retry-failed")
    assert "0 measured, 0 cached, 1 failed" in retried.stdout


def test_a_log_that_is_not_there_is_one_line(folder: Path) -> None:
    done = kilobench(folder, "log", "nothing")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "kilobench: no failed cells have a key that begins with 'nothing' (kilobench log lists all)"
    ]
