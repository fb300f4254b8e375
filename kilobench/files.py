"""Files that are either there as a whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from kilobench.api import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in place so that even after a loss of power it is the old one or the new one.

    The bytes go to a file beside it, are forced to the disk (fsync), and take the name by rename, which is forced as well.
    Missing folders are made. Raises UserError in one line where that cannot be; then nothing is left behind.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(f"disk full: {path}" if full else f"cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
