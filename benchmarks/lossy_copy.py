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
    """Write a lossy copy of a folder of ESC-50; clips that are lossy already are left out."""
    (target / "audio").mkdir(parents=True)
    (target / "meta").symlink_to(source.resolve() / "meta")
    for clip in sorted(source.glob("audio/*.flac")) or sorted(source.glob("audio/*.wav")):
        sound, rate = soundfile.read(clip)
        path = target / "audio" / f"{clip.stem}.ogg"
        soundfile.write(path, sound, rate, format="OGG", subtype="VORBIS", compression_level=1 - QUALITY)


def right(store: Store, record: Record, split: Split, folder: Path) -> np.ndarray:
    """Which test clips its published model tells, [clips]."""
    with unpacked(store.model_path(record)) as file:
        graph = load_model_file(file).graph
    quality = evaluate(graph, folder, "published", split, silent).quality
    assert isinstance(quality, Accuracy)
    return correctness(quality)


def main(name: str, flash: str, training: str) -> None:
    task: Task = load_registry().get("tasks", name)
    store = Store(Path("leaderboard/records"))
    records = [
        r
        for r in store.read_all()
        if r.task == name and r.training_changes == training and f"flash={flash}," in r.budget
    ]
    if not records or task.source is None or (source := present(task.source, cache_dir() / "data")) is None:
        raise UserError(f"{name}, {flash}, {training}: no records, or no data")
    with tempfile.TemporaryDirectory() as scratch:
        copied(source, Path(scratch) / "data" / source.name)
        splits = {}
        for root in (str(source.parent), f"{scratch}/data"):
            os.environ["KILOBENCH_DATA"] = root
            splits[root] = {fold: load(task, fold, cache_dir() / "data", silent) for fold in {r.fold for r in records}}
        for recipe in sorted({r.recipe for r in records}):
            told = [
                np.concatenate(
                    [
                        right(store, r, folds[r.fold], Path(scratch) / f"{index}-{r.cell}")
                        for r in sorted(records, key=lambda r: (r.fold, r.seed))
                        if r.recipe == recipe
                    ]
                )
                for index, folds in enumerate(splits.values())
            ]
            lost, won = (told[0] & ~told[1]).sum(), (told[1] & ~told[0]).sum()
            print(
                f"{recipe}: {100 * told[0].mean():.1f} % lossless, {100 * told[1].mean():.1f} % lossy, of"
                f" {len(told[0])} clips {lost} told no more and {won} only now",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
