# SPDX-License-Identifier: Apache-2.0
"""UrbanSound8K on the publisher's layout: a hundred short clips of its 8 732, so that partial data has to be allowed."""

import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.contracts import UserError
from tests.tasks.loading import load, scratch, task, tone

CLASSES = (
    *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
    *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
)


def name(fold: int, label: int) -> str:
    return f"{1000 * fold + label // 2}-{label}-0-{label % 2}.wav"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
        for fold, label in product(range(1, 11), range(10)):
            file = name(fold, label)
            rows.append(f"{file},{file.split('-')[0]},0.0,4.0,1,{fold},{label},{CLASSES[label]}")
            tone(folder / "audio" / f"fold{fold}" / file, 0.1 + label / 20 + fold / 1000, (8000, 44_100)[label % 2])
        (folder / "audio" / "fold1" / ".DS_Store").write_text("")
        (folder / "audio" / "fold1" / "._hidden.wav").write_text("")
        (folder / "metadata").mkdir()
        (folder / "metadata" / "UrbanSound8K.csv").write_text("\n".join(rows) + "\n")
        yield folder


@pytest.fixture
def urban(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage."""
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "UrbanSound8K"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def edit(urban: Path, old: str, new: str) -> None:
    table = urban / "metadata" / "UrbanSound8K.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


@pytest.mark.parametrize("fold", range(10))
def test_each_fold_tests_on_its_own_clips_and_trains_on_all_others(fold: int, urban: Path, cache: Path) -> None:
    split = load("urbansound8k", cache, fold)
    assert split.train_x.shape == (90, 1, 1, 80_000) and split.test_x.shape == (10, *task("urbansound8k").input_shape)
    assert split.test_clips is not None and split.test_clips.shape == (10, 1, 1, 80_000)
    assert split.classes == CLASSES and sorted(split.test_y) == list(range(10))
    assert np.bincount(split.train_y).tolist() == [9] * 10
    assert split.train_groups is not None
    assert {group // 1000 for group in split.train_groups.tolist()} == set(range(1, 11)) - {fold + 1}
    for x, y in zip(split.train_x, split.train_y, strict=True):  # the label of a clip is that of its pitch
        assert y % 2 or pitch(x) == pytest.approx(0.1 + y / 20, abs=0.02)
    assert split.partial == 8632 and split.notes == ("partial: 100 of 8732 clips",)


def pitch(x: np.ndarray) -> float:
    """Radians per sample at 8 kHz of the loudest frequency."""
    return float(np.abs(np.fft.rfft(x[0, 0])).argmax() / 80_000 * 2 * np.pi * 2.5)


def test_folds_are_slices_of_one_array(urban: Path, cache: Path) -> None:
    split = load("urbansound8k", cache, 4)
    assert isinstance(split.train_x, np.memmap) and isinstance(split.test_clips, np.memmap)
    assert not split.train_x.flags.owndata


def test_missing_rows_and_files_are_counted(urban: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (urban / "audio" / "fold3" / name(3, 4)).unlink()
    (urban / "audio" / "fold3" / name(3, 6)).write_text("")
    split = load("urbansound8k", cache, 0)
    assert np.bincount(split.train_y).tolist() == [9, 9, 9, 9, 8, 9, 8, 9, 9, 9]
    assert split.partial == 8634
    with pytest.raises(UserError, match="no test inputs are left of drilling, gun_shot"):
        load("urbansound8k", cache, 2)
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(data.Incomplete, match=r"8633 missing \(3002-4-0-0\.wav, table: 100 of 8732 rows\), 1 corrupt"):
        load("urbansound8k", cache, 2)


def moved_file(urban: Path) -> None:
    (urban / "audio" / "fold1" / name(1, 3)).rename(urban / "audio" / "fold2" / name(1, 3))


def moved_row(urban: Path) -> None:
    edit(urban, f"{name(1, 3)},1001,0.0,4.0,1,1,", f"{name(1, 3)},1001,0.0,4.0,1,2,")


def other_class(urban: Path) -> None:
    edit(urban, "1,1,3,dog_bark", "1,1,4,drilling")


def other_class_name(urban: Path) -> None:
    edit(urban, "1,1,3,dog_bark", "1,1,3,drilling")


def extra(urban: Path) -> None:
    tone(urban / "audio" / "fold1" / "1-2-3-4.wav", 1.0)


def second_row(urban: Path) -> None:
    row = f"{name(1, 3)},1001,0.0,4.0,1,1,3,dog_bark"
    edit(urban, row, f"{row}\n{row}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (moved_file, rf"1 in the wrong fold \({name(1, 3)}\)"),
        (moved_row, rf"1 in the wrong fold \({name(1, 3)}\)"),
        (other_class, rf"1 mislabelled \({name(1, 3)}\)"),
        (other_class_name, rf"1 mislabelled \({name(1, 3)}\)"),
        (second_row, r"1 unexpected \(table: 1 rows of files that have one already\)"),
        (extra, r"1 unexpected \(1-2-3-4\.wav\)"),
    ],
)
def test_what_would_make_results_wrong_is_refused(
    damage: Callable[[Path], None], message: str, urban: Path, cache: Path
) -> None:
    damage(urban)
    with pytest.raises(UserError, match=message):
        load("urbansound8k", cache)


@pytest.mark.parametrize(
    "fields", ["1,1,x,dog_bark", "1,1,10,dog_bark", "1,1,-7,dog_bark", "1,0,3,dog_bark", "1,11,3,dog_bark"]
)
def test_a_table_of_another_kind_is_refused(fields: str, urban: Path, cache: Path) -> None:
    edit(urban, "1,1,3,dog_bark", fields)
    with pytest.raises(UserError, match=r"'1001-3-0-1\.wav' is not a row of UrbanSound8K's table"):
        load("urbansound8k", cache)


def test_training_clips_that_are_test_clips_are_left_out(urban: Path, cache: Path) -> None:
    shutil.copy(urban / "audio" / "fold1" / name(1, 3), urban / "audio" / "fold2" / name(2, 5))
    split = load("urbansound8k", cache, 0)
    assert len(split.train_x) == 89 and len(split.test_x) == 10
    assert split.notes[-1] == f"1 training inputs left out that also are test inputs ({name(2, 5)})"
    assert len(load("urbansound8k", cache, 5).train_x) == 90
