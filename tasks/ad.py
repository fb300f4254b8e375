# SPDX-License-Identifier: Apache-2.0
"""Anomaly detection: the toy cars of DCASE 2020, task 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
BANDS, FRAMES = 128, 5
"""Mel bands, and frames of one input."""
CLASSES = ("normal", "anomaly")
TRAIN, NORMAL, ANOMALY = (1000,) * 4, (350,) * 4, (264, 265, 265, 265)
"""Recordings of cars 1 to 4: to train with, all normal, and to test with."""
_POINTS, _HOP = 1024, 512
_MIDDLE = (50, 250)
"""Frames that are used, counted from one whose middle is the sound's first sample."""
_DECIBELS = 100.0
_FLOOR = 1e-10
"""The smallest energy of a band, at -100 dB; the rounding of samples to 16 bits alone is above it."""
_SOURCE = Source(
    "ToyCar",
    ("train/normal_id_01_00000000.wav", "test/anomaly_id_01_00000000.wav"),
    "CC BY-NC-SA 4.0",
    2_300_000_000,
    "https://zenodo.org/records/3678171",
    "https://zenodo.org/records/3678171/files/dev_data_ToyCar.zip",
    files=sum((*TRAIN, *NORMAL, *ANOMALY)),
)


class AnomalyDetection(Task):
    """Real sound: four toy cars, sound or damaged; networks learn to give back what sound ones sound like.

    An input is five frames of a mel spectrogram, as in MLPerf Tiny: 16 kHz, frames of 64 ms every 32 ms, 128 bands on Slaney's
    scale, energies in dB, here divided by 100. Of each recording the middle 200 frames are used; training draws windows of five
    frames at random, a test recording's score is the mean squared error over its 196 windows. Ranked by the area under the
    ROC curve over all test recordings.
    """

    name = "ad"
    reference = (
        "Koizumi et al., ToyADMOS, arXiv 1908.03299; DCASE 2020 task 2, arXiv 2006.05822; "
        "MLPerf Tiny, arXiv 2106.07597, section 4"
    )
    kind = "spectrogram"
    objective = "reconstruction"
    network = "autoencoder"
    training = Training(steps=40_000, lr=1e-3, batch=512, optimiser="adam", weight_decay=0.0, label_smoothing=0.0)
    source = _SOURCE

    @property
    def class_count(self) -> int:
        """Normal or not."""
        return len(CLASSES)

    @property
    def input_shape(self) -> Shape:
        """Mel bands of five frames, which lie one after the other on boards."""
        return BANDS, 1, FRAMES

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``ToyCar/train/normal_id_{car}_{number}.wav`` and ``test/{normal|anomaly}_id_{car}_{number}.wav``."""
        import numpy as np

        folder = data.fetched(_SOURCE, cache, progress)
        damage = data.Damage(folder.name, sum((*TRAIN, *NORMAL, *ANOMALY)), "recordings")
        names = _names(folder, damage)
        paths = {name: folder / name for name in names}
        digests = data.file_digests(list(paths.values()), cache, progress)
        length = BANDS * (_MIDDLE[1] - _MIDDLE[0])
        sounds, problems = data.decoded("ad", paths, digests, _prepare, length, cache, progress)
        is_test = np.array([name.startswith("test/") for name in names], dtype=np.bool_)
        damage.add("corrupt", filter(None, problems))
        damage.add("in training and test", data.copies(digests, names, is_test.tolist()))
        damage.check()
        good = np.array([not problem for problem in problems], dtype=np.bool_)
        labels = np.array([name.startswith("test/anomaly") for name in names], dtype=np.int64)
        train, test = np.flatnonzero(good & ~is_test), np.flatnonzero(good & is_test)
        data.require_classes(CLASSES[:1], labels[train], labels[train])
        data.require_classes(CLASSES, np.arange(len(CLASSES)), labels[test])
        found = {"training": (len(train), sum(TRAIN)), "test": (len(test), sum((*NORMAL, *ANOMALY)))}
        partial, notes = data.lacking({f"{part} recordings": counts for part, counts in found.items()})
        train_x, test_x = (data.rows(sounds, part).reshape(len(part), BANDS, 1, -1) for part in (train, test))
        identity = data.digest([train_x, labels[train], test_x, labels[test]])
        return Split(train_x, labels[train], test_x, labels[test], CLASSES, identity, notes, None, partial)


def _names(folder: Path, damage: data.Damage) -> list[str]:
    """Paths below the folder of all recordings that there are to be and that there are; reports others, and what is missing."""
    wanted = _numbered("train/normal", TRAIN) + _numbered("test/normal", NORMAL) + _numbered("test/anomaly", ANOMALY)
    found = {f"{part}/{path.name}" for part in ("train", "test") for path in data.sound_files(folder / part, "*.wav")}
    damage.add("missing", [name for name in wanted if name not in found])
    damage.add("mislabelled", sorted(name for name in found if name.startswith("train/anomaly")))
    damage.add("unexpected", sorted(name for name in found - set(wanted) if not name.startswith("train/anomaly")))
    return [name for name in wanted if name in found]


def _numbered(kind: str, counts: Sequence[int]) -> list[str]:
    return [f"{kind}_id_{car:02}_{i:08}.wav" for car, count in enumerate(counts, 1) for i in range(count)]


def _prepare(path: Path) -> NDArray[np.float32]:
    """The bands of all frames in hundreds of dB, one band after the other."""
    import numpy as np

    first, last = (frame * _HOP for frame in _MIDDLE)
    sound = data.decode(path, RATE)[first - _POINTS // 2 : last - _HOP + _POINTS // 2]
    if len(sound) < last - first - _HOP + _POINTS:
        raise UserError(f"{path.name} is shorter than {(last - _HOP + _POINTS // 2) / RATE:g} s")
    energies = data.magnitudes(sound, _POINTS, _HOP, _POINTS) ** 2 @ data.slaney_bands(BANDS, _POINTS, RATE)
    decibels = 10 * np.log10(np.maximum(energies, _FLOOR))
    return np.clip(decibels / _DECIBELS, -1, 1).astype(np.float32).T.reshape(-1)
