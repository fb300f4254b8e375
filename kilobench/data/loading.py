# SPDX-License-Identifier: Apache-2.0
"""Data as it arrives: what tells its contents, and whether it is what its task promised."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilobench.closure import hashed
from kilobench.contracts import CellError, Progress, Shape, Split, Task, UserError, is_line
from kilobench.data.arrays import as_pixels, digest, file_digests
from kilobench.data.sources import present
from kilobench.data.splits import validation
from kilobench.lines import one_line, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALIDATION_SHARE = 0.2
ABSENT = "absent"
_ARRAYS = ("train_x", "train_y", "test_x", "test_y", "test_clips", "train_groups")


def load(task: Task, fold: int, cache: Path, progress: Progress, *, held_out: bool = False) -> Split:
    """The data of a fold, checked; with ``held_out`` a part of the training data is the test part.

    Its arrays are as they are in memory or on disk, or copies where they are not in C's order or, of images, no pixels of 8
    bits. Raises UserError for data that cannot be loaded, or is not as kilobench.api.Split and the task say, in one line naming
    array, expected and found.
    """
    import numpy as np

    try:
        split = task.load(fold, cache, progress)
    except (UserError, CellError):
        raise
    except Exception as error:  # of a plug-in, or of a package that reads what it has
        raise UserError(f"{task.name}: fold {fold}: {reason(error)}") from error
    try:
        _check(task, split)
    except ValueError as error:
        raise UserError(f"{task.name}: fold {fold}: {error}") from None
    given = {name: array for name in _ARRAYS if (array := getattr(split, name)) is not None}
    ordered: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in given.items()}
    if task.kind == "image":
        ordered |= {name: as_pixels(ordered[name]) for name in ("train_x", "test_x")}
    split = replace(split, **ordered)
    if held_out and task.objective == "reconstruction":
        raise UserError(f"{task.name}: all that it trains with is usual, so that no part of it can be tested on")
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
    folders = [present(source, cache) for source in task.sources()]
    digests = [_folder_digest(folder.resolve(), cache, progress) for folder in folders if folder is not None]
    if len(digests) < len(folders):
        return ABSENT
    return digests[0] if len(digests) == 1 else hashed(digests)


def _split_digest(split: Split) -> str:
    """Of the arrays as they are: what the task says of them may be wrong."""
    there = [array for name in _ARRAYS if (array := getattr(split, name)) is not None]
    return hashed(digest(there), split.digest, split.classes, split.notes, split.partial, split.transcoded)


def _folder_digest(folder: Path, cache: Path, progress: Progress) -> str:
    files = sorted(path for path in _files_below(folder, frozenset()) if not path.name.startswith("."))
    lines = zip((path.relative_to(folder) for path in files), file_digests(files, cache, progress), strict=True)
    return hashlib.sha256(
        "".join(f"{name} {digest}\n" for name, digest in lines).encode(errors="surrogateescape")
    ).hexdigest()


def _files_below(folder: Path, around: frozenset[str]) -> Iterator[Path]:
    """Of linked folders as well, but for links to what is ``around``."""
    real = os.path.realpath(folder)
    for path in () if real in around else folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, around | {real})
        elif path.is_file():
            yield path


def _check(task: Task, split: object) -> None:
    """Raises ValueError, naming what of a split is not as it should be."""
    import numpy as np

    if not isinstance(split, Split):
        raise ValueError(f"expected a Split, found {_described(split)}")
    count, (channels, height, width), names = task.class_count, task.input_shape, split.classes
    lines = isinstance(names, tuple) and all(is_line(name) and name for name in names) and len(set(names)) == len(names)
    _require(lines, "classes", "different lines of text", _described(names))
    _require(len(names) == count, "classes", f"{count} names", str(len(names)))
    _require(is_line(split.digest) and bool(split.digest), "digest", "a line of text", _described(split.digest))
    notes = isinstance(split.notes, tuple) and all(map(is_line, split.notes))
    _require(notes, "notes", "lines of text", _described(split.notes))
    for name in ("partial", "transcoded"):
        count_of = getattr(split, name)
        _require(type(count_of) is int and count_of >= 0, name, "a whole number", _described(count_of))
    x = split.train_x
    wide = max(width, x.shape[3]) if isinstance(x, np.ndarray) and x.ndim == 4 else width
    if task.objective == "reconstruction":
        _check_part("train", x, split.train_y, (channels, height, wide), names[:1], partial=False)
        _check_part("test", split.test_x, split.test_y, (channels, height, wide), names, partial=False)
    else:
        _check_part("train", x, split.train_y, (channels, height, wide), names, partial=split.partial > 0)
        _check_part("test", split.test_x, split.test_y, (channels, height, width), names, partial=split.partial > 0)
    if split.test_clips is not None:
        _check_inputs("test_clips", split.test_clips, (len(split.test_y), channels, height, wide))
    if split.train_groups is not None:
        _check_array("train_groups", split.train_groups, "int64", (len(split.train_y),))


def _check_part(
    part: str, x: object, y: NDArray[Any], shape: Shape, classes: tuple[str, ...], *, partial: bool
) -> None:
    _check_array(f"{part}_y", y, "int64", ("n",))
    _require(len(y) > 0, f"{part}_y", "at least one label", "none")
    _check_inputs(f"{part}_x", x, (len(y), *shape))
    low, high = int(y.min()), int(y.max())
    _require(0 <= low <= high < len(classes), f"{part}_y", f"labels from 0 to {len(classes) - 1}", f"{low} to {high}")
    there = set(y.tolist())
    absent = next((name for index, name in enumerate(classes) if index not in there), None)
    _require(partial or absent is None, f"{part}_y", "labels of every class", f"none of {absent}")


def _check_inputs(name: str, x: Any, shape: tuple[int, ...]) -> None:
    _check_array(name, x, "float32", shape)
    low, high = float(x.min()), float(x.max())
    _require(-1 <= low <= high <= 1, name, "values in [-1, 1]", f"{low:g} to {high:g}")


def _check_array(name: str, array: Any, dtype: str, shape: tuple[int | str, ...]) -> None:
    """``n`` stands for any length."""
    import numpy as np

    holds = type(array) in (np.ndarray, np.memmap) and array.dtype == dtype and array.ndim == len(shape)
    holds = holds and all(wanted in ("n", found) for wanted, found in zip(shape, array.shape, strict=True))
    _require(holds, name, f"{dtype} [{', '.join(map(str, shape))}]", _described(array))


def _require(holds: bool, name: str, expected: str, found: str) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, found {found}")


def _described(value: object) -> str:
    """A value in a message: of an array type and shape, of text, numbers and tuples their beginning, of others the class."""
    if isinstance(value, str | int | float | tuple | None):
        text = one_line(repr(value))
        return text if len(text) <= 60 else f"{text[:57]}..."
    kind = type(value).__name__
    of = f"{value.dtype} {list(value.shape)}" if hasattr(value, "dtype") and hasattr(value, "shape") else ""
    return of if of and kind in ("ndarray", "memmap") else f"{kind} {of}".rstrip()
