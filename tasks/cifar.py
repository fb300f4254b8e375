# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 and CIFAR-100: small colour photographs, from the publisher's binary version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contrib.tasks._study import STUDIED_IMAGES

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIXELS = 3 * 32 * 32
_SITE = "https://www.cs.toronto.edu/~kriz"
_REFERENCE = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, chapter 3"
_CHANGES = ("pixels p are (p - 128) / 128, exactly codes of int8, where they were p / 127.5 - 1",)
_TRAINING = Training(epochs=15, lr=1e-2, batch=100, label_smoothing=0.05, flip=True)
_SOURCE10 = Source(
    "cifar-10-batches-bin",
    ("test_batch.bin", "batches.meta.txt"),
    "none stated; cite the report",
    184_380_000,
    f"{_SITE}/cifar.html",
    f"{_SITE}/cifar-10-binary.tar.gz",
    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    files=8,
)
_SOURCE100 = Source(
    "cifar-100-binary",
    ("train.bin", "test.bin", "fine_label_names.txt"),
    "none stated; cite the report",
    184_440_000,
    f"{_SITE}/cifar.html",
    f"{_SITE}/cifar-100-binary.tar.gz",
    "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    files=5,
)
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class _Layout:
    """One binary version: records of label bytes, then 3 x 32 x 32 pixels (red, green, blue; rows from the top)."""

    files: tuple[str, ...]
    """Training files."""
    test: str
    names: str
    """Text file with the classes' names, one a line."""
    records: int
    """In each training file; the test file has 10 000."""
    label_bytes: int
    """Two: coarse, fine. One: just the label."""
    classes: int


class Cifar10(Task):
    """Photographs of 10 classes of animals and vehicles: 50 000 training and 10 000 test images, 32 x 32, in colour.

    Reads ``cifar-10-batches-bin/data_batch_1.bin`` to ``data_batch_5.bin``, ``test_batch.bin``, ``batches.meta.txt``.
    """

    name = "cifar10"
    reference = _REFERENCE
    changes = _CHANGES
    kind = "image"
    network = "resnet8"
    training = replace(_TRAINING, epochs=30)
    trainings = STUDIED_IMAGES
    source = _SOURCE10

    @property
    def class_count(self) -> int:
        """Ten."""
        return 10

    @property
    def input_shape(self) -> Shape:
        """Three colours, 32 x 32."""
        return 3, 32, 32

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """The official training and test parts, as (pixel - 128) / 128."""
        folder = data.fetched(_SOURCE10, cache, progress)
        files = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
        layout = _Layout(files, "test_batch.bin", "batches.meta.txt", 10_000, 1, 10)
        return _load(folder, layout, list(range(10)), _CIFAR10)


class Cifar100(Task):
    """Photographs of up to 100 classes: 500 training and 100 test images of each, 32 x 32, in colour.

    Reads ``cifar-100-binary/train.bin``, ``test.bin``, ``fine_label_names.txt``; fine labels are the classes. ``classes``
    is a multiple of ten: of every ten labels in the publisher's (alphabetical) order the first N/10.
    """

    name = "cifar100"
    reference = _REFERENCE
    changes = _CHANGES
    kind = "image"
    network = "resnet8"
    training = _TRAINING
    trainings = STUDIED_IMAGES
    classes: int = 100
    source = _SOURCE100

    @property
    def class_count(self) -> int:
        """As asked for, 10, 20, ... 100."""
        if self.classes not in range(10, 101, 10):
            raise UserError(f"cifar100: classes must be 10, 20, ... or 100, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """Three colours, 32 x 32."""
        return 3, 32, 32

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """The official training and test parts, the classes chosen first, as (pixel - 128) / 128."""
        folder = data.fetched(_SOURCE100, cache, progress)
        layout = _Layout(("train.bin",), "test.bin", "fine_label_names.txt", 50_000, 2, 100)
        return _load(folder, layout, [label for label in range(100) if label % 10 < self.class_count // 10], None)


def _load(folder: Path, layout: _Layout, chosen: list[int], expected_names: tuple[str, ...] | None) -> Split:
    import numpy as np

    names = _names(folder / layout.names, layout.classes, expected_names)
    train_count = layout.records * len(layout.files)
    damage = data.Damage(folder.name, train_count + 10_000, "images")
    known = {*layout.files, layout.test}
    damage.add("unexpected", sorted(path.name for path in folder.glob("*.bin") if path.name not in known))
    train = np.concatenate([_records(folder / name, layout.records, layout, damage) for name in layout.files])
    test = _records(folder / layout.test, 10_000, layout, damage)
    _check_labels(train, "training", train_count // layout.classes, names, layout, damage)
    _check_labels(test, "test", 10_000 // layout.classes, names, layout, damage)
    damage.check()
    (train_x, train_y), (test_x, test_y) = _select(train, layout, chosen), _select(test, layout, chosen)
    classes = tuple(names[label] for label in chosen)
    data.require_classes(classes, train_y, test_y)
    share = len(chosen) / layout.classes
    parts = {
        "training images": (len(train_y), round(train_count * share)),
        "test images": (len(test_y), round(10_000 * share)),
    }
    partial, notes = data.lacking(parts)
    train_x, train_y, copies = data.without_copies(train_x, train_y, test_x)
    x, scaled_test = _scaled(train_x), _scaled(test_x)
    identity = data.digest([x, train_y, scaled_test, test_y])
    return Split(x, train_y, scaled_test, test_y, classes, identity, (*notes, *copies), partial=partial)


def _names(path: Path, count: int, expected: tuple[str, ...] | None) -> list[str]:
    """The classes' names; they say that the files are what they should be."""
    names = data.text(path).split()
    if len(set(names)) != count or len(names) != count or (expected is not None and tuple(names) != expected):
        raise UserError(f"{path} does not name the {count} classes of {path.parent.name}")
    return names


def _records(path: Path, count: int, layout: _Layout, damage: data.Damage) -> NDArray[np.uint8]:
    """The whole records of a file of ``count``, no more than these, [n, label bytes + pixels]; none if it is not there."""
    import numpy as np

    size = layout.label_bytes + _PIXELS
    whole, rest = divmod(path.stat().st_size, size) if path.is_file() else (0, 0)
    if rest:
        damage.add("corrupt", [f"{path.name} ends within image {whole + 1}"], max(1, count - whole))
    elif whole < count:
        damage.add("missing", [f"{path.name} has {whole} of {count}"], count - whole)
    if whole > count:
        damage.add("unexpected", [f"{path.name} has {whole} of {count}"], whole - count)
    kept = min(whole, count)
    if not kept:
        return np.zeros((0, size), dtype=np.uint8)
    return np.fromfile(path, dtype=np.uint8, count=kept * size).reshape(kept, size)


def _check_labels(
    records: NDArray[np.uint8], part: str, count: int, names: list[str], layout: _Layout, damage: data.Damage
) -> None:
    """Every class has ``count`` images, or fewer if some are missing; fine labels lie within one coarse label."""
    import numpy as np

    labels = records[:, layout.label_bytes - 1].astype(np.int64)
    counts = np.bincount(labels, minlength=layout.classes)
    wrong = int(counts[layout.classes :].sum())
    if wrong:
        damage.add("mislabelled", [f"{part}: a label over {layout.classes - 1}"], wrong)
    for name, found in zip(names, counts.tolist(), strict=False):
        if found > count:
            damage.add("mislabelled", [f"{part}: {found} of {name}, not {count}"], found - count)
    if layout.label_bytes == 2:
        for label in range(layout.classes):
            coarse = np.bincount(records[labels == label, 0], minlength=1)
            odd = int(coarse.sum() - coarse.max())
            if odd:
                damage.add("mislabelled", [f"{part}: {names[label]} under another coarse label"], odd)


def _select(
    records: NDArray[np.uint8], layout: _Layout, chosen: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [n, 3072] and new labels of the chosen classes, in the files' order."""
    import numpy as np

    labels = records[:, layout.label_bytes - 1]
    kept = np.isin(labels, chosen)
    return records[kept, layout.label_bytes :], np.searchsorted(chosen, labels[kept]).astype(np.int64)


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, 3072] bytes p as float32 [n, 3, 32, 32]: (p - 128) / 128, exactly."""
    import numpy as np

    return np.asarray(pixels.reshape(-1, 3, 32, 32) / np.float32(128) - np.float32(1), dtype=np.float32)
