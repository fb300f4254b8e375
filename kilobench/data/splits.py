# SPDX-License-Identifier: Apache-2.0
"""Training, test and validation parts: what they may share, and what each must have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kilobench.contracts import Split, UserError
from kilobench.data.arrays import digest
from kilobench.data.audio import loudest
from kilobench.data.damage import lacking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def copies(digests: Sequence[str], names: Sequence[str], parts: Sequence[int]) -> list[str]:
    """The files whose contents occur in more than one part (fold, or training and test), as ``a = b``."""
    first: dict[str, int] = {}
    found = []
    for index, one in enumerate(digests):
        other = first.setdefault(one, index)
        if parts[other] != parts[index]:
            found.append(f"{names[other]} = {names[index]}")
    return found


def copied_from_test(
    digests: Sequence[str], test: Sequence[bool], names: Sequence[str]
) -> tuple[list[bool], tuple[str, ...]]:
    """Which inputs are training inputs whose contents also are a test input's, and a note that names them."""
    tested = {one for one, is_test in zip(digests, test, strict=True) if is_test}
    found = [not is_test and one in tested for one, is_test in zip(digests, test, strict=True)]
    who = [name for name, is_copy in zip(names, found, strict=True) if is_copy]
    some = ", ".join(who[:3]) + (", ..." if len(who) > 3 else "")
    return found, (f"{len(who)} training inputs left out that also are test inputs ({some})",) if who else ()


def require_classes(classes: Sequence[str], train_y: NDArray[np.int64], test_y: NDArray[np.int64]) -> None:
    """Raise UserError if partial data has left a class without training or test inputs."""
    for part, y in (("training", train_y), ("test", test_y)):
        left = set(y.tolist())
        if gone := [name for index, name in enumerate(classes) if index not in left]:
            raise UserError(f"no {part} inputs are left of {', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''}")


def audio_split(
    train: NDArray[np.float32],
    train_y: NDArray[np.int64],
    test: NDArray[np.float32],
    test_y: NDArray[np.int64],
    *,
    length: int,
    classes: tuple[str, ...],
    groups: NDArray[np.int64] | None,
    parts: Mapping[str, tuple[int, int]],
    notes: tuple[str, ...] = (),
    transcoded: int = 0,
) -> Split:
    """A split of clips [n, samples] that are longer than the input: each test clip's window is its loudest.

    ``parts`` are as for ``lacking``. Raises UserError if a class is left without training or test clips.
    """
    import numpy as np

    require_classes(classes, train_y, test_y)
    windows = np.stack([loudest(clip, length) for clip in test])
    partial, partial_notes = lacking(parts)
    train_x, test_x, clips = (array[:, None, None, :] for array in (train, windows, test))
    return Split(
        train_x,
        train_y,
        test_x,
        test_y,
        classes,
        digest([train_x, train_y, test_x, test_y]),
        (*partial_notes, *notes),
        clips,
        partial,
        groups,
        transcoded,
    )


def without_copies(
    x: NDArray[Any], y: NDArray[np.int64], test_x: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64], tuple[str, ...]]:
    """Training inputs and labels without those that also are test inputs (published sets have some), and a note of how many."""
    import numpy as np

    test = {hashlib.sha256(row.tobytes()).digest() for row in test_x}
    kept = np.array([hashlib.sha256(row.tobytes()).digest() not in test for row in x])
    if kept.all():
        return x, y, ()
    return x[kept], y[kept], (f"{int((~kept).sum())} training inputs left out that also are test inputs",)


def validation(split: Split, share: float, seed: int) -> Split:
    """The training part of a split, split again: about ``share`` of it, balanced over classes, as the new test part.

    For choosing parameters without a look at the test fold. Groups stay whole; of wide clips the loudest window is
    taken, as test parts do. Raises UserError if nothing is left on one side.
    """
    import numpy as np

    y = split.train_y
    taken = held_out(y, split.train_groups, len(split.classes), share, seed)
    width = split.test_x.shape[3]
    chosen = split.train_x[taken]
    wide = chosen.shape[3] > width
    return replace(
        split,
        train_x=split.train_x[~taken],
        train_y=y[~taken],
        test_x=np.apply_along_axis(loudest, 3, chosen, width) if wide else chosen,
        test_y=y[taken],
        digest=hashlib.sha256(f"{split.digest} {share} {seed}".encode()).hexdigest(),
        test_clips=chosen if wide else None,
        train_groups=None if split.train_groups is None else split.train_groups[~taken],
    )


def held_out(
    y: NDArray[np.int64], groups: NDArray[np.int64] | None, classes: int, share: float, seed: int
) -> NDArray[np.bool_]:
    """Which training inputs, with these classes and groups, make up about a share of them, balanced, in whole groups.

    Raises UserError if nothing is left on one side.
    """
    import numpy as np

    groups = np.arange(len(y)) if groups is None else groups
    wanted = share * np.bincount(y, minlength=classes).astype(np.float64)
    taken = np.zeros(len(y), dtype=np.bool_)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for index in np.random.default_rng(seed).permutation(len(members)):
        counts = np.bincount(y[members[index]], minlength=len(wanted))
        # Taken if the classes' shares get nearer to what is wanted: |w - c|^2 <= |w|^2.
        if (counts * (counts - 2 * wanted)).sum() <= 0:
            taken[members[index]] = True
            wanted -= counts
    if not taken.any() or taken.all():
        raise UserError(f"a validation share of {share:g} leaves nothing on one side: there are {len(members)} groups")
    return taken
