# SPDX-License-Identifier: Apache-2.0
"""Arrays on disk: digests of files and of arrays, and a memory-mapped cache keyed by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilobench.closure import code, hashed
from kilobench.contracts import Progress, UserError
from kilobench.files import locked, read_kept, write_kept

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
    """Size, time of change and digest by path, kept as ``cache/digests.json``; if that was damaged, all is forgotten."""
    index = cache / "digests.json"
    with locked(index.with_suffix(".lock")):
        before = read_kept(index) or b"{}"
        known = json.loads(before)
        try:
            yield known
        finally:  # what was read before an interruption counts
            if (after := json.dumps(known).encode()) != before:
                write_kept(index, after)


def code_key(file: Path) -> str:
    """What tells the code of a file, all that it imports, and the versions of the packages it uses: for names in the cache."""
    used = code(file)
    return hashed(used.digest, used.packages)[:12]


def cached_arrays(cache: Path, key: str, make: Callable[[Create], None]) -> Arrays:
    """Arrays made once, kept as ``cache/key/*.npy`` and read through memory maps; made again where a file was damaged.

    ``make`` gets a function ``create(name, shape, dtype)``.
    """
    import numpy as np

    folder = cache / key
    with locked(cache / f"{key}.lock"):
        if not _undamaged(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                part = Path(scratch) / key
                part.mkdir()

                def create(name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
                    return np.lib.format.open_memmap(
                        part / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape
                    )

                make(create)
                (part / _SUMS).write_text(json.dumps(_sums(part)))
                os.replace(part, folder)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


_SUMS = "crc32.json"
"""The CRC-32 of every array: they are large, read whenever they are used, and a SHA-256 would take five times as long."""


def _sums(folder: Path) -> dict[str, int]:
    sums = {}
    for path in sorted(folder.glob("*.npy")):
        sums[path.name] = 0
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                sums[path.name] = zlib.crc32(block, sums[path.name])
    return sums


def _undamaged(folder: Path) -> bool:
    """Whether arrays are there as they were made; what is wrong with them is said in a line."""
    if not folder.is_dir():
        return False
    try:
        whole = json.loads((folder / _SUMS).read_text()) == _sums(folder)
    except (OSError, ValueError):
        whole = False
    if not whole:
        print(f"{folder} in the cache was damaged and is made anew", file=sys.stderr)
    return whole


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


def as_pixels(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images [n, channels, height, width] of what pixels p of 8 bits can be, (p - 128) / 128: each value the nearest of these.

    The array itself where all values are such, as those of most images are.
    """
    import numpy as np

    def nearest(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip(np.rint(part * np.float32(128)), -128, 127) / np.float32(128)

    blocks = (x[start : start + 256] for start in range(0, len(x), 256))
    return x if all(np.array_equal(block, nearest(block)) for block in blocks) else nearest(x)
