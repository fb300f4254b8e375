"""ESC-10: environmental sounds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Progress, Shape, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 20_000
LENGTH = 30_225
_CLIP = 5 * RATE
_URL = "https://github.com/karolpiczak/ESC-50/archive/master.zip"


class Esc10(Task):
    """Real sound: the 10 classes of ESC-10 (dog, rain, ...), 400 clips in the 5 official folds.

    20 kHz, one loudness. Training cuts random windows of 1.51 s from the clips (5 s, repeated without their silent ends);
    the test window, as deployed, is the loudest of each clip.
    """

    name = "esc10"
    reference = "Piczak, ESC: Dataset for Environmental Sound Classification, doi:10.1145/2733373.2806390, CC BY-NC 3.0"
    kind = "audio"
    network = "acdnet"
    folds = 5
    sample_rate = RATE
    training = Training(epochs=120)

    @property
    def class_count(self) -> int:
        """Ten."""
        return 10

    @property
    def input_shape(self) -> Shape:
        """1.51 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``$KILOBENCH_DATA/ESC-50-master`` or the publisher; any sound format that libsndfile reads."""
        import numpy as np

        folder = data.fetched("ESC-50-master", _URL, cache, progress)
        rows = _rows(folder)
        key = data.digest([np.frombuffer(_fingerprint(folder, rows), dtype=np.uint8)])[:12]
        arrays = data.cached_arrays(cache, f"esc10-{key}", lambda: _decode(folder, rows, progress))
        test = np.array([int(row["fold"]) == fold + 1 for row in rows])
        targets = sorted({int(row["target"]) for row in rows})
        labels = np.array([targets.index(int(row["target"])) for row in rows], dtype=np.int64)
        names = {int(row["target"]): row["category"] for row in rows}
        clips = arrays["clips"][:, None, None, :]
        train_x, test_x = clips[~test], arrays["windows"][test][:, None, None, :]
        digest = data.digest([train_x, labels[~test], test_x, labels[test]])
        classes = tuple(names[target] for target in targets)
        return Split(train_x, labels[~test], test_x, labels[test], classes, digest)


def _rows(folder: Path) -> list[dict[str, str]]:
    """The ESC-10 rows of the published table, in its order; every class must have 8 clips in every fold."""
    table = folder / "meta" / "esc50.csv"
    try:
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["esc10"] == "True"]
    except (OSError, KeyError) as error:
        raise UserError(f"esc10: {table} cannot be read: {error}") from None
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row["category"], row["fold"]] = counts.get((row["category"], row["fold"]), 0) + 1
    wrong = [f"{category} fold {fold} has {n}" for (category, fold), n in counts.items() if n != 8]
    if len(counts) != 50 or wrong:
        raise UserError(
            f"esc10: {table} needs 8 clips for each of 10 classes in 5 folds; {'; '.join(wrong[:3]) or len(counts)}"
        )
    return rows


def _paths(folder: Path, rows: list[dict[str, str]]) -> list[Path]:
    """The file of every row: the published name's stem with any extension."""
    found = {path.stem: path for path in sorted((folder / "audio").glob("*.*"))}
    stems = [Path(row["filename"]).stem for row in rows]
    data.check_files(folder / "audio", set(stems), set(stems) & set(found))
    return [found[stem] for stem in stems]


def _fingerprint(folder: Path, rows: list[dict[str, str]]) -> bytes:
    """Names and sizes of the files: enough to notice that they changed."""
    return "".join(f"{path.name} {path.stat().st_size}\n" for path in _paths(folder, rows)).encode()


def _decode(folder: Path, rows: list[dict[str, str]], progress: Progress) -> dict[str, NDArray[np.generic]]:
    import numpy as np

    clips, windows = [], []
    for done, path in enumerate(_paths(folder, rows)):
        sound = data.decode(path, RATE)
        heard = np.flatnonzero(sound)
        if not len(heard):
            raise UserError(f"esc10: {path.name} is silent throughout")
        sound = sound[heard[0] : heard[-1] + 1]
        clip = data.normalise(np.tile(sound, -(-_CLIP // len(sound)))[:_CLIP])
        energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
        start = int(np.argmax(energy[LENGTH:] - energy[:-LENGTH]))
        clips.append(clip)
        windows.append(clip[start : start + LENGTH])
        progress("decoding", done + 1, len(rows))
    return {"clips": np.stack(clips), "windows": np.stack(windows)}
