# SPDX-License-Identifier: Apache-2.0
"""What a process has begun goes with it, even if it is killed: compilers, what they have started, and temporary files."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from kilobench.contracts import UserError
from kilobench.guard import working_in
from kilobench.scratch import is_plain, temporary_folder

COMPILES = """
import subprocess, sys, time
from kilobench.scratch import process_folder, temporary_folder
from kilobench.toolchain import clean_environment
again = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
with temporary_folder() as folder:
    (folder / "object").write_bytes(bytes(1000))
    subprocess.Popen([sys.executable, "-c", again], env=clean_environment(), start_new_session=True)
    print(process_folder(), flush=True)
    sys.stdin.read()
"""


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", COMPILES]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = monotonic() + seconds
    while not (found := true()) and monotonic() < end:
        sleep(0.05)
    return found


@pytest.mark.parametrize("end", ["killed", "done"])
def test_nothing_is_left_of_a_process(end: str, tmp_path: Path) -> None:
    process, folder = started(tmp_path)
    assert folder.parent == tmp_path
    assert within(20, lambda: len(list(working_in(str(folder)))) == 2)
    if end == "killed":
        process.send_signal(signal.SIGKILL)
    process.communicate()
    assert within(20, lambda: not list(tmp_path.iterdir()))
    assert not list(working_in(str(folder)))


def test_temporary_folders_are_plain_and_removed() -> None:
    with temporary_folder() as folder:
        assert is_plain(folder) and list(folder.iterdir()) == []
        (folder / "file").touch()
    assert not folder.exists()


def test_nowhere_to_write_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setattr("os.getpid", lambda: -1)
    told = r"^no temporary files can be written \(No usable .*; TMPDIR names another"
    with pytest.raises(UserError, match=told), temporary_folder():
        pass
