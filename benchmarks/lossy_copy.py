# SPDX-License-Identifier: Apache-2.0
"""What published models make of test clips that are a lossy copy, Ogg Vorbis at quality 6, of lossless ones.

For tasks of ESC-50 whose clips are all lossless here, those of 10 classes: where the other forty are such a copy, as in more
classes, a recipe may lose more by it than another. Models are as trained, on lossless clips.

    python -m benchmarks.lossy_copy 'esc50[classes=10]' 64KiB steps=1280
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from kilobench.contracts import Split, Task, UserError, silent
from kilobench.data.loading import load
from kilobench.data.sources import present
from kilobench.measuring.evaluate import evaluate, load_model_file
from kilobench.paths import cache_dir
from kilobench.plugins.registry import load_registry
from kilobench.record import Accuracy, Record, correctness
from kilobench.results.packed import unpacked
from kilobench.results.store import Store

QUALITY = 0.6
"""Of Ogg Vorbis, as libsndfile counts it: quality 6 of 10."""


def copied(source: Path, target: Path) -> None:
    """Write a lossy copy of the FLAC and WAV clips of a folder of ESC-50; others, which are lossy already, are left out."""
    (target / "audio").mkdir(parents=True)
    (target / "meta").symlink_to(source.resolve() / "meta")
    for clip in (path for path in sorted(source.glob("audio/*")) if path.suffix in (".flac", ".wav")):
        sound, rate = soundfile.read(clip)
        path = target / "audio" / f"{clip.stem}.ogg"
        soundfile.write(path, sound, rate, format="OGG", subtype="VORBIS", compression_level=1 - QUALITY)


def told(store: Store, record: Record, split: Split, folder: Path) -> NDArray[np.bool_]:
    """Which test clips of a split its published model tells, [clips]."""
    with unpacked(store.model_path(record)) as file:
        graph = load_model_file(file).graph
    quality = evaluate(graph, folder, "published", split, silent).quality
    assert isinstance(quality, Accuracy)
    return correctness(quality)


def main(name: str, flash: str, training: str) -> None:
    task: Task = load_registry().get("tasks", name)
    store, cache = Store(Path("leaderboard/records")), cache_dir() / "data"
    every = [r for r in store.read_all() if (r.task, r.training_changes) == (name, training)]
    records = [r for r in every if f"flash={flash}," in r.budget and r.accuracy is not None]
    if not records or task.source is None or (source := present(task.source, cache)) is None:
        raise UserError(f"{name}, {flash}, {training}: no records, or no data")
    with tempfile.TemporaryDirectory() as scratch:
        copied(source, Path(scratch) / "data" / source.name)
        os.environ["KILOBENCH_DATA"] = f"{scratch}/data"
        splits = {fold: load(task, fold, cache, silent) for fold in {r.fold for r in records}}
        for recipe in sorted({r.recipe for r in records}):
            some = [r for r in records if r.recipe == recipe]
            before = np.concatenate([correctness(r.accuracy) for r in some])
            after = np.concatenate([told(store, r, splits[r.fold], Path(scratch) / r.cell) for r in some])
            print(
                f"{recipe}: {100 * before.mean():.1f} % lossless, {100 * after.mean():.1f} % lossy, of {len(before)} clips "
                f"{(before & ~after).sum()} told no more and {(after & ~before).sum()} only now",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
