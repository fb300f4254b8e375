# SPDX-License-Identifier: Apache-2.0
"""Data as it arrives: what tells its contents, and whether it is what its task promised."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilobench.closure import hashed
from kilobench.contracts import Progress, Split, Task, UserError, is_line
from kilobench.data.arrays import digest, file_digests
from kilobench.data.sources import present
from kilobench.data.splits import validation

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALIDATION_SHARE = 0.2
ABSENT = "absent"
_ARRAYS = ("train_x", "train_y", "test_x", "test_y", "test_clips", "train_groups")


def load(task: Task, fold: int, cache: Path, progress: Progress, *, held_out: bool = False) -> Split:
    """The data of a fold, checked; with ``held_out`` a part of the training data is the test part.

    Raises UserError for data that is not as kilobench.api.Split and the task say, in one line naming array, expected and found.
    """
    split = task.load(fold, cache, progress)
    try:
        _check(task, split)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{task.name}: fold {fold}: {error}") from None
    return validation(split, VALIDATION_SHARE, 0) if held_out else split


def contents(task: Task, fold: int, cache: Path, progress: Progress) -> str:
    """What tells the contents of a task's data, for keys; ``absent`` while it is nowhere on this machine.

    Of a published set that is a digest of all its files, which are read again only where their size or time has changed; of
    data that is made by code nothing more than the code; of any other, such as files that a plug-in reads, it has to be loaded,
    and what cannot be is ``absent`` as well: those who need it see why.
    """
    if task.from_code:
        return "made by code"
    if task.source is None:
        try:
            return _split_digest(load(task, fold, cache, progress))
        except Exception:
            return ABSENT
    folder = present(task.source, cache)
    return ABSENT if folder is None else _folder_digest(folder.resolve(), cache, progress)


def _split_digest(split: Split) -> str:
    """Of the arrays as they are: what the task says of them may be wrong."""
    there = [array for name in _ARRAYS if (array := getattr(split, name)) is not None]
    return hashed(digest(there), split.digest, split.classes, split.notes, split.partial)


def _folder_digest(folder: Path, cache: Path, progress: Progress) -> str:
    files = sorted(path for path in _files_below(folder, frozenset()) if not path.name.startswith("."))
    lines = zip((path.relative_to(folder) for path in files), file_digests(files, cache, progress), strict=True)
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in lines).encode()).hexdigest()


def _files_below(folder: Path, around: frozenset[str]) -> Iterator[Path]:
    """Of linked folders as well, but for links to what is ``around``."""
    real = os.path.realpath(folder)
    for path in () if real in around else folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, around | {real})
        elif path.is_file():
            yield path


def _check(task: Task, split: Split) -> None:
    """Raises ValueError, or what arrays that are none raise."""
    _require(len(split.classes) == task.class_count, "classes", f"{task.class_count} names", len(split.classes))
    _require(isinstance(split.digest, str) and bool(split.digest), "digest", "a text", repr(split.digest)[:50])
    _require(isinstance(split.notes, tuple) and all(map(is_line, split.notes)), "notes", "lines of text", split.notes)
    _require(type(split.partial) is int and split.partial >= 0, "partial", "a whole number", split.partial)
    channels, height, width = task.input_shape
    wide = split.train_x.shape[3] if split.train_x.ndim == 4 else 0
    _check_part("train", split.train_x, split.train_y, (channels, height, max(width, wide)), task.class_count)
    _check_part("test", split.test_x, split.test_y, (channels, height, width), task.class_count)
    if split.test_clips is not None:
        _check_inputs("test_clips", split.test_clips, (channels, height, wide), len(split.test_y))
    if (groups := split.train_groups) is not None:
        _require(groups.shape == split.train_y.shape, "train_groups", f"shape {split.train_y.shape}", groups.shape)


def _check_part(part: str, x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...], classes: int) -> None:
    _require(y.dtype == "int64" and y.ndim == 1, f"{part}_y", "int64 [n]", f"{y.dtype} {list(y.shape)}")
    _require(len(y) > 0, f"{part}_y", "at least one label", "none")
    _check_inputs(f"{part}_x", x, shape, len(y))
    low, high = int(y.min()), int(y.max())
    _require(0 <= low <= high < classes, f"{part}_y", f"labels from 0 to {classes - 1}", f"{low} to {high}")


def _check_inputs(name: str, x: NDArray[Any], shape: tuple[int, ...], count: int) -> None:
    found = f"{x.dtype} {list(x.shape)}"
    _require(x.dtype == "float32" and x.shape == (count, *shape), name, f"float32 {[count, *shape]}", found)
    low, high = float(x.min()), float(x.max())
    _require(-1 <= low <= high <= 1, name, "values in [-1, 1]", f"{low:g} to {high:g}")


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, found {found}")
