# SPDX-License-Identifier: Apache-2.0
"""``kilobench emulate --pty``, as a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(firmware: Path, board: str, *options: str) -> Iterator[str]:
    """The path of the pseudo-terminal; Ctrl-C ends the process, which then says nothing more."""
    command = [sys.executable, "-m", "kilobench", "emulate", str(firmware), "--board", board, "--pty", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            path = process.stdout.readline().strip()
            yield path
            process.send_signal(signal.SIGINT)
            assert (*process.communicate(timeout=10), process.returncode) == ("", "", 0)
        finally:
            process.kill()
