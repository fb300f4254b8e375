# SPDX-License-Identifier: Apache-2.0
"""AudioEvent: the acoustic event data set of Takahashi et al."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contrib.tasks._study import studied_sound

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
LENGTH = 51_215
SUBSETS = {
    10: (0, 2, 5, 9, 11, 12, 17, 21, 25, 26),
    20: (0, 1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15, 17, 19, 20, 21, 23, 25, 26, 27),
    28: tuple(range(28)),
}
"""Those of the study (arXiv 2108.06128), by their places among all classes in alphabetical order."""
ALL = len(SUBSETS[28])
"""Classes of the data set."""
_CLIP = 5 * RATE
_SOURCE = Source(
    "AudioEventDataset",
    (),
    "not stated; cite the paper",
    1_500_000_000,
    "https://data.vision.ee.ethz.ch/cvl/ae_dataset/",
    files=6_000,
)


class AudioEvent(Task):
    """Real sound: up to 28 classes of sound events (acoustic guitar, airplane, ...), the official training and test part.

    16 kHz, one loudness, 5 s: shorter clips are repeated, without their silent ends; of longer ones the loudest 5 s are
    used. Training cuts random windows of 3.2 s, the test window is the loudest of each clip. ``classes``: 28, or 10 or 20,
    the subsets of the study of pruning and XNOR-Net (arXiv 2108.06128), as are rate and window.

    The layout: WAV files named ``{class}_{number}.wav`` in ``AudioEventDataset/train`` and ``AudioEventDataset/test``, in
    folders named by class or not in folders. No checksum, file list or count is published: completeness cannot be
    verified beyond 28 classes in both parts, and there is no download; import it.
    """

    name = "audioevent"
    reference = "Takahashi et al., Deep Convolutional Neural Networks and Data Augmentation for AED, arXiv 1604.07160"
    changes = (
        "16 kHz and windows of 51 215 samples, where it had 20 kHz and 30 225, and the study's subsets of 10 and 20",
    )
    kind = "audio"
    network = "acdnet[channels=paper]"
    sample_rate = RATE
    training = Training(epochs=60, stretch=1.25, tilt=0.9, mix=0.5)
    trainings = studied_sound(epochs=1500)
    source = _SOURCE
    classes: int = ALL

    @property
    def class_count(self) -> int:
        """As asked for, 10, 20 or 28."""
        if self.classes not in SUBSETS:
            raise UserError(f"audioevent: classes must be 10, 20 or {ALL}, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """3.2 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """Training clips whose file also is a test clip are left out, and noted."""
        import numpy as np

        folder = data.fetched(_SOURCE, cache, progress)
        found = [(part, path) for part in ("train", "test") for path in data.sound_files(folder / part, "**/*.wav")]
        damage = data.Damage(folder.name, len(found))
        every, count = _check(folder, found, damage), self.class_count
        names = [every[index] for index in SUBSETS[count]]
        found = [(part, path) for part, path in found if _class(path) in names]
        items = {str(path.relative_to(folder)): path for _, path in found}
        digests = data.file_digests(list(items.values()), cache, progress)
        clips, problems = data.decoded(f"audioevent-{self.classes}", items, digests, _prepare, _CLIP, cache, progress)
        damage.add("corrupt", filter(None, problems))
        damage.check()
        is_test = np.array([part == "test" for part, _ in found], dtype=np.bool_)
        copied, notes = data.copied_from_test(digests, is_test.tolist(), list(items))
        good = np.array([not problem for problem in problems], dtype=np.bool_)
        labels = np.array([names.index(_class(path)) for _, path in found], dtype=np.int64)
        train, test = (
            np.flatnonzero(good & ~is_test & ~np.array(copied, dtype=np.bool_)),
            np.flatnonzero(good & is_test),
        )
        return data.audio_split(
            data.rows(clips, train),
            labels[train],
            data.rows(clips, test),
            labels[test],
            length=LENGTH,
            classes=tuple(names),
            groups=None,
            parts={"clips": (int(good.sum()), len(found))},
            notes=notes,
        )


def _class(path: Path) -> str:
    """The class that a file's name says, or an empty string if it says none."""
    match = re.fullmatch(r"(.+?)_?\d+", path.stem)
    return match[1] if match else ""


def _check(folder: Path, found: list[tuple[str, Path]], damage: data.Damage) -> list[str]:
    """The 28 classes' names in alphabetical order; files must be named by class, and as their folder is."""
    classes = {
        part: sorted({_class(path) for where, path in found if where == part} - {""}) for part in ("train", "test")
    }
    for part, names in classes.items():
        if len(names) != ALL:
            raise UserError(f"{folder / part} has files of {len(names)} classes, not of {ALL}")
    if odd := sorted(set(classes["train"]) ^ set(classes["test"])):
        raise UserError(f"{folder}: only one of train/ and test/ has {', '.join(odd[:3])}")
    damage.add("unexpected", [str(path.relative_to(folder)) for _, path in found if not _class(path)])
    for part, path in found:
        if _class(path) and path.parent != folder / part and path.parent.name != _class(path):
            damage.add("mislabelled", [str(path.relative_to(folder))])
    return classes["train"]


def _prepare(path: Path) -> NDArray[np.float32]:
    """5 s at one loudness."""
    return data.normalise(data.repeated(data.decode(path, RATE), _CLIP))
