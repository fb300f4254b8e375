# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, however early and however often, ends a run with one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

RUN = ["run", "--task", "digits", "--recipe", "full", "--board", "nucleo_l476rg", "--training", "epochs=100000"]


def holds_back(process: int) -> bool:
    """Whether a process has blocked SIGINT: it is kilobench by then, no longer the interpreter that starts."""
    blocked = Path(f"/proc/{process}/status").read_text().split("SigBlk:")[1].split()[0]
    return bool(int(blocked, 16) >> signal.SIGINT - 1 & 1)


def as_in_a_terminal() -> None:
    """Shells let what they start in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_twenty_interrupts_end_in_one_line(seconds: float, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kilobench", *RUN, "--output", str(tmp_path / "out")]
    environment = os.environ | {"KILOBENCH_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    how = {"text": True, "env": environment, "start_new_session": True, "preexec_fn": as_in_a_terminal}
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, **how)  # type: ignore[call-overload]
    try:
        while not holds_back(process.pid):
            sleep(0.001)
        sleep(seconds)
        for _ in range(20):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            sleep(0.02)
        _, problem = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert problem == "kilobench: interrupted; finished stages are kept, the same command goes on\n"
    assert process.returncode in (130, -signal.SIGINT)
    assert not list(tmp_path.glob("kilobench-*"))
