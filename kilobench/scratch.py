# SPDX-License-Identifier: Apache-2.0
"""Folders for what is temporary: they go with the process that made them, even if it is killed, as do compilers in them."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from kilobench import guard
from kilobench.contracts import UserError
from kilobench.paths import cache_dir

_PLAIN = re.compile(r"[A-Za-z0-9_./\\:~-]*" if os.name == "nt" else r"[A-Za-z0-9_./-]*")
_PLAIN_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def is_plain(path: Path | str) -> bool:
    """Whether no tool takes a character of a path for syntax, as PlatformIO does %, SCons $ and zig's linker %."""
    return _PLAIN.fullmatch(str(path)) is not None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder whose path is plain where this machine has such, removed in the end. Raises UserError if there is none."""
    with tempfile.TemporaryDirectory(dir=process_folder(), ignore_cleanup_errors=True) as name:
        yield Path(name)


def disks() -> str:
    """Where what a unit writes goes, for who is told that a disk is full."""
    return f"the cache {cache_dir()}, or temporary files in {process_folder().parent} (TMPDIR)"


def process_folder() -> Path:
    """That of this process, which all its temporary folders are in: the TMPDIR of the compilers that it starts."""
    return _folder_of(os.getpid())


@cache
def _folder_of(process: int) -> Path:
    try:
        plain = (
            name for name in (tempfile.gettempdir(), *_PLAIN_FOLDERS) if is_plain(name) and os.access(name, os.W_OK)
        )
        folder = Path(tempfile.mkdtemp(prefix="kilobench-", dir=next(plain, None))).resolve()
    except OSError as error:
        raise UserError(f"no temporary files can be written ({error.strerror}); TMPDIR names another folder") from None
    command, nothing = [sys.executable, "-I", "-S", guard.__file__, str(folder)], subprocess.DEVNULL
    theirs, _ours = os.pipe()  # ours is open for as long as this process is there
    try:
        begun = subprocess.Popen(
            command, stdin=theirs, stdout=nothing, stderr=nothing, cwd=os.sep, start_new_session=True
        )
    finally:
        os.close(theirs)
    if hasattr(os, "fork"):
        begun.wait()  # until it is nobody's child
    atexit.register(_leave, process, folder)
    return folder


def _leave(process: int, folder: Path) -> None:
    """At the end of the process that it belongs to; a copy of that (fork) leaves it alone."""
    if os.getpid() == process:
        guard.clear(str(folder))
