# SPDX-License-Identifier: Apache-2.0
"""What a task may load, field by field of a split: all that is wrong is told in one line, by a run and by ``kilobench test``."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.commands.contract import _task
from kilobench.contracts import Split, Task, UserError, silent
from kilobench.data.loading import load

CLASSES, SHAPE, WIDE = 3, (1, 2, 4), 6


def values() -> dict[str, Any]:
    """Of all fields of a split that is as it should be."""
    generator = np.random.default_rng(0)
    train, clips = (generator.uniform(-1, 1, (count, 1, 2, WIDE)).astype(np.float32) for count in (9, 6))
    return {
        "train_x": train,
        "train_y": np.arange(9) % CLASSES,
        "test_x": clips[..., 1:5],
        "test_y": np.arange(6) % CLASSES,
        "classes": ("a", "b", "c"),
        "digest": "d",
        "notes": ("one", "two"),
        "test_clips": clips,
        "partial": 0,
        "train_groups": np.arange(9) // 2,
        "transcoded": 0,
    }


class Given(Task):
    """Loads what it is given."""

    name, reference, kind, network = "given", "none", "audio", "resnet8"
    split: Any

    def __init__(self, split: Any) -> None:
        object.__setattr__(self, "split", split)

    @property
    def class_count(self) -> int:
        return CLASSES

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return SHAPE

    def load(self, fold: int, cache: Path, progress: object) -> Split:
        split: Split = self.split
        return split


def changed(array: Any, value: float) -> Any:
    """An array with one odd value."""
    copy = np.array(array)
    copy.flat[3] = value
    return copy


def odd_arrays(name: str) -> dict[str, Any]:
    """What an array may be in place of what it should."""
    good = values()[name]
    odd = {
        "a list": good.tolist(),
        "a text": "array",
        "a number": 3,
        "a file's name": Path("x.npy"),
        "masked": np.ma.masked_array(good),
        "objects": good.astype(object),
        "texts": good.astype(str),
        "complex": good.astype(complex),
        "of the other byte order": good.astype(good.dtype.newbyteorder()),
        "of half the size": good.astype(f"{good.dtype.kind}{good.itemsize // 2}"),
        "of twice the size": good.astype("f8" if good.itemsize == 4 else "u8"),
        "of truth values": good > 0,
        "a single value": good.reshape(-1)[0],
        "of no dimension": np.array(good.reshape(-1)[0]),
        "with a dimension more": good[None],
        "with a dimension less": good.reshape(-1) if good.ndim > 1 else good.reshape(3, -1),
        "one short": good[:-1],
        "one long": np.concatenate([good, good[:1]]),
        "empty": good[:0],
    }
    if good.dtype == np.float32:
        odd |= {f"with {value}": changed(good, value) for value in (np.nan, np.inf, -np.inf, 1.001, -2, 1e30)}
        odd |= {"of other sizes": good.swapaxes(1, 2), "upright": good.swapaxes(2, 3), "narrower": good[..., :3]}
    elif name != "train_groups":
        odd |= {f"with {value}": changed(good, value) for value in (-1, CLASSES, 2**40)}
        odd |= {"without a class": np.where(good == 1, 0, good)}
    return odd if name in ("test_clips", "train_groups") else odd | {"None": None}


LINES = {"None": None, "a number": 5, "bytes": b"d", "two lines": "a\nb", "an escape": "\x1b[2J", "long": "d" * 5000}
NAMES = {
    "None": None,
    "a list": ["a", "b", "c"],
    "a text": "abc",
    "too few": ("a", "b"),
    "too many": ("a", "b", "c", "d"),
    "twice": ("a", "b", "a"),
    "a number": ("a", "b", 3),
    "empty": ("a", "b", ""),
    **{what: ("a", "b", value) for what, value in LINES.items()},
    "markup": ("a", "b", "<b>"),
    "a cell": ("a", "b|c", "d"),
}
COUNTS = {"None": None, "below 0": -1, "a float": 1.0, "a truth value": True, "a text": "1", "NaN": float("nan")}
WRONG = {
    **{name: odd_arrays(name) for name, value in values().items() if isinstance(value, np.ndarray)},
    "classes": NAMES,
    "digest": LINES | {"empty": "", "a list": ["d"]},
    "notes": {"a text": "some", "a list": ["some"], **{what: (value,) for what, value in LINES.items()}},
    "partial": COUNTS,
    "transcoded": COUNTS,
}
CASES = [(field, what) for field, odd in WRONG.items() for what in odd]


def refusal(split: Any, tmp_path: Path) -> str:
    """What a run says, and ``kilobench test`` as well."""
    with pytest.raises(UserError) as raised:
        load(Given(split), 0, tmp_path, silent)
    with pytest.raises(UserError) as tested:
        _task(Given(split))
    assert str(tested.value) == str(raised.value)
    return str(raised.value)


def test_all_fields_are_surveyed() -> None:
    assert set(WRONG) == set(values()) == {field.name for field in fields(Split)}


@pytest.mark.parametrize(("field", "what"), CASES, ids=[f"{field}: {what}" for field, what in CASES])
def test_what_is_wrong_with_a_field_is_told_in_one_line(field: str, what: str, tmp_path: Path) -> None:
    said = refusal(Split(**values() | {field: WRONG[field][what]}), tmp_path)
    part = field.partition("_")[0]  # of another length than its labels: either may be wrong
    assert said.startswith("given: fold 0: ") and ": expected " in said and ", found " in said
    assert f" {field}: " in said or (f" {part}_" in said and what in ("one short", "one long"))
    assert said.isprintable() and len(said) < 200


@pytest.mark.parametrize("split", [None, 3, (1, 2), {"train_x": 1}, Split])
def test_what_is_no_split_is_told(split: Any, tmp_path: Path) -> None:
    assert refusal(split, tmp_path).startswith("given: fold 0: expected a Split, found ")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_x", [1, 2], "train_x: expected float32 [9, 1, 2, 4], found list"),
        (
            "train_x",
            values()["train_x"].astype("f8"),
            "train_x: expected float32 [9, 1, 2, 6], found float64 [9, 1, 2, 6]",
        ),
        ("test_y", np.zeros(6, np.int32), "test_y: expected int64 [n], found int32 [6]"),
        ("test_y", np.arange(6) % 3 + 1, "test_y: expected labels from 0 to 2, found 1 to 3"),
        ("test_y", np.zeros(6, int), "test_y: expected labels of every class, found none of b"),
        ("test_x", changed(values()["test_x"], np.nan), "test_x: expected values in [-1, 1], found nan to nan"),
        ("classes", ("a", "b"), "classes: expected 3 names, found 2"),
        ("notes", "some", "notes: expected lines of text, found 'some'"),
    ],
)
def test_messages_say_what_was_expected_and_found(field: str, value: Any, message: str, tmp_path: Path) -> None:
    assert refusal(Split(**values() | {field: value}), tmp_path) == f"given: fold 0: {message}"


def views(array: Any, tmp_path: Path) -> dict[str, Any]:
    """The same array, stored otherwise."""
    frozen, wide = array.copy(), np.zeros((*array.shape, 2), array.dtype)
    frozen.flags.writeable, wide[..., 0] = False, array
    np.save(tmp_path / "array.npy", array)
    stored = {
        "backwards": array[::-1].copy()[::-1],
        "in steps": wide[..., 0],
        "in Fortran's order": np.asfortranarray(array),
    }
    return stored | {"read-only": frozen, "on disk": np.load(tmp_path / "array.npy", mmap_mode="r")}


def test_arrays_are_the_same_however_they_are_stored(tmp_path: Path) -> None:
    good = load(Given(Split(**values())), 0, tmp_path, silent)
    for name in ("train_x", "train_y", "test_x", "test_y", "test_clips", "train_groups"):
        for array in views(values()[name], tmp_path).values():
            found = getattr(load(Given(Split(**values() | {name: array})), 0, tmp_path, silent), name)
            assert np.array_equal(found, getattr(good, name)) and found.flags.c_contiguous
            assert np.shares_memory(found, array) == array.flags.c_contiguous


def test_images_are_of_pixels_of_8_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are on a board, which is sent bytes: (p - 128) / 128, the nearest where they are something else."""
    monkeypatch.setattr(Given, "kind", "image")
    pixels = values() | {"test_clips": None}
    for name in ("train_x", "test_x"):
        pixels[name] = np.float32(np.rint(pixels[name] * 127) / 128)
    between = {name: pixels[name] + np.float32(0.003) for name in ("train_x", "test_x")}
    for given in (pixels, pixels | between):
        found = load(Given(Split(**given)), 0, tmp_path, silent)
        for name in between:
            array = getattr(found, name)
            assert np.array_equal(array, pixels[name])
            assert np.shares_memory(array, given[name]) == (given is pixels)
    whole = load(Given(Split(**pixels | {"test_x": np.full_like(pixels["test_x"], 1)})), 0, tmp_path, silent)
    assert (whole.test_x == 127 / 128).all()
