# SPDX-License-Identifier: Apache-2.0
"""Visual Wake Words: whether there is a person in a photograph."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Progress, Shape, Source, Split, Task, Training, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 96
CLASSES = ("non_person", "person")
"""Folders, in the order of vww01."""
_TEST_SHARE = 10
"""One in so many is for testing."""
_SOURCE = Source(
    "vw_coco2014_96",
    ("person", "non_person"),
    "photographs of COCO: each its own (Flickr)",
    500_000_000,
    "https://github.com/mlcommons/tiny/tree/master/benchmark/training/visual_wake_words",
    files=120_000,
)


class Vww(Task):
    """Visual wake words as in MLPerf Tiny: photographs of COCO 2014 with and without a person, 96 x 96, in colour.

    The layout: JPEG files of exactly 96 x 96 pixels in ``vw_coco2014_96/person`` and ``vw_coco2014_96/non_person``; any other
    size is damage, and what is grey is read as three equal colours. No checksum, file list or count is published:
    completeness cannot be verified, and there is no download; import it.

    There is no official test part: a tenth is for testing, chosen by the SHA-256 of the file's name, where the reference
    validates on the first tenth of every folder. The benchmark's own files, vww01, are of COCO val2017, whose photographs are in
    COCO 2014 too: a model that was trained here may have seen them.
    """

    name = "vww"
    reference = (
        "Chowdhery et al., Visual Wake Words Dataset, arXiv 1906.05721; Banbury et al., arXiv 2106.07597, section 4.1"
    )
    kind = "image"
    network = "mobilenet_v1[width=0.25]"
    source = _SOURCE

    @property
    def training(self) -> Training:
        """The reference's epochs, batch, optimiser, first rate and L2 penalty (1e-4 w^2: a decay of 2e-4); not tuned here.

        Its rate falls to a half and to a quarter, after 20 and 30 of the 50 epochs; here by a cosine. It turns and scales the
        photographs too.
        """
        return Training(epochs=50, lr=1e-3, batch=32, optimiser="adam", weight_decay=2e-4, label_smoothing=0, flip=True)

    @property
    def class_count(self) -> int:
        """Two."""
        return len(CLASSES)

    @property
    def input_shape(self) -> Shape:
        """Three colours, 96 x 96."""
        return 3, SIDE, SIDE

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """Pixels p as (p - 128) / 128; training photographs whose file also is a test photograph are left out, and noted."""
        import numpy as np

        folder = data.fetched(_SOURCE, cache, progress)
        found = [path for name in CLASSES for path in _photographs(folder / name)]
        found.sort(key=lambda path: (_is_test(path), path.parent.name, path.name))
        damage = data.Damage(folder.name, len(found), "photographs")
        _check(folder, found, damage)
        digests = data.file_digests(found, cache, progress)
        copied, notes = data.copied_from_test(
            digests, [_is_test(path) for path in found], [path.name for path in found]
        )
        kept = {f"{path.parent.name}/{path.name}": path for path, copy in zip(found, copied, strict=True) if not copy}
        keys = [digest for digest, copy in zip(digests, copied, strict=True) if not copy]
        made, problems = data.decoded("vww", kept, keys, _prepare, 3 * SIDE * SIDE, cache, progress)
        damage.add("corrupt", filter(None, problems))
        damage.check()
        good = np.array([not problem for problem in problems], dtype=np.bool_)
        is_test = np.array([_is_test(path) for path in kept.values()], dtype=np.bool_)
        labels = np.array([CLASSES.index(path.parent.name) for path in kept.values()], dtype=np.int64)
        train, test = np.flatnonzero(good & ~is_test), np.flatnonzero(good & is_test)
        data.require_classes(CLASSES, labels[train], labels[test])
        train_x, test_x = (data.rows(made, part).reshape(-1, *self.input_shape) for part in (train, test))
        identity = data.digest([train_x, labels[train], test_x, labels[test]])
        partial, partial_notes = data.lacking({"photographs": (int(good.sum()), len(kept))})
        return Split(
            train_x,
            labels[train],
            test_x,
            labels[test],
            CLASSES,
            identity,
            (*partial_notes, *notes),
            partial=partial,
        )


def _photographs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jpg") if not path.name.startswith(".") and path.is_file())


def _is_test(path: Path) -> bool:
    """The same for a name wherever it is, so that a photograph never is in both parts."""
    return int(hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest(), 16) % _TEST_SHARE == 0


def _check(folder: Path, found: list[Path], damage: data.Damage) -> None:
    """Reports a class without photographs, other folders and files, and photographs of both classes."""
    places = {name: {path.name for path in found if path.parent.name == name} for name in CLASSES}
    damage.add("missing", [f"{name}/" for name in CLASSES if not places[name]])
    there = [path for path in folder.iterdir() if not path.name.startswith(".")]
    damage.add("unexpected", sorted(f"{path.name}/" for path in there if path.is_dir() and path.name not in CLASSES))
    inside = [path for name in CLASSES for path in (folder / name).glob("*") if not path.name.startswith(".")]
    damage.add("unexpected", sorted(f"{path.parent.name}/{path.name}" for path in {*inside} - {*found}))
    damage.add("mislabelled", sorted(f"{name} is in both folders" for name in places["person"] & places["non_person"]))


def _prepare(path: Path) -> NDArray[np.float32]:
    """Pixels p, [3 * SIDE * SIDE], as (p - 128) / 128: exactly codes of int8."""
    import numpy as np

    return np.asarray(data.picture(path, SIDE, SIDE).reshape(-1) / np.float32(128) - np.float32(1), dtype=np.float32)
