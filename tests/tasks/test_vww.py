# SPDX-License-Identifier: Apache-2.0
"""Visual Wake Words on the publisher's layout: folders of JPEG files of 96 x 96 pixels."""

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kilobench import data
from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS
from tests.tasks.loading import load, scratch, task

VWW: Any = importlib.import_module("kilobench.contrib.tasks.vww")
COUNT = 40
"""Photographs in each folder."""


def photograph(path: Path, seed: int, size: tuple[int, int] = (96, 96), mode: str = "RGB", kind: str = "JPEG") -> None:
    """Noise of few pixels, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size).convert(mode).save(path, kind)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        for offset, name in enumerate(("person", "non_person")):
            for index in range(COUNT):
                number = COUNT * offset + index
                photograph(folder / name / f"COCO_train2014_{number:012}.jpg", number)
        yield folder


@pytest.fixture
def photographs(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL", raising=False)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "vw_coco2014_96"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def some(folder: Path, *, test: bool = False) -> Path:
    """A photograph of a person in a part of the data."""
    return next(path for path in sorted((folder / "person").iterdir()) if VWW._is_test(path) == test)


def test_classes_and_shape_are_those_of_the_benchmark() -> None:
    found, wanted = task("vww"), BENCHMARKS["vww01"]
    channels, *size = found.input_shape
    assert (*size, channels) == wanted.shape and found.class_count == wanted.classes


def test_a_tenth_is_for_testing_whatever_else_is_there(photographs: Path, cache: Path) -> None:
    split = load("vww", cache)
    assert split.classes == ("non_person", "person")
    assert len(split.train_y) + len(split.test_y) == 2 * COUNT and 2 <= len(split.test_y) <= 12
    assert split.train_x.shape[1:] == split.test_x.shape[1:] == (3, 96, 96)
    assert isinstance(split.train_x, np.memmap) and isinstance(split.test_x, np.memmap)
    assert split.partial == 0 and split.notes == ()
    before = {x.tobytes() for x in split.test_x}
    some(photographs).unlink()
    after = load("vww", cache)
    assert {x.tobytes() for x in after.test_x} == before and len(after.train_y) == len(split.train_y) - 1


def test_pixels_are_kept_exactly_in_their_places(photographs: Path, cache: Path) -> None:
    Image.new("RGB", (96, 96), (255, 128, 0)).save(some(photographs, test=True), "JPEG", quality=100, subsampling=0)
    split = load("vww", cache)
    codes = split.test_x * 128
    assert np.array_equal(codes, np.round(codes)) and codes.min() >= -128 and codes.max() <= 127
    means = codes.mean(axis=(2, 3))
    assert any(np.abs(one - (127, 0, -128)).max() < 3 for one in means)
    image = Image.open(some(photographs))
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
    assert any(np.array_equal(x * 128 + 128, pixels) for x in split.train_x)


def test_a_grey_photograph_has_three_equal_colours(photographs: Path, cache: Path) -> None:
    path = some(photographs, test=True)
    photograph(path, 7, mode="L")
    grey = np.asarray(Image.open(path), dtype=np.float32)
    assert any(np.array_equal(x * 128 + 128, [grey] * 3) for x in load("vww", cache).test_x)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: photograph(path, 1, size=(96, 128)), "is 96 x 128 pixels large, not 96 x 96"),
        (lambda path: photograph(path, 1, mode="CMYK"), "has colours of CMYK, not red, green and blue"),
        (lambda path: photograph(path, 1, kind="PNG"), "is no JPEG file that can be decoded"),
        (lambda path: path.write_text("not a photograph"), "is no JPEG file that can be decoded"),
        (cut, "is no JPEG file that can be decoded"),
    ],
)
def test_what_is_no_such_photograph_is_named(
    change: Callable[[Path], Any], said: str, photographs: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = some(photographs)
    change(path)
    with pytest.raises(data.Incomplete) as caught:
        load("vww", cache)
    assert caught.value.lines == (f"corrupt: person/{path.name}: {said}",)
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    split = load("vww", cache)
    assert split.partial == 1 and split.notes == (f"partial: {2 * COUNT - 1} of {2 * COUNT} photographs",)


def both(photographs: Path) -> None:
    shutil.copy(some(photographs), photographs / "non_person")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (both, r"1 mislabelled \(COCO_train2014_\d+\.jpg is in both folders\)"),
        (lambda folder: photograph(folder / "cat" / "1.jpg", 1), r"1 unexpected \(cat/\)"),
        (lambda folder: photograph(folder / "person" / "1.png", 1, kind="PNG"), r"1 unexpected \(person/1\.png\)"),
        (lambda folder: shutil.rmtree(folder / "person"), r"1 missing \(person/\)"),
    ],
)
def test_another_layout_is_refused(change: Callable[[Path], Any], message: str, photographs: Path, cache: Path) -> None:
    change(photographs)
    with pytest.raises(UserError, match=message):
        load("vww", cache)


def test_training_photographs_that_are_test_photographs_are_left_out(photographs: Path, cache: Path) -> None:
    name = some(photographs)
    shutil.copy(some(photographs, test=True), name)
    split = load("vww", cache)
    assert len(split.train_y) + len(split.test_y) == 2 * COUNT - 1
    assert split.notes == (f"1 training inputs left out that also are test inputs ({name.name})",)
