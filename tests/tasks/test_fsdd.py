# SPDX-License-Identifier: Apache-2.0
"""FSDD on the publisher's layout, whole and damaged."""

import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.contracts import UserError
from tests.tasks.loading import REAL_DATA, load, needs_real, scratch, tone

SPEAKERS = ("jackson", "george", "lucas", "nicolas", "theo", "yweweler")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """3 000 tones under the names of the recordings."""
    with scratch(tmp_path_factory) as folder:
        for index, (digit, speaker, take) in enumerate(product(range(10), SPEAKERS, range(50))):
            tone(folder / f"{digit}_{speaker}_{take}.wav", 0.1 + index / 3000, seconds=0.01)
        yield folder


@pytest.fixture
def recordings(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage."""
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL", raising=False)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "free-spoken-digit-dataset" / "recordings", copy_function=os.link))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def test_another_release_is_refused(recordings: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"differs from release v1\.0\.10"):
        load("fsdd", cache)


def test_missing_and_corrupt_recordings_are_named_and_partial_data_is_marked(
    recordings: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recordings / "3_theo_7.wav").unlink()
    (recordings / "4_theo_8.wav").unlink()
    (recordings / "4_theo_8.wav").write_text("not a sound")
    with pytest.raises(data.Damaged, match=r"1 missing \(3_theo_7\.wav\), 1 corrupt \(4_theo_8\.wav: is no sound"):
        load("fsdd", cache)
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    split = load("fsdd", cache, fold=4)
    assert split.partial == 2 and split.notes == ("partial: 2998 of 3000 clips",)
    assert np.bincount(split.test_y).tolist() == [50, 50, 50, 49, 49, 50, 50, 50, 50, 50]
    assert split.train_groups is not None and set(split.train_groups.tolist()) == {0, 1, 2, 3, 5}


def test_extra_and_copied_recordings_are_refused(
    recordings: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    tone(recordings / "3_someone_7.wav", 1)
    (recordings / "3_theo_7.wav").unlink()
    shutil.copy(recordings / "3_lucas_7.wav", recordings / "3_theo_7.wav")
    with pytest.raises(UserError, match=r"1 unexpected \(3_someone_7\.wav\), 1 in training and test \(3_lucas_7"):
        load("fsdd", cache)


@needs_real("free-spoken-digit-dataset")
def test_the_real_set_is_complete_and_its_folds_are_speakers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", REAL_DATA)
    for fold in range(6):
        split = load("fsdd", cache, fold)
        assert (len(split.train_x), len(split.test_x), split.partial, split.notes) == (2500, 500, 0, ())
        assert split.train_groups is not None
        assert set(split.train_groups.tolist()) == set(range(6)) - {fold}
    part = data.validation(split, 0.2, 0)
    assert part.train_groups is not None and len(set(part.train_groups.tolist())) == 4
    assert np.bincount(part.test_y).tolist() == [50] * 10
