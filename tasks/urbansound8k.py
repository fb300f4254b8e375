# SPDX-License-Identifier: Apache-2.0
"""UrbanSound8K: sounds of the city."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contrib.tasks._study import studied_sound

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 20_000
LENGTH = 30_225
CLASSES = (
    *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
    *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
)
"""By classID."""
PER_FOLD = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)
"""Clips of folds 1 to 10."""
_CLIP = 4 * RATE
_SOURCE = Source(
    "UrbanSound8K",
    ("metadata/UrbanSound8K.csv", "audio"),
    "CC BY-NC 3.0",
    7_000_000_000,
    "https://urbansounddataset.weebly.com/urbansound8k.html",
    "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
    "md5:9aa69802bbf37fb986f71ec1483a196e",
    files=8_800,
)


class UrbanSound8K(Task):
    """Real sound: 10 classes of city sound (dog bark, siren, ...), 8 732 clips in the 10 official folds.

    20 kHz, one loudness. Clips last up to 4 s; shorter ones are repeated, without their silent ends. Training cuts random
    windows of 1.51 s, the test window is the loudest of each clip. Folds must never be shuffled: slices of one recording
    are in one fold.
    """

    name = "urbansound8k"
    reference = "Salamon et al., A Dataset and Taxonomy for Urban Sound Research, doi:10.1145/2647868.2655045"
    kind = "audio"
    network = "acdnet[channels=paper]"
    folds = len(PER_FOLD)
    sample_rate = RATE
    training = Training(epochs=30, stretch=1.25, tilt=0.9, mix=0.5)
    trainings = studied_sound(epochs=1200)
    source = _SOURCE

    @property
    def class_count(self) -> int:
        """Ten."""
        return len(CLASSES)

    @property
    def input_shape(self) -> Shape:
        """1.51 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``UrbanSound8K/metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``fold10``.

        Training clips whose file also is in the test fold are left out, and noted.
        """
        import numpy as np

        folder = data.fetched(_SOURCE, cache, progress)
        damage = data.Damage(folder.name, sum(PER_FOLD))
        rows = _rows(folder, damage)
        names = [row.name for row in rows]
        paths = {row.name: folder / "audio" / f"fold{row.fold}" / row.name for row in rows}
        digests = data.file_digests(list(paths.values()), cache, progress)
        clips, problems = data.decoded("urbansound8k", paths, digests, _prepare, _CLIP, cache, progress, twice=True)
        damage.add("corrupt", filter(None, problems))
        damage.check()
        is_test = np.array([row.fold == fold + 1 for row in rows], dtype=np.bool_)
        copied, notes = data.copied_from_test(digests, is_test.tolist(), names)
        good = np.array([not problem for problem in problems], dtype=np.bool_)
        labels = np.array([row.label for row in rows], dtype=np.int64)
        test = np.flatnonzero(is_test & good)
        # Rows are sorted by fold and there twice: all folds but one are those from its end to its beginning.
        end = int(np.flatnonzero(is_test)[-1]) + 1 if is_test.any() else 0
        train = np.arange(end, end + int((~is_test).sum()))
        train = train[(good & ~np.array(copied, dtype=np.bool_))[train % len(rows)]]
        return data.audio_split(
            data.rows(clips, train),
            labels[train % len(rows)],
            data.rows(clips, test),
            labels[test],
            length=LENGTH,
            classes=CLASSES,
            groups=np.array([row.source for row in rows], dtype=np.int64)[train % len(rows)],
            parts={"clips": (int(good.sum()), sum(PER_FOLD))},
            notes=notes,
        )


class _Row:
    """A row of the table: ``{recording}-{class}-{occurrence}-{slice}.wav`` names the file."""

    def __init__(self, row: dict[str, str], table: Path) -> None:
        self.name = row["slice_file_name"]
        try:
            self.fold, self.label = data.whole(row["fold"]), data.whole(row["classID"])
            source, label, _, _ = Path(self.name).stem.split("-")
            self.source = data.whole(source)
            named = data.whole(label), CLASSES[self.label], data.whole(row["fsID"])
            known = 1 <= self.fold <= len(PER_FOLD)
        except (ValueError, IndexError):
            known = False
        if not known:
            raise UserError(f"{table}: {self.name[:60]!r} is not a row of UrbanSound8K's table")
        self.mislabelled = named != (self.label, row["class"], self.source)


def _rows(folder: Path, damage: data.Damage) -> list[_Row]:
    """The rows that have a file, sorted by fold; reports all that is wrong with table and files."""
    table = folder / "metadata" / "UrbanSound8K.csv"
    read = data.table(table, ("slice_file_name", "fsID", "fold", "classID", "class"))
    rows = sorted((_Row(row, table) for row in read), key=lambda row: row.fold)
    places = {path.name: path.parent.name for path in data.sound_files(folder / "audio", "fold*/*.wav")}
    damage.add("mislabelled", [row.name for row in rows if row.mislabelled])
    damage.add(
        "in the wrong fold", [row.name for row in rows if places.get(row.name, f"fold{row.fold}") != f"fold{row.fold}"]
    )
    damage.add("missing", [row.name for row in rows if row.name not in places])
    damage.add("unexpected", sorted(set(places) - {row.name for row in rows}))
    if len(rows) < sum(PER_FOLD):
        damage.add("missing", [f"table: {len(rows)} of {sum(PER_FOLD)} rows"], sum(PER_FOLD) - len(rows))
    for index, expected in enumerate(PER_FOLD, start=1):
        found = sum(row.fold == index for row in rows)
        if found > expected:
            damage.add("in the wrong fold", [f"table: {found} of {expected} rows of fold {index}"], found - expected)
    by_name = {row.name: row for row in rows}
    if len(by_name) < len(rows):
        damage.add("unexpected", [f"table: {len(rows) - len(by_name)} rows of files that have one already"])
    return [row for row in by_name.values() if places.get(row.name) == f"fold{row.fold}"]


def _prepare(path: Path) -> NDArray[np.float32]:
    """4 s at one loudness: the clip without its silent ends, repeated."""
    return data.normalise(data.repeated(data.decode(path, RATE), _CLIP))
