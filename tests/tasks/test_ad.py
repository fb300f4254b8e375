# SPDX-License-Identifier: Apache-2.0
"""Toy cars on the publisher's layout: a few short recordings of its 6 459, so that partial data has to be allowed."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.compile.ends import DECIBELS
from kilobench.contracts import Split, UserError
from kilobench.data.loading import load as checked
from tests.tasks.loading import load, scratch, silent, task, tone

RATE, SECONDS = 16_000, 8.1


def name(part: str, kind: str, car: int, number: int) -> str:
    return f"{part}/{kind}_id_{car:02}_{number:08}.wav"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        for (part, kind), car in product((("train", "normal"), ("test", "normal"), ("test", "anomaly")), (1, 4)):
            pitch = {"train": 0.2, "test": 0.25}[part] + car / 100 + (kind == "anomaly") / 2
            tone(folder / name(part, kind, car, 0), pitch, RATE, SECONDS)
        (folder / "train" / "._hidden.wav").write_text("")
        yield folder


@pytest.fixture
def cars(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage."""
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "ToyCar"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def test_recordings_are_read(cars: Path, cache: Path) -> None:
    split: Split = checked(task("ad"), 0, cache, silent)
    assert split.train_x.shape == (2, 128, 1, 200) and split.test_x.shape == (4, 128, 1, 200)
    assert split.train_y.tolist() == [0, 0] and split.test_y.tolist() == [0, 0, 1, 1]
    assert split.classes == ("normal", "anomaly")
    assert split.notes == ("partial: 2 of 4000 training recordings", "partial: 4 of 2459 test recordings")
    assert split.partial == 3998 + 2455


def test_a_tone_is_in_its_band_at_its_level(cars: Path, cache: Path) -> None:
    """Of amplitude 1/2, 1 kHz: mel 15 of 45.2 on Slaney's scale, of which 128 bands of equal width have 129 steps."""
    tone(cars / name("test", "normal", 1, 0), 2 * np.pi * 1000 / RATE, RATE, SECONDS)
    frames = load("ad", cache).test_x[0, :, 0]
    steps = (15 + 27 * np.log(8) / np.log(6.4)) / 129
    band = round(15 / steps) - 1
    assert (frames.argmax(axis=0) == band).all()
    # A bin at the tone has the energy (1024 / 2 / 2 * 1/2)^2, its two neighbours a quarter each; 1000 Hz is the middle of a bin.
    share = data.slaney_bands(128, 1024, RATE)[63:66, band] @ [1 / 4, 1, 1 / 4]
    np.testing.assert_allclose(frames[band], 10 * np.log10(128.0**2 * share) / DECIBELS, atol=1e-4)


def test_bands_are_triangles_of_one_area_that_rise_where_the_one_before_falls() -> None:
    shares = data.slaney_bands(40, 1 << 16, RATE)
    np.testing.assert_allclose(shares.sum(axis=0) * RATE / (1 << 16), 1, rtol=1e-3)
    places = shares.argmax(axis=0) * RATE / (1 << 16)
    assert np.diff(places).min() > 0
    low = places[places < 1000]
    np.testing.assert_allclose(np.diff(low), low[0], atol=0.5)
    np.testing.assert_allclose(np.diff(np.log(places[places > 1000]))[1:], np.log(places[-1] / places[-2]), rtol=1e-2)


def test_the_digest_is_of_the_contents(cars: Path, cache: Path) -> None:
    before = load("ad", cache).digest
    assert load("ad", cache).digest == before
    tone(cars / name("train", "normal", 1, 0), 0.7, RATE, SECONDS)
    assert load("ad", cache).digest != before


def test_missing_recordings_are_named(cars: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(
        data.Incomplete, match=r"ToyCar should have 6459 recordings: 6453 missing \(train/normal_id_01_0"
    ):
        load("ad", cache)


def test_short_and_broken_recordings_are_corrupt(cars: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tone(cars / name("test", "normal", 1, 0), 0.3, RATE, 7.9)
    cut = cars / name("train", "normal", 4, 0)
    cut.write_bytes(cut.read_bytes()[:-10])
    assert load("ad", cache).partial == 3999 + 2456
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(data.Damaged) as found:
        load("ad", cache)
    assert f"corrupt: {cut.relative_to(cars)}: is cut short" in found.value.lines
    assert "corrupt: test/normal_id_01_00000000.wav: is shorter than 8 s" in found.value.lines


def test_anomalies_to_train_with_and_other_names_are_refused(cars: Path, cache: Path) -> None:
    (cars / name("test", "anomaly", 1, 0)).rename(cars / name("train", "anomaly", 1, 0))
    tone(cars / name("train", "normal", 7, 0), 0.3, RATE, SECONDS)
    wanted = r"1 mislabelled \(train/anomaly_id_01_00000000.wav\), 1 unexpected \(train/normal_id_07_00000000.wav\)"
    with pytest.raises(UserError, match=wanted):
        load("ad", cache)


def test_a_recording_in_both_parts_is_refused(cars: Path, cache: Path) -> None:
    shutil.copy(cars / name("train", "normal", 1, 0), cars / name("test", "normal", 1, 0))
    with pytest.raises(UserError, match="1 in training and test"):
        load("ad", cache)


def test_without_anomalies_nothing_can_be_told(cars: Path, cache: Path) -> None:
    for path in (cars / "test").glob("anomaly*"):
        path.unlink()
    with pytest.raises(UserError, match="no test inputs are left of anomaly"):
        load("ad", cache)


def test_there_is_no_validation_part(cars: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="ad: all that it trains with is usual, so that no part of it can be tested on"):
        checked(task("ad"), 0, cache, silent, held_out=True)
