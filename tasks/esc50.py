# SPDX-License-Identifier: Apache-2.0
"""ESC-10 and ESC-50: environmental sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contrib.tasks._study import studied_sound

from kilobench.api import Frontend, Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 20_000
LENGTH = 30_225
_CLIP = 5 * RATE
_PUBLISHED = "WAV PCM_16 44100 Hz"
_FOLDS = 5
_TARGETS = 50
_PER_FOLD = 8
"""Clips of every class in every fold."""
_SOURCE = Source(
    "ESC-50-master",
    ("meta/esc50.csv", "audio"),
    "CC BY-NC 3.0 (the clips of ESC-10: CC BY 3.0)",
    882_000_000,
    "https://github.com/karolpiczak/ESC-50",
    "https://github.com/karolpiczak/ESC-50/archive/master.zip",
    files=2_020,
)
_ESC10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)
_STUDY = (
    *(0, 10, 11, 20, 38, 21, 40, 41, 1, 12),
    *(5, 31, 18, 27, 48, 8, 15, 45, 25, 34),
    *(3, 14, 23, 36, 43, 7, 22, 28, 30, 49),
    *(6, 9, 16, 17, 24, 29, 32, 35, 37, 44),
)
"""The classes (targets of the published table) of the study's subsets: the first 10, 20, 30 or 40 of these."""
_REST = tuple(target for target in range(_TARGETS) if target not in _STUDY)


class _Esc(Task):
    """What both have in common."""

    kind = "audio"
    network = "acdnet[channels=paper]"
    folds = _FOLDS
    sample_rate = RATE
    training = Training(epochs=100, stretch=1.25, tilt=0.9, mix=0.5)
    trainings = studied_sound(epochs=2000)
    source = _SOURCE

    @property
    def targets(self) -> tuple[int, ...]:
        """The table's numbers of the classes, in the order of class indices."""
        raise NotImplementedError

    @property
    def class_count(self) -> int:
        """Of the targets."""
        return len(self.targets)

    @property
    def input_shape(self) -> Shape:
        """1.51 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``ESC-50-master/meta/esc50.csv`` and ``audio/*``, WAV, AIFF, AU, FLAC or Ogg."""
        return _load(data.fetched(_SOURCE, cache, progress), self.targets, fold, cache, progress)


class Esc10(_Esc):
    """Real sound: the 10 classes of ESC-10 (dog, rain, ...), 400 clips in the 5 official folds.

    20 kHz, one loudness. Training cuts random windows of 1.51 s from the clips (5 s, repeated without their silent ends);
    the test window, as deployed, is the loudest of each clip.
    """

    name = "esc10"
    reference = "Piczak, ESC: Dataset for Environmental Sound Classification, doi:10.1145/2733373.2806390"

    @property
    def targets(self) -> tuple[int, ...]:
        """Those of ESC-10, in the table's order."""
        return _ESC10


class Esc10Logmel(Esc10):
    """Real sound: esc10 as spectrograms, which boards make of its samples: 58 frames of 40 mel bands.

    The same clips, windows and variations as esc10, by a front end in integers: frames of 51.2 ms every 25.6 ms, bands from
    50 to 10 000 Hz, 0.35 dB a code.
    """

    name = "esc10-logmel"
    network = "ds_cnn"
    frontend = Frontend(rate=RATE, frame=1024, hop=512, bands=40, points=1024, hertz=(50, 10_000))


class Esc50(_Esc):
    """Real sound: 50 classes of environmental sound, 40 clips of each in the 5 official folds.

    Prepared as esc10. ``classes``: 50, or 10, 20, 30 or 40, the subsets of the study of pruning and XNOR-Net
    (arXiv 2108.06128); the 10 are those of ESC-10. Classes are selected first, so that no other class is ever heard.
    """

    name = "esc50"
    reference = "Piczak, ESC: Dataset for Environmental Sound Classification, doi:10.1145/2733373.2806390"
    classes: int = 50

    @property
    def targets(self) -> tuple[int, ...]:
        """The first N classes of the study's order."""
        if self.classes not in (10, 20, 30, 40, 50):
            raise UserError(f"esc50: classes must be 10, 20, 30, 40 or 50, not {self.classes}")
        return (*_STUDY, *_REST)[: self.classes]


class _Clip:
    """A row of the table: ``{fold}-{source recording}-{take}-{target}.wav`` names the file."""

    def __init__(self, row: dict[str, str], table: Path) -> None:
        try:
            self.stem = Path(row["filename"]).stem
            self.fold, self.target, self.category = data.whole(row["fold"]), data.whole(row["target"]), row["category"]
            fold, source, _, target = self.stem.split("-")
            self.named_fold, self.source, self.named_target = map(data.whole, (fold, source, target))
            known = 1 <= self.fold <= _FOLDS and self.target < _TARGETS
        except ValueError:
            known = False
        if not known:
            raise UserError(f"{table}: {row['filename'][:60]!r} is not a row of ESC-50's table")


def _clips(folder: Path, targets: tuple[int, ...], damage: data.Damage) -> list[tuple[_Clip, Path]]:
    """The rows of these classes, in the table's order, that have a file; reports all that is wrong with them."""
    table = folder / "meta" / "esc50.csv"
    every = [_Clip(row, table) for row in data.table(table, ("filename", "fold", "target", "category"))]
    clips = [clip for clip in every if clip.target in targets]
    damage.add("in the wrong fold", [clip.stem for clip in clips if clip.fold != clip.named_fold])
    damage.add("mislabelled", [clip.stem for clip in every if clip.target != clip.named_target])
    names = {target: {clip.category for clip in every if clip.named_target == target} for target in range(_TARGETS)}
    damage.add(
        "mislabelled", [f"table: {len(some)} names of class {key}" for key, some in names.items() if len(some) > 1]
    )
    for target in targets:
        for fold in range(1, _FOLDS + 1):
            rows = sum(clip.named_target == target and clip.named_fold == fold for clip in clips)
            where = f"table: {rows} of {_PER_FOLD} of class {target} in fold {fold}"
            if rows != _PER_FOLD:
                damage.add("missing" if rows < _PER_FOLD else "unexpected", [where], abs(_PER_FOLD - rows))
    files: dict[str, Path] = {}
    stems = {clip.stem for clip in every}
    for path in data.sound_files(folder / "audio", "*.*"):
        damage.add("unexpected", [path.name] if path.stem in files or path.stem not in stems else [])
        files.setdefault(path.stem, path)
    damage.add("missing", [clip.stem for clip in clips if clip.stem not in files])
    return list({clip.stem: (clip, files[clip.stem]) for clip in clips if clip.stem in files}.values())


def _load(folder: Path, targets: tuple[int, ...], fold: int, cache: Path, progress: Progress) -> Split:
    import numpy as np

    damage = data.Damage(folder.name, len(targets) * _FOLDS * _PER_FOLD)
    found = _clips(folder, targets, damage)
    digests = data.file_digests([path for _, path in found], cache, progress)
    names = [path.name for _, path in found]
    damage.add("in training and test", data.copies(digests, names, [clip.fold for clip, _ in found]))
    sounds: dict[int, NDArray[np.float32]] = {}
    for target in targets:  # class by class, so that all subsets share what was decoded
        rows = [index for index, (clip, _) in enumerate(found) if clip.target == target]
        paths = {names[index]: found[index][1] for index in rows}
        chosen = [digests[index] for index in rows]
        clips, problems = data.decoded(f"esc50-{target}", paths, chosen, _prepare, _CLIP, cache, progress)
        damage.add("corrupt", filter(None, problems))
        sounds |= {index: clip for index, clip, problem in zip(rows, clips, problems, strict=True) if not problem}
    damage.check()
    train = [index for index in sorted(sounds) if found[index][0].fold != fold + 1]
    test = [index for index in sorted(sounds) if found[index][0].fold == fold + 1]
    category = {clip.target: clip.category for clip, _ in found}
    classes = tuple(category.get(target, f"class {target}") for target in targets)
    label = {index: targets.index(found[index][0].target) for index in sounds}
    train_y, test_y = (np.array([label[index] for index in part], dtype=np.int64) for part in (train, test))
    data.require_classes(classes, train_y, test_y)
    copies, notes = data.transcoded([found[index][1] for index in sorted(sounds)], _PUBLISHED)
    return data.audio_split(
        np.stack([sounds[index] for index in train]),
        train_y,
        np.stack([sounds[index] for index in test]),
        test_y,
        length=LENGTH,
        classes=classes,
        groups=np.array([found[index][0].source for index in train], dtype=np.int64),
        parts={"clips": (len(sounds), len(targets) * _FOLDS * _PER_FOLD)},
        notes=notes,
        transcoded=copies,
    )


def _prepare(path: Path) -> NDArray[np.float32]:
    """5 s at one loudness: the clip without its silent ends, repeated."""
    return data.normalise(data.repeated(data.decode(path, RATE), _CLIP))
