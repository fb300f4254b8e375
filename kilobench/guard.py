# SPDX-License-Identifier: Apache-2.0
"""A process beside one of kilobench's: when that has ended, however it did, its folder goes and what still works in it.

Run as a script by kilobench.scratch, without any package. A process works in a folder if its variable TMPDIR names it: compilers
start others in turn, of which nobody else knows.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SECONDS = 0.05
_ROUNDS = 50


def working_in(folder: str) -> Iterator[int]:
    """Processes of this user that were started with ``folder`` as TMPDIR (Linux: proc(5); none are found elsewhere)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def clear(folder: str) -> None:
    """End all that works in a folder, those too that are being started meanwhile, and remove it."""
    for _ in range(_ROUNDS):
        found = list(working_in(folder))
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if not found:
            break
        time.sleep(_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: str) -> None:
    """Wait for the end of whoever holds the other end of standard input; as nobody's child, as Ray ends those of its workers,
    where a process can leave its parent.
    """
    if hasattr(os, "fork") and os.fork():
        os._exit(0)
    os.read(0, 1)
    clear(folder)


if __name__ == "__main__":
    main(sys.argv[1])
