"""Arrays on disk: digests of files and of arrays, and a memory-mapped cache keyed by content."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from kilobench.api import Progress, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


Create = Callable[[str, tuple[int, ...], str], Any]
"""Makes an array of a name, shape and type on disk, to be filled."""


def file_digests(paths: Sequence[Path], cache: Path, progress: Progress) -> list[str]:
    """Hex SHA-256 of the contents of each file.

    They are remembered by path, size and time of change, so that nothing is read twice: a file that changed while keeping
    all three goes unnoticed until ``kilobench data verify``, which forgets what it knew.
    """
    with _digest_index(cache) as known:
        result = []
        for done, path in enumerate(paths):
            key = str(path.absolute())
            try:
                status = path.stat()
                stamp = [status.st_size, status.st_mtime_ns]
                if known.get(key, [None])[:-1] != stamp:
                    with path.open("rb") as file:
                        known[key] = [*stamp, hashlib.file_digest(file, "sha256").hexdigest()]
                    progress("checking files", done + 1, len(paths))
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
            result.append(known[key][-1])
    return result


def forget_digests(folder: Path, cache: Path) -> None:
    """Have every file below a folder read again."""
    with _digest_index(cache) as known:
        for path in [path for path in known if Path(path).is_relative_to(folder.absolute())]:
            del known[path]


@contextmanager
def _digest_index(cache: Path) -> Iterator[dict[str, list[Any]]]:
    """Size, time of change and digest by path, kept as ``cache/digests.json``."""
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / "digests.json"
    with FileLock(index.with_suffix(".lock")):
        before = index.read_text() if index.is_file() else "{}"
        known = json.loads(before)
        try:
            yield known
        finally:  # what was read before an interruption counts
            if (after := json.dumps(known)) != before:
                part = index.with_suffix(".part")
                part.write_text(after)
                os.replace(part, index)


def cached_arrays(cache: Path, key: str, make: Callable[[Create], None]) -> Arrays:
    """Arrays made once, kept as ``cache/key/*.npy`` and read through memory maps.

    ``make`` gets a function ``create(name, shape, dtype)``.
    """
    import numpy as np

    folder = cache / key
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{key}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                part = Path(scratch) / key
                part.mkdir()

                def create(name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
                    return np.lib.format.open_memmap(
                        part / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape
                    )

                make(create)
                os.replace(part, folder)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def rows(array: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array: a view if they are neighbours, else a copy."""
    if len(chosen) and (chosen[1:] == chosen[:-1] + 1).all():
        return array[chosen[0] : chosen[-1] + 1]
    return array[chosen]


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """Hex SHA-256 of arrays: types, shapes and contents."""
    import numpy as np

    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 256):  # in blocks, so that memory-mapped arrays need not fit into memory
            hasher.update(np.ascontiguousarray(array[start : start + 256]).reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()
