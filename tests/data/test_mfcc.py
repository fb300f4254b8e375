# SPDX-License-Identifier: Apache-2.0
"""The front end of keyword spotting: against its definition in SciPy's words, and against MLPerf Tiny's 1000 published files.

Their audio is not here. What can be told without it: frames of digital silence; white noise, whose coefficients do not depend
on the recording; the volume; and whether the reference network understands speech that went through this front end.
"""

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soxr

from kilobench import data
from tests.compile.mlperf import host_outputs, inputs_of
from tests.tasks.loading import needs_real

Array = np.ndarray[Any, Any]
KWS: Any = importlib.import_module("kilobench.contrib.tasks.kws")
RATE = 16_000
WHITE = 40
"""Seconds of noise made here."""


def described(
    sound: Array,
    window: str = "hann",
    length: int = 480,
    stride: int = 320,
    hertz: tuple[float, float] = (20.0, 4000.0),
    bands: int = 40,
    power: int = 1,
    floor: float = 1e-6,
    full_scale: float = 1.0,
) -> Array:
    """Ten coefficients of every frame, as documented, but for what is given; slow and plain."""

    def mel(f: Any) -> Any:
        return 2595 * np.log10(1 + f / 700)

    points = 2 ** int(np.ceil(np.log2(length)))
    corners = np.linspace(mel(hertz[0]), mel(hertz[1]), bands + 2)
    bins = mel(np.arange(points // 2 + 1) * RATE / points)
    weights = np.stack([np.interp(bins, corners[band : band + 3], (0, 1, 0)) for band in range(bands)])
    weights[:, 0] = 0
    shape = scipy.signal.get_window(window, length, fftbins=True)
    starts = range(0, len(sound) - length + 1, stride)
    spectra = [np.abs(scipy.fft.rfft(full_scale * sound[start : start + length] * shape, points)) for start in starts]
    logs = np.log(np.stack(spectra) ** power @ weights.T + floor)
    return np.asarray(scipy.fft.dct(logs, type=2)[:, :10] / np.sqrt(2 * bands))


WRONG: dict[str, dict[str, Any]] = {
    "rectangular": {"window": "boxcar"},
    "40 ms": {"length": 640},
    "25 ms": {"length": 400},
    "10 ms apart": {"stride": 160},
    "to 8 kHz": {"hertz": (20.0, 8000.0)},
    "from 125 Hz": {"hertz": (125.0, 3800.0)},
    "32 bands": {"bands": 32},
    "64 bands": {"bands": 64},
    "power": {"power": 2},
}
"""Front ends of others."""


def codes(coefficients: Array) -> Array:
    """On the grid of the published files."""
    return np.trunc(coefficients / 0.5847029 + 83).clip(-128, 127).astype(np.int8)


@cache
def published() -> tuple[Array, Array]:
    """[1000, 49, 10] and their classes."""
    inputs = inputs_of("kws_ref_model", 490)
    assert inputs.labels is not None
    return inputs.x.reshape(-1, 49, 10).astype(int), inputs.labels


@pytest.mark.parametrize("seed", range(3))
def test_it_computes_what_is_documented(seed: int) -> None:
    sound = np.random.default_rng(seed).normal(size=RATE).astype(np.float32) * 0.01**seed
    found = data.mfcc(sound, RATE, 10)
    assert found.shape == (49, 10) and found.dtype == np.float32
    np.testing.assert_allclose(found, described(sound), atol=2e-5)
    assert data.mfcc(sound, RATE, 10).tobytes() == found.tobytes()
    assert data.mfcc(sound[:480], RATE, 3).shape == (1, 3)


def test_a_sound_of_any_volume_has_the_same_coefficients() -> None:
    sound = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    found = [data.mfcc(data.peak_normalised(sound * np.float32(gain)), RATE, 10) for gain in (1, 0.01)]
    np.testing.assert_allclose(*found, atol=1e-4)
    assert data.peak_normalised(np.array([-3, 2], np.float32)).tolist() == [-1.5, 1]
    assert not data.peak_normalised(np.zeros(3, np.float32)).any()


@needs_real("mlperf-tiny")
def test_the_published_frames_of_digital_silence_are_ours() -> None:
    """Clips that were shorter than 1 s end in zeros; a code of 83 is cut off to 82 by the rounding of a zero."""
    x, _ = published()
    frames, counts = np.unique(x.reshape(-1, 10), axis=0, return_counts=True)
    often = frames[counts.argmax()]
    assert counts.max() > 500 and counts.max() > 50 * np.sort(counts)[-2]
    ours = codes(data.mfcc(np.zeros(480, np.float32), RATE, 10))[0]
    assert ours[0] == often[0] and np.abs(ours - often).max() <= 1
    for wrong in (described(np.zeros(480), floor=1e-5), described(np.zeros(480), bands=32)):
        assert abs(codes(wrong)[0, 0] - ours[0]) > 9


@needs_real("mlperf-tiny")
def test_published_files_are_frames_of_coefficients() -> None:
    """A frame is like its neighbours, and the first coefficient is of another size than the others."""
    x, _ = published()
    other = x.reshape(-1, 10, 49)
    assert np.abs(np.diff(x, axis=1)).mean() < 0.5 * np.abs(np.diff(other, axis=1)).mean()
    assert x[:, :, 0].std() > 3 * x[:, :, 1:].std()


def statistics(x: Array) -> tuple[Array, float, float]:
    """Of noise [n, 49, 10]: means of all coefficients but the first, their deviation, the correlation from frame to frame."""
    rest = x[:, :, 1:] - x[:, :, 1:].mean(axis=1, keepdims=True)
    after = (rest[:, 1:] * rest[:, :-1]).mean() / (rest**2).mean()
    return x.mean(axis=(0, 1))[1:], float(rest.std()), float(after)


@cache
def white_clips() -> tuple[Array, float, float]:
    """The statistics of those published clips that are white noise.

    Excerpts of one recording, they are the largest group of clips of "silence" whose mean coefficients are all but equal.
    """
    x, labels = published()
    silence = x[labels == 10]
    means = silence.mean(axis=1)
    apart = np.abs(means[:, None] - means).max(axis=2)
    group = apart[(apart < 0.8).sum(axis=1).argmax()] < 0.8
    assert group.sum() >= 10
    return statistics(silence[group])


def white_agrees(**changed: Any) -> tuple[bool, bool, bool]:
    """Whether means, deviation, and correlation of white noise are those of the published clips."""
    noise = np.random.default_rng(0).normal(size=(WHITE, RATE)).clip(-3, 3)
    ours = statistics(codes(np.stack([described(one / one.max(), **changed)[:49] for one in noise])).astype(float))
    theirs = white_clips()
    return (
        bool(np.abs(ours[0] - theirs[0]).max() < 0.2),
        abs(ours[1] / theirs[1] - 1) < 0.05,
        abs(ours[2] - theirs[2]) < 0.06,
    )


@needs_real("mlperf-tiny")
def test_white_noise_of_the_published_files_has_our_coefficients() -> None:
    """To 0.2 of a code, of 0.58; our front end is the one described, as the first test shows."""
    assert white_agrees() == (True, True, True)


@needs_real("mlperf-tiny")
@pytest.mark.parametrize("wrong", WRONG)
def test_white_noise_tells_another_front_end(wrong: str) -> None:
    assert not all(white_agrees(**WRONG[wrong]))


@cache
def speech() -> tuple[Array, Array]:
    """The ten words by espeak-ng in 14 British voices, in the middle of 1 s of weak noise, and their classes."""
    words = importlib.import_module("kilobench.contrib.tasks.spoken_words")
    engine, generator = words._Engine(), np.random.default_rng(0)
    sounds = []
    for voice in (f"{sex}{index}" for sex, count in (("m", 8), ("f", 5)) for index in range(1, count + 1)):
        for word in KWS.CLASSES[:10]:
            engine.say(word, f"en+{voice}", 150, 50)
            said = np.frombuffer(b"".join(engine._chunks), np.int16).astype(np.float32) / 32768
            said = soxr.resample(said, engine._source_rate, RATE)
            loud = np.flatnonzero(np.abs(said) > 0.02 * np.abs(said).max())
            said = said[loud[0] : loud[-1] + 1][:RATE]
            before = (RATE - len(said)) // 2
            sound = np.pad(said, (before, RATE - len(said) - before))
            sounds.append(sound + generator.normal(size=RATE) * 0.01 * np.sqrt(np.mean(sound**2)))
    return np.stack(sounds).astype(np.float32), np.tile(np.arange(10), len(sounds) // 10)


def understood(front_ends: Sequence[Any]) -> list[float]:
    """The accuracy of the reference network, in our C, on this speech, for every front end."""
    sounds, labels = speech()
    x = np.concatenate([codes(np.stack([one(sound)[:49] for sound in sounds])) for one in front_ends])
    found = host_outputs("kws_ref_model", x.reshape(len(x), -1)).argmax(axis=1).reshape(len(front_ends), -1)
    return [float(np.mean(row == labels)) for row in found]


@needs_real("mlperf-tiny")
def test_the_reference_network_understands_speech_through_our_front_end_and_less_through_others() -> None:
    ours, *others = understood(
        [
            lambda sound: data.mfcc(data.peak_normalised(sound), RATE, 10),
            lambda sound: described(sound / sound.max(), full_scale=32768),
            lambda sound: described(sound / sound.max(), hertz=(20.0, 8000.0)),
        ]
    )
    assert ours > 0.7
    assert max(others) < ours - 0.1


@needs_real("mlperf-tiny")
def test_published_clips_are_as_loud_as_normalised_ones() -> None:
    """The loudest frame of everyone, silence too; a quiet voice that is not normalised is quieter than all of them."""
    x, _ = published()
    sounds, _ = speech()
    least = int(x[:, :, 0].max(axis=1).min())
    quiet = [sound / sound.max() * np.float32(0.01) for sound in sounds[::10]]
    normalised, raw = (
        [int(codes(data.mfcc(one, RATE, 10))[:, 0].max()) for one in those]
        for those in ([data.peak_normalised(one) for one in quiet], quiet)
    )
    assert max(raw) < least <= min(normalised) + 5
