"""What tasks share: local copies, verified downloads, decoding, a cache of arrays."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from kilobench.api import DataUnavailable, Progress, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def local_copy(folder: str) -> Path | None:
    """The user's own copy of a data set: ``$KILOBENCH_DATA/folder``, if it is there."""
    root = os.environ.get("KILOBENCH_DATA")
    path = Path(root) / folder if root else None
    return path if path is not None and path.is_dir() else None


def fetched(folder: str, url: str, cache: Path, progress: Progress) -> Path:
    """The local copy of a data set, or else the publisher's archive, downloaded and unpacked into ``cache``.

    The caller verifies the contents. Raises DataUnavailable where neither is to be had.
    """
    if (local := local_copy(folder)) is not None:
        return local
    target = cache / folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                archive = Path(scratch) / "archive"
                _download(url, archive, folder, progress)
                unpacked = Path(scratch) / "unpacked"
                unpack(archive, unpacked)
                top = next(unpacked.iterdir())
                os.replace(top, target)
    return target


def _download(url: str, target: Path, folder: str, progress: Progress) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as response, target.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 18):
                file.write(chunk)
                progress(f"download {folder}", file.tell(), total)
    except OSError as error:
        raise DataUnavailable(
            f"cannot download {url}: {error}; get it elsewhere and set KILOBENCH_DATA to the folder that holds {folder}/"
        ) from None


def unpack(archive: Path, target: Path, limit_bytes: int = 8 << 30) -> None:
    """Unpack a zip or tar file, refusing members outside ``target``, links, and more than ``limit_bytes`` in all."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            _check_size(archive, sum(member.file_size for member in zipped.infolist()), limit_bytes)
            zipped.extractall(target)
    else:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            _check_size(archive, sum(member.size for member in members), limit_bytes)
            for member in members:
                inside = (target / member.name).resolve().is_relative_to(target.resolve())
                if not (inside and (member.isfile() or member.isdir())):
                    raise UserError(f"{archive.name} holds {member.name!r}, a link or a path outside its folder")
            # Pythons before 3.11.4 have no filters: what a filter refuses is refused above.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(target)


def _check_size(archive: Path, size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise UserError(f"{archive.name} would unpack to {size} bytes, more than {limit_bytes}")


def decode(path: Path, rate: int) -> NDArray[np.float32]:
    """A sound file of any libsndfile format as mono float32 in [-1, 1] at ``rate`` samples per second."""
    import numpy as np
    import soundfile
    import soxr

    try:
        samples, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path.name} cannot be decoded: {error}") from None
    mono = samples.mean(axis=1)
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate)
    return np.asarray(mono, dtype=np.float32)


def window(clip: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """A clip cut to its first ``length`` samples or padded with zeros at its end."""
    import numpy as np

    out = np.zeros(length, dtype=np.float32)
    out[: min(length, len(clip))] = clip[:length]
    return out


def normalise(clip: NDArray[np.float32], rms: float = 0.1) -> NDArray[np.float32]:
    """A clip brought to one loudness (root mean square) and clipped to [-1, 1]."""
    import numpy as np

    level = float(np.sqrt(np.mean(np.square(clip, dtype=np.float64))))
    return np.clip(clip * np.float32(rms / max(level, 1e-6)), -1, 1)


def cached_arrays(cache: Path, key: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays made once and kept as ``cache/key.npz``."""
    import numpy as np

    path = cache / f"{key}.npz"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{key}.lock"):
        if not path.is_file():
            arrays = make()
            with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
                np.savez(part, **arrays)  # type: ignore[arg-type]
            os.replace(part.name, path)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """Hex SHA-256 of arrays: types, shapes and contents."""
    import numpy as np

    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


def check_files(folder: Path, expected: set[str], found: set[str]) -> None:
    """Raise UserError naming and counting missing and extra files."""
    problems = []
    for text, names in (("missing", expected - found), ("unexpected", found - expected)):
        if names:
            some = ", ".join(sorted(names)[:3])
            problems.append(f"{len(names)} {text} ({some}{', ...' if len(names) > 3 else ''})")
    if problems:
        raise UserError(f"{folder.name} has {' and '.join(problems)} of {len(expected)} files")
