# SPDX-License-Identifier: Apache-2.0
"""Speech Commands on the publisher's layout: a few utterances of every word, so that partial data has to be allowed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kilobench import data
from kilobench.contracts import UserError
from tests.tasks.loading import COUNTS, load, scratch, speech_commands, task, tone

TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Eleven speakers say every word once; two noises."""
    with scratch(tmp_path_factory) as folder:
        speech_commands(folder)
        yield folder


@pytest.fixture
def speech(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "speech_commands_v0.02"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def test_the_words_counts_are_those_of_the_paper() -> None:
    assert len(COUNTS) == 35 and sum(COUNTS.values()) == 105_829


@pytest.mark.parametrize(("count", "words"), [(10, TEN), (35, tuple(COUNTS))])
def test_the_lists_make_the_split(count: int, words: tuple[str, ...], speech: Path, cache: Path) -> None:
    split = load(f"speech-commands[classes={count}]", cache)
    assert split.classes == words
    assert split.train_x.shape == (6 * count, *task("speech-commands").input_shape)
    assert np.bincount(split.train_y).tolist() == [6] * count and np.bincount(split.test_y).tolist() == [3] * count
    assert split.test_clips is None
    assert isinstance(split.train_x, np.memmap) and isinstance(split.test_x, np.memmap)
    assert split.train_groups is not None and len(set(split.train_groups.tolist())) == 6
    expected = sum(COUNTS[word] for word in words)
    assert split.partial == expected - 11 * count
    assert split.notes == (f"partial: {11 * count} of {expected} utterances",)


def test_twelve_classes_have_as_many_unknown_words_and_silences_as_words(speech: Path, cache: Path) -> None:
    split = load("speech-commands", cache)
    assert split.classes == (*TEN, "unknown", "silence")
    assert np.bincount(split.train_y).tolist() == [6] * 12 and np.bincount(split.test_y).tolist() == [3] * 12
    again = load("speech-commands", cache.parent / f"{cache.name}-2")
    assert again.digest == split.digest
    others = load("speech-commands[classes=35]", cache)
    rows = {x.tobytes(): others.classes[y] for x, y in zip(others.train_x, others.train_y, strict=True)}
    unknown = [rows[x.tobytes()] for x in split.train_x[split.train_y == 10]]
    assert not set(unknown) & set(TEN)
    loudness = [float(np.sqrt(np.mean(x**2))) for x in split.train_x[split.train_y == 11]]
    assert max(loudness) <= 0.1001 and min(loudness) < max(loudness) / 4


def test_silence_for_testing_comes_from_another_part_of_the_noise(speech: Path, cache: Path) -> None:
    for name in ("white_noise", "pink_noise"):
        sound, rate = soundfile.read(speech / "_background_noise_" / f"{name}.wav")
        sound[: len(sound) * 4 // 5] = np.sin(np.arange(len(sound) * 4 // 5) * 0.3)
        sound[len(sound) * 4 // 5 :] = np.sin(np.arange(len(sound) - len(sound) * 4 // 5) * 1.3)
        soundfile.write(speech / "_background_noise_" / f"{name}.wav", sound, rate)
    split = load("speech-commands", cache)
    for x, y, pitch in ((split.train_x, split.train_y, 0.3), (split.test_x, split.test_y, 1.3)):
        for clip in x[y == 11]:
            loudest = np.abs(np.fft.rfft(clip[0, 0])).argmax() / 16_000 * 2 * np.pi
            assert loudest == pytest.approx(pitch, abs=0.01)


def test_missing_and_corrupt_files_are_named(speech: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (speech / "yes" / "0000000a_nohash_0.wav").unlink()
    (speech / "no" / "00000001_nohash_0.wav").write_text("not a sound")
    split = load("speech-commands[classes=10]", cache)
    assert np.bincount(split.test_y)[0] == 2 and np.bincount(split.train_y)[1] == 5
    assert split.notes[0].startswith("partial: 108 of ")
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(data.Incomplete) as caught:
        load("speech-commands[classes=10]", cache)
    assert "missing: yes/0000000a_nohash_0.wav" in caught.value.lines
    assert any(line.startswith("corrupt: no/00000001_nohash_0.wav: is no sound") for line in caught.value.lines)
    assert f"{105_829 - 384} missing" in str(caught.value)


def in_two_lists(speech: Path) -> None:
    with (speech / "validation_list.txt").open("a") as file:
        file.write("yes/00000008_nohash_0.wav\n")


def unlisted(speech: Path) -> None:
    path = speech / "testing_list.txt"
    path.write_text(path.read_text().replace("yes/00000008_nohash_0.wav\n", ""))


def stranger(speech: Path) -> None:
    tone(speech / "hello" / "00000001_nohash_0.wav", 0.3)


def odd_name(speech: Path) -> None:
    tone(speech / "yes" / "yes.wav", 0.3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (in_two_lists, r"in the wrong fold \(yes/00000008_nohash_0\.wav is in both lists"),
        (unlisted, r"in the wrong fold \(speaker 00000008 is in test and train\)"),
        (stranger, r"1 unexpected \(hello/\)"),
        (odd_name, r"1 unexpected \(yes/yes\.wav\)"),
    ],
)
def test_what_would_make_results_wrong_is_refused(
    damage: Callable[[Path], None], message: str, speech: Path, cache: Path
) -> None:
    damage(speech)
    with pytest.raises(UserError, match=message):
        load("speech-commands[classes=10]", cache)


def test_lists_and_class_counts_must_be_right(speech: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="classes must be 10, 12 or 35, not 20"):
        task("speech-commands[classes=20]").class_count  # noqa: B018
    (speech / "testing_list.txt").unlink()
    with pytest.raises(UserError, match=r"testing_list\.txt cannot be read"):
        load("speech-commands", cache)
