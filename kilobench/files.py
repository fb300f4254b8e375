# SPDX-License-Identifier: Apache-2.0
"""Files that are either there as a whole or not at all, whatever happens meanwhile; and those of the cache, which carry a digest.

A disk, a copy or a person may damage what was written as it should be: a file of the cache is believed only where it has the
SHA-256 that stands beside it, in ``NAME.sha256`` as ``sha256sum -c`` reads it. What has not is as good as none.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from kilobench.contracts import PassingError, UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DISK_FULL, NO_MEMORY = "disk full", "not enough memory"
_PASSING = {errno.ENOSPC: DISK_FULL, errno.EDQUOT: DISK_FULL, errno.ENOMEM: NO_MEMORY}
"""What may be there again when tried again."""
_TEXTS = {os.strerror(number): lacked for number, lacked in _PASSING.items()} | {"NoSpaceLeft": DISK_FULL}
"""The same as programs say it."""
_on_waiting: list[Callable[[bool], None]] = []


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in place so that even after a loss of power it is the old one or the new one.

    The bytes go to a file beside it, are forced to the disk (fsync), and take the name by rename, which is forced as well.
    Missing folders are made. Raises UserError in one line where that cannot be, PassingError where the disk is full; then nothing
    is left behind. What a killed
    process leaves, the next write of the same file takes over.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            _write_locked(part, path, content)
        else:
            with _sole_writer(part) as file:
                _write(file, content)
                os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        if passing := lacking(error):
            raise PassingError(f"{passing}: {path}") from None
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def write_kept(path: Path, content: bytes) -> None:
    """Put a file of the cache in place with its digest; after an interruption between the two it is as good as none."""
    note_digest(path, content)
    write_atomically(path, content)


def note_digest(path: Path, content: bytes) -> None:
    """Put the digest of a file of the cache in place."""
    line = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n"
    write_atomically(digest_path(path), line.encode())


def read_kept(path: Path) -> bytes | None:
    """The content of a file of the cache; None if it cannot be read, or is not as it was written."""
    try:
        content, stated = path.read_bytes(), digest_path(path).read_bytes()
    except OSError:
        return None
    return content if stated.split()[:1] == [hashlib.sha256(content).hexdigest().encode()] else None


def intact(path: Path) -> bool:
    """Whether a file of the cache is there as it was written."""
    return read_kept(path) is not None


def writable(folder: Path) -> Path | None:
    """The folder, or what exists nearest above it, if that is a folder where files can be written."""
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return existing if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) else None


def digest_path(path: Path) -> Path:
    """Where the digest of a file of the cache is."""
    return path.with_name(f"{path.name}.sha256")


def lacking(problem: OSError | str) -> str:
    """What the machine has too little of, if that is what an error, or a text of another program, says; else nothing."""
    if isinstance(problem, OSError) and problem.errno in _PASSING:
        return _PASSING[problem.errno]
    text = str(problem)
    return next((lacked for told, lacked in _TEXTS.items() if told in text), "")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While this process has a lock, which ends with it; waits for others, as ``waited`` is told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        for tell in _on_waiting:
            tell(True)
        lock.acquire()
        for tell in _on_waiting:
            tell(False)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def waited(tell: Callable[[bool], None]) -> Iterator[None]:
    """Whenever ``locked`` begins to wait for another process inside, ``tell`` gets True, and False when it goes on."""
    _on_waiting.append(tell)
    try:
        yield
    finally:
        _on_waiting.remove(tell)


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _write_locked(part: Path, path: Path, content: bytes) -> None:
    """Without flock, and where no file that is open takes another name, as on Windows: by a lock of its own."""
    with FileLock(part.with_name(f"{part.name}.lock")):
        try:
            with part.open("wb") as file:
                _write(file, content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _sole_writer(part: Path) -> Iterator[BinaryIO]:
    """The file, empty, for one process or thread at a time; the kernel gives it to the next when a process dies."""
    while True:
        with part.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is(part, file):
                continue  # the writer before has renamed or removed it meanwhile
            file.truncate(0)
            try:
                yield file
            finally:
                if _is(part, file):
                    with suppress(OSError):
                        part.unlink()
            return


def _is(path: Path, file: BinaryIO) -> bool:
    """Whether the open file has that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Force names to the disk, where a folder can be opened for that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
