# SPDX-License-Identifier: Apache-2.0
"""AudioEvent on layouts with and without class folders."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.contracts import UserError
from tests.tasks.loading import load, scratch, task, tone

CLASSES = [f"event_{chr(97 + index % 26)}{'z' * (index // 26)}" for index in range(28)]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Class folders for training, none for testing."""
    with scratch(tmp_path_factory) as folder:
        for (index, name), take in product(enumerate(CLASSES), (1, 2, 3)):
            train = folder / "train" / name / f"{name}_{take}.wav"
            tone(train if take < 3 else folder / "test" / f"{name}_{take}.wav", 0.1 + index / 30 + take / 1000)
        yield folder


@pytest.fixture
def events(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL", raising=False)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "AudioEventDataset"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


STUDIED = {
    10: [0, 2, 5, 9, 11, 12, 17, 21, 25, 26],
    20: [0, 1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15, 17, 19, 20, 21, 23, 25, 26, 27],
    28: range(28),
}
"""The study's subsets, by places in alphabetical order."""


@pytest.mark.parametrize("count", STUDIED)
def test_files_are_read_with_and_without_class_folders(count: int, events: Path, cache: Path) -> None:
    """At 16 kHz, in windows of 51 215 samples."""
    split = load(f"audioevent[classes={count}]", cache)
    assert split.train_x.shape == (2 * count, 1, 1, 80_000)
    assert split.test_x.shape == (count, 1, 1, 51_215)
    assert split.test_clips is not None and split.test_clips.shape == (count, 1, 1, 80_000)
    assert split.classes == tuple(sorted(CLASSES)[index] for index in STUDIED[count])
    assert np.bincount(split.train_y).tolist() == [2] * count and np.bincount(split.test_y).tolist() == [1] * count
    assert isinstance(split.train_x, np.memmap)


def test_of_a_long_clip_the_loudest_five_seconds_are_used(events: Path, cache: Path) -> None:
    name = min(CLASSES)
    tone(events / "test" / f"{name}_3.wav", 0.5, 20_000, 6.0)
    assert load("audioevent[classes=20]", cache).test_clips is not None


def test_damage_is_named(events: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = min(CLASSES)
    cut = events / "train" / name / f"{name}_1.wav"
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(data.Incomplete, match=rf"1 corrupt \(train/{name}/{name}_1\.wav: is cut short\)"):
        load("audioevent", cache)
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    assert load("audioevent", cache).notes == ("partial: 83 of 84 clips",)
    cut.rename(events / "train" / max(CLASSES) / cut.name)
    (events / "train" / name / "readme.wav").write_text("")
    with pytest.raises(UserError, match=rf"1 unexpected \(train/{name}/readme\.wav\), 1 mislabelled \(train/event"):
        load("audioevent", cache)


def test_other_numbers_of_classes_are_refused(events: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="classes must be 10, 20 or 28, not 27"):
        task("audioevent[classes=27]").class_count  # noqa: B018
    (events / "test" / f"{CLASSES[0]}_3.wav").unlink()
    with pytest.raises(UserError, match="test has files of 27 classes, not of 28"):
        load("audioevent", cache)


def test_training_clips_that_are_test_clips_are_left_out(events: Path, cache: Path) -> None:
    name = min(CLASSES)
    shutil.copy(events / "test" / f"{name}_3.wav", events / "train" / name / f"{name}_1.wav")
    split = load("audioevent[classes=20]", cache)
    assert len(split.train_x) == 39
    assert split.notes == (f"1 training inputs left out that also are test inputs (train/{name}/{name}_1.wav)",)
