# SPDX-License-Identifier: Apache-2.0
"""Archives, clips and cached arrays."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.contracts import Split, UserError


def test_a_window_cuts_or_pads_at_the_end() -> None:
    clip = np.arange(1, 5, dtype=np.float32)
    assert data.window(clip, 3).tolist() == [1, 2, 3]
    assert data.window(clip, 6).tolist() == [1, 2, 3, 4, 0, 0]


def test_normalising_gives_one_loudness_and_silence_stays_silent() -> None:
    clip = np.sin(np.arange(1000, dtype=np.float32)) * 0.003
    assert np.sqrt(np.mean(data.normalise(clip) ** 2)) == pytest.approx(0.1, rel=1e-4)
    assert not data.normalise(np.zeros(10, dtype=np.float32)).any()


def test_arrays_are_made_once_and_mapped(tmp_path: Path) -> None:
    def make(create: data.Create) -> None:
        create("a", (3,), "<i2")[:] = [1, 2, 3]

    made = data.cached_arrays(tmp_path, "key", make)
    again = data.cached_arrays(tmp_path, "key", lambda create: pytest.fail("made again"))
    assert made["a"].tolist() == again["a"].tolist() == [1, 2, 3]
    assert isinstance(again["a"], np.memmap) and not again["a"].flags.writeable


def test_a_cache_that_could_not_be_filled_is_not_kept(tmp_path: Path) -> None:
    def fail(create: data.Create) -> None:
        create("a", (3,), "<i2")
        raise UserError("no")

    with pytest.raises(UserError):
        data.cached_arrays(tmp_path, "key", fail)
    assert not (tmp_path / "key").exists()


def test_a_digest_sees_types_shapes_and_contents() -> None:
    zeros = np.zeros((2, 3), np.float32)
    digests = {data.digest([a]) for a in (zeros, zeros.T, zeros.astype(np.int32), zeros + 1)}
    assert len(digests) == 4
    assert data.digest([zeros]) == data.digest([np.asfortranarray(zeros)])


def test_damage_survives_the_way_between_processes() -> None:
    damage = data.Damage("set", 2)
    damage.add("unexpected", ["a"])
    damage.add("missing", ["b", "c"])
    with pytest.raises(data.Damaged) as caught:
        damage.check()
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) == "set should have 2 clips: 1 unexpected (a), 2 missing (b, c)"
    assert again.lines == caught.value.lines == ("unexpected: a", "missing: b", "missing: c")


def test_digests_of_files_are_remembered_until_size_or_time_change(tmp_path: Path) -> None:
    path, seen = tmp_path / "a", []

    def progress(text: str, done: float, total: float) -> None:
        seen.append(text)

    path.write_text("one")
    first = data.file_digests([path], tmp_path / "cache", progress)
    assert data.file_digests([path], tmp_path / "cache", progress) == first
    assert seen == ["checking files"]
    path.write_text("other")
    assert data.file_digests([path], tmp_path / "cache", progress) != first


def split(count: int, classes: int, groups: list[int] | None = None, width: int = 4) -> Split:
    x = np.arange(count * width, dtype=np.float32).reshape(count, 1, 1, width)
    y = np.arange(count) % classes
    names = tuple(map(str, range(classes)))
    return Split(x, y, x[:2, ..., :4], y[:2], names, "d", train_groups=None if groups is None else np.array(groups))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_validation_parts_are_balanced_and_disjoint(share: float) -> None:
    whole = split(200, 4)
    part = data.validation(whole, share, 3)
    assert np.bincount(part.test_y).tolist() == [round(50 * share)] * 4
    rows = sorted(int(row[0, 0, 0]) for row in [*part.train_x, *part.test_x])
    assert rows == [int(row[0, 0, 0]) for row in whole.train_x]
    assert part.digest == data.validation(whole, share, 3).digest != data.validation(whole, share, 4).digest
    assert not np.array_equal(part.test_x, data.validation(whole, share, 4).test_x)


def test_validation_parts_do_not_split_groups_and_windows_are_the_loudest() -> None:
    whole = split(200, 4, groups=[index // 4 % 10 for index in range(200)], width=9)
    part = data.validation(whole, 0.2, 0)
    assert part.train_groups is not None
    assert len(set(part.train_groups.tolist())) == 8 and len(part.test_x) == 40
    assert part.test_clips is not None and np.array_equal(part.test_x, part.test_clips[..., 5:])


def test_a_validation_part_that_would_be_empty_is_refused() -> None:
    with pytest.raises(UserError, match="there are 2 groups"):
        data.validation(split(8, 2, groups=[0, 0, 0, 0, 1, 1, 1, 1]), 0.1, 0)
