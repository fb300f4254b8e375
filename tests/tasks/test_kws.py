# SPDX-License-Identifier: Apache-2.0
"""Keyword spotting on both archives' layouts: a few utterances of every word, so that partial data has to be allowed."""

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kilobench import data
from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS
from tests.compile.mlperf import inputs_of
from tests.tasks.loading import COUNTS, REAL_DATA, SPEAKERS, load, needs_real, scratch, speech_commands, task, tone

KWS: Any = importlib.import_module("kilobench.contrib.tasks.kws")
MAIN, TEST = "speech_commands_v0.02", "speech_commands_test_set_v0.02"
WORDS = KWS.CLASSES[:10]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The main archive, with a third noise, and the test set: its words, two seconds of silence, three unknown words."""
    with scratch(tmp_path_factory) as folder:
        main, test = folder / MAIN, folder / TEST
        speech_commands(main)
        tone(main / "_background_noise_" / "running_tap.wav", 0.7, 16_000, 4)
        for word in WORDS:
            (test / word).mkdir(parents=True)
            for speaker in SPEAKERS["test"]:
                shutil.copy(main / word / f"{speaker:08x}_nohash_0.wav", test / word)
        for index in range(2):
            tone(test / "_silence_" / f"{index}.wav", 1.1 + index / 10, 16_000, 1.0)
        for index in range(3):
            tone(test / "_unknown_" / f"{index}.wav", 1.5 + index / 10, 16_000, 0.9)
        yield folder


@pytest.fixture
def speech(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
    return Path(shutil.copytree(pristine, tmp_path / "data"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch(tmp_path_factory) as folder:
        yield folder


def test_classes_and_shape_are_those_of_the_benchmark() -> None:
    found, wanted = task("kws"), BENCHMARKS["kws01"]
    channels, *size = found.input_shape
    assert (*size, channels) == wanted.shape and found.class_count == wanted.classes
    assert KWS.CLASSES[10:] == ("silence", "unknown") and list(WORDS) == sorted(WORDS)


def test_training_is_on_all_words_and_seconds_of_noise_and_testing_on_the_test_set(speech: Path, cache: Path) -> None:
    split = load("kws", cache)
    assert split.train_x.shape[1:] == split.test_x.shape[1:] == task("kws").input_shape
    # Two noises of 6 s have an excerpt every half second that begins a second before their end.
    assert np.bincount(split.train_y).tolist() == [6] * 10 + [2 * 10, 6 * 25]
    assert np.bincount(split.test_y).tolist() == [3] * 10 + [2, 3]
    assert split.train_groups is not None and len(set(split.train_groups.tolist())) == 6 + 2
    assert split.partial == 85_511 - 60 - 20 - 150 + 4_890 - 35
    assert split.notes == ("partial: 230 of 85511 training inputs", "partial: 35 of 4890 test inputs")
    assert isinstance(split.train_x, np.memmap) and isinstance(split.test_x, np.memmap)
    assert load("kws", cache.parent / f"{cache.name}-2").digest == split.digest


def test_inputs_are_whole_codes(speech: Path, cache: Path) -> None:
    split = load("kws", cache)
    for x in (split.train_x, split.test_x):
        assert np.array_equal(128 * x, np.round(128 * x)) and x.min() == -1 and x.max() > 0.5


def test_test_inputs_are_the_front_end_of_the_file_and_most_training_inputs_have_noise(
    speech: Path, cache: Path
) -> None:
    split = load("kws", cache)

    def features(path: Path, low: float) -> Any:
        sound, _ = soundfile.read(path, dtype="float32")
        return KWS.features(data.window(data.peak_normalised(sound).clip(low, 1), 16_000))

    for index, speaker in enumerate(SPEAKERS["test"]):
        path = speech / TEST / "down" / f"{speaker:08x}_nohash_0.wav"
        assert np.array_equal(split.test_x[split.test_y == 0][index, 0], features(path, -np.inf))
    paths = [speech / MAIN / word / f"{speaker:08x}_nohash_0.wav" for word in WORDS for speaker in SPEAKERS["train"]]
    clean = {features(path, -1).tobytes() for path in paths}
    alone = np.mean([x.tobytes() in clean for x, y in zip(split.train_x, split.train_y, strict=True) if y < 10])
    assert 0.05 < alone < 0.4


def test_another_noise_makes_other_inputs(speech: Path, cache: Path) -> None:
    before = load("kws", cache).digest
    (speech / MAIN / "_background_noise_" / "running_tap.wav").unlink()
    assert load("kws", cache).digest == before
    tone(speech / MAIN / "_background_noise_" / "pink_noise.wav", 0.3, 16_000, 6)
    assert load("kws", cache).digest != before


def test_training_clips_that_are_test_clips_are_left_out(speech: Path, cache: Path) -> None:
    shutil.copy(speech / TEST / "_unknown_" / "0.wav", speech / MAIN / "bed" / "00000000_nohash_0.wav")
    split = load("kws", cache)
    assert np.bincount(split.train_y)[11] == 6 * 25 - 1
    assert split.notes[2:] == ("1 training inputs left out that also are test inputs (bed/00000000_nohash_0.wav)",)
    assert split.notes[0] == "partial: 230 of 85511 training inputs"


def other_rate(speech: Path) -> None:
    tone(speech / MAIN / "yes" / "00000001_nohash_0.wav", 0.3, 8_000, 1)


def too_long(speech: Path) -> None:
    tone(speech / TEST / "_silence_" / "0.wav", 0.3, 16_000, 1.1)


def short_noise(speech: Path) -> None:
    tone(speech / MAIN / "_background_noise_" / "pink_noise.wav", 0.3, 16_000, 0.9)


def no_sound(speech: Path) -> None:
    (speech / TEST / "up" / "00000008_nohash_0.wav").write_text("not a sound")


def gone(speech: Path) -> None:
    (speech / TEST / "up" / "00000008_nohash_0.wav").unlink()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (other_rate, "corrupt: yes/00000001_nohash_0.wav: has 8000 samples per second, not 16000"),
        (too_long, f"corrupt: {TEST}/_silence_/0.wav: is longer than 1 s"),
        (short_noise, "corrupt: _background_noise_/pink_noise.wav is not longer than 1 s"),
        (no_sound, f"corrupt: {TEST}/up/00000008_nohash_0.wav: is no sound of a format that is read"),
        (gone, f"missing: {TEST}/up: 2 of 3"),
        (lambda _: None, f"missing: {TEST}/_silence_: 2 of 408"),
    ],
)
def test_what_is_missing_or_not_as_published_is_named(
    damage: Callable[[Path], None], line: str, speech: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(speech)
    load("kws", cache)  # what is left of it
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(data.Incomplete) as caught:
        load("kws", cache)
    assert any(found.startswith(line) for found in caught.value.lines)
    assert "\n" not in str(caught.value)


def one_more(speech: Path) -> None:
    tone(speech / TEST / "yes" / "00000001_nohash_0.wav", 0.3, 16_000)


def other_folder(speech: Path) -> None:
    tone(speech / TEST / "bed" / "00000001_nohash_0.wav", 0.3, 16_000)


def in_two_lists(speech: Path) -> None:
    with (speech / MAIN / "validation_list.txt").open("a") as file:
        file.write("yes/00000008_nohash_0.wav\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (one_more, rf"1 unexpected \({TEST}/yes: 4 of 3\)"),
        (other_folder, rf"1 unexpected \({TEST}/bed/\)"),
        (in_two_lists, r"yes/00000008_nohash_0\.wav is in both lists"),
        (lambda speech: (speech / MAIN / "testing_list.txt").unlink(), r"testing_list\.txt cannot be read"),
        (lambda speech: shutil.rmtree(speech / TEST / "_silence_"), "no test inputs are left of silence"),
    ],
)
def test_what_would_make_results_wrong_is_refused(
    damage: Callable[[Path], object], message: str, speech: Path, cache: Path
) -> None:
    damage(speech)
    with pytest.raises(UserError, match=message):
        load("kws", cache)


def test_the_test_set_is_asked_for_where_only_the_words_are_here(
    speech: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(speech / TEST)
    monkeypatch.setattr("kilobench.data.sources._download", refuse)
    with pytest.raises(data.Damaged, match=TEST):
        load("kws", cache)


def refuse(source: Any, *_: object) -> None:
    """No test asks another machine."""
    raise data.Damaged(source.folder)


@needs_real("mlperf-tiny")
@needs_real(TEST)
def test_the_published_files_are_those_of_the_audio() -> None:
    """Every one of kws01 is, within a code, what the front end makes of one of the test set's clips of its class."""
    published = inputs_of("kws_ref_model", 490)
    codes = published.x.reshape(-1, KWS.FRAMES, KWS.COEFFICIENTS).astype(int)
    names = (*WORDS, "_silence_", "_unknown_")
    for label, name in enumerate(names):
        sounds = [data.decode(path, 16_000) for path in data.sound_files(Path(REAL_DATA) / TEST / name)]
        ours = np.stack([KWS.features(data.window(data.peak_normalised(one), 16_000)) for one in sounds]) * 128
        nearest = [np.abs(ours - one).max(axis=(1, 2)).min() for one in codes[published.labels == label]]
        assert np.mean(np.array(nearest) <= 1) > 0.99, name


def test_every_word_of_the_benchmark_is_one_of_the_archive() -> None:
    assert set(WORDS) < set(COUNTS)
