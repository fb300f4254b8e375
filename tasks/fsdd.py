# SPDX-License-Identifier: Apache-2.0
"""Free Spoken Digit Dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEAKERS = ("jackson", "george", "lucas", "nicolas", "theo", "yweweler")
"""The test speaker of each fold."""
RATE = 8000
LENGTH = 6400
_TAKES = 50
_SOURCE = Source(
    "free-spoken-digit-dataset",
    ("recordings/0_george_0.wav",),
    "CC BY-SA 4.0",
    26_000_000,
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
    files=3_050,
)
_CONTENT = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"
"""SHA-256 over lines of name and SHA-256 of all 3 000 recordings of release v1.0.10 in the order of their names."""


class Fsdd(Task):
    """Real speech: single digits of the Free Spoken Digit Dataset; every fold tests on a speaker not heard in training.

    0.8 s at 8 kHz, one loudness; 250 training and 50 test clips per class and fold. ``classes``: the digits 0 to N - 1.
    """

    name = "fsdd"
    reference = "Jackson et al., Free Spoken Digit Dataset v1.0.10, doi:10.5281/zenodo.1342401, CC BY-SA 4.0"
    kind = "audio"
    network = "acdnet"
    folds = len(SPEAKERS)
    sample_rate = RATE
    changes = (
        "sounds are not stretched in training: chosen anew inside the training part of every fold (docs/training.md)",
    )
    training = Training(epochs=20, tilt=0.9)
    source = _SOURCE
    classes: int = 10

    @property
    def class_count(self) -> int:
        """As asked for, 2 to 10."""
        if not 2 <= self.classes <= 10:
            raise UserError(f"fsdd: classes must be from 2 to 10, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """0.8 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``free-spoken-digit-dataset/recordings/{digit}_{speaker}_{take}.wav``, verified against pinned contents."""
        import numpy as np

        clips, names = _clips(cache, progress)
        digits, speakers = (np.array([part(name) for name in names], dtype=np.int64) for part in (_digit, _speaker))
        chosen = digits < self.class_count
        train, test = chosen & (speakers != fold), chosen & (speakers == fold)
        train_x, test_x = clips[train][:, None, None, :], clips[test][:, None, None, :]
        identity = data.digest([train_x, digits[train], test_x, digits[test]])
        classes = tuple(str(digit) for digit in range(self.class_count))
        data.require_classes(classes, digits[train], digits[test])
        expected = self.class_count * len(SPEAKERS) * _TAKES
        partial, notes = data.lacking({"clips": (int(chosen.sum()), expected)})
        return Split(
            train_x,
            digits[train],
            test_x,
            digits[test],
            classes,
            identity,
            notes,
            partial=partial,
            train_groups=speakers[train],
        )


def _digit(name: str) -> int:
    return int(name.split("_")[0])


def _speaker(name: str) -> int:
    return SPEAKERS.index(name.split("_")[1])


def _clips(cache: Path, progress: Progress) -> tuple[NDArray[np.float32], list[str]]:
    """All usable clips, [n, LENGTH], and their files' names; the same order as names sort."""
    folder = data.fetched(_SOURCE, cache, progress) / "recordings"
    expected = {f"{d}_{s}_{i}.wav" for d in range(10) for s in SPEAKERS for i in range(_TAKES)}
    found = {path.name for path in data.sound_files(folder)}
    damage = data.Damage(folder.parent.name, len(expected))
    damage.add("missing", sorted(expected - found))
    damage.add("unexpected", sorted(found - expected))
    names = sorted(expected & found)
    paths = {name: folder / name for name in names}
    digests = data.file_digests(list(paths.values()), cache, progress)
    damage.add("in training and test", data.copies(digests, names, [_speaker(name) for name in names]))
    clips, problems = data.decoded("fsdd", paths, digests, _prepare, LENGTH, cache, progress)
    damage.add("corrupt", filter(None, problems))
    damage.check()
    good = [index for index, problem in enumerate(problems) if not problem]
    if len(good) == len(expected):
        lines = "".join(f"{name} {digest}\n" for name, digest in zip(names, digests, strict=True))
        if (content := hashlib.sha256(lines.encode()).hexdigest()) != _CONTENT:
            raise UserError(f"{folder} differs from release v1.0.10 (SHA-256 {content}, not {_CONTENT})")
        return clips, names
    return clips[good], [names[index] for index in good]


def _prepare(path: Path) -> NDArray[np.float32]:
    """The first 0.8 s, padded at the end, at one loudness."""
    return data.normalise(data.window(data.decode(path, RATE), LENGTH))
