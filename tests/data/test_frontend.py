# SPDX-License-Identifier: Apache-2.0
"""Front ends in integers against their definition in SciPy's words and in floating point; what no front end can be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from kilobench.contracts import Frontend, UserError
from kilobench.data.frontend import features, tables

Array = np.ndarray[Any, Any]
FRONTENDS = {
    "16 ms": Frontend(rate=8000, frame=128, hop=64, bands=16, points=128, hertz=(100, 4000)),
    "32 ms": Frontend(rate=8000, frame=256, hop=128, bands=32, points=256, hertz=(60, 4000)),
    "zeros behind": Frontend(rate=16_000, frame=480, hop=320, bands=40, points=512),
    "51 ms": Frontend(rate=20_000, frame=1024, hop=512, bands=40, points=1024, hertz=(50, 10_000)),
    "largest": Frontend(rate=44_100, frame=2048, hop=1024, bands=80, points=2048, hertz=(50, 20_000)),
}
LENGTH = 12_000


def sounds(rate: int) -> dict[str, Array]:
    """Of 16 bits, loud, faint, and clipped."""
    r, time = np.random.default_rng(0), np.arange(LENGTH) / rate
    tone = np.sin(2 * np.pi * 997 * time)
    floats = {
        "noise": 8000 * r.normal(size=LENGTH),
        "faint noise": 20 * r.normal(size=LENGTH),
        "brown noise": scipy.signal.lfilter([1], [1, -0.98], 1000 * r.normal(size=LENGTH)),
        "tone": 32_767 * tone,
        "tone at -60 dB": 33 * tone,
        "clipped tone": 100_000 * tone,
        "sweep": 20_000 * scipy.signal.chirp(time, 100, time[-1], 0.4 * rate),
        "silence": 0 * time,
        "one sample": -32_768 * (np.arange(LENGTH) % 700 == 0),
    }
    return {name: np.clip(np.rint(x), -32_768, 32_767).astype(np.int16) for name, x in floats.items()}


def bands(frontend: Frontend, sound: Array) -> tuple[Array, Array]:
    """In floating point and in dB of a sine of full scale: [frames, bands], and the strongest bin of every frame."""

    def mel(f: Any) -> Any:
        return 2595 * np.log10(1 + f / 700)

    corners = np.linspace(mel(frontend.hertz[0]), mel(frontend.hertz[1]), frontend.bands + 2)
    bins = mel(np.arange(frontend.points // 2 + 1) * frontend.rate / frontend.points)
    weights = np.stack([np.interp(bins, corners[band : band + 3], (0, 1, 0)) for band in range(frontend.bands)])
    weights[:, [0, -1]] = 0
    shape = scipy.signal.get_window("hann", frontend.frame, fftbins=True)
    starts = range(0, len(sound) - frontend.frame + 1, frontend.hop)
    frames = np.stack([sound[start : start + frontend.frame] * shape for start in starts]) / 2**15
    powers = np.abs(scipy.fft.rfft(frames, frontend.points)) ** 2 / (1.5 * (frontend.frame / 4) ** 2) + 1e-30
    return 10 * np.log10(powers @ weights.T + 1e-30), 10 * np.log10(powers[:, 1:-1].max(axis=1, keepdims=True))


def codes(frontend: Frontend, decibels: Array) -> Array:
    low, high = frontend.decibels
    return np.asarray(np.clip((decibels - low) / (high - low) * 255, 0, 255))


@pytest.mark.parametrize("name", FRONTENDS)
def test_bands_are_those_of_floating_point(name: str) -> None:
    """Within 1.5 codes (0.5 dB) where a band is less than 55 dB below its frame's strongest bin: powers have 31 bits."""
    frontend = FRONTENDS[name]
    for what, sound in sounds(frontend.rate).items():
        decibels, strongest = bands(frontend, sound)
        found, wanted = features(frontend, sound[None])[0], codes(frontend, decibels)
        assert found.shape == wanted.shape == frontend.shape(LENGTH)[1:]
        off = np.abs(found - wanted)
        assert off[decibels > strongest - 55].max(initial=0) < 1.5, what
        assert off[decibels < strongest - 55].max(initial=0) < 45, what


def test_a_sine_of_full_scale_is_the_highest_code_and_silence_the_lowest() -> None:
    frontend = FRONTENDS["51 ms"]
    sine = np.rint(32_767 * np.sin(2 * np.pi * 5000 * np.arange(2048) / frontend.rate)).astype(np.int16)
    heard = features(frontend, np.stack([sine, 0 * sine]))
    assert heard[0].max() in range(248, 256) and not heard[1].any()


def test_cepstra_are_a_dct_of_the_bands() -> None:
    frontend = replace(FRONTENDS["zeros behind"], coefficients=13)
    for what, sound in sounds(frontend.rate).items():
        logs = features(replace(frontend, coefficients=0), sound[None])[0] - 128.0
        wanted = scipy.fft.dct(logs, axis=1)[:, :13] / frontend.bands * np.array([0.5, *[2] * 12])
        found = features(frontend, sound[None])[0]
        assert np.abs(found - (128 + wanted).clip(0, 255)).max() < 1.5, what


def test_a_sound_is_heard_alone_as_among_others() -> None:
    many = np.stack(list(sounds(8000).values()))
    together = features(FRONTENDS["16 ms"], many)
    assert all(
        np.array_equal(features(FRONTENDS["16 ms"], one[None])[0], heard)
        for one, heard in zip(many, together, strict=True)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": 1000}, "points must be a power of two"),
        ({"points": 4096}, "points must be a whole number from 16 to 2048, not 4096"),
        ({"frame": 513}, "frame must be even, and at most points"),
        ({"frame": 1024}, "frame must be even, and at most points"),
        ({"hop": 0}, "hop must be a whole number from 1 to 65535, not 0"),
        ({"hop": 1.5}, "hop must be a whole number from 1 to 65535, not 1.5"),
        ({"coefficients": 41}, "coefficients must be at most bands"),
        ({"hertz": (20, 8001)}, "hertz must rise, from 0 to half the rate"),
        ({"decibels": (-30, 0)}, "decibels must be at least 40 apart, from -160 to 40"),
        ({"bands": 128}, "no frequency of 512 points lies in band 4; take fewer bands"),
        (
            {"bands": 2, "points": 2048, "hertz": (0, 8000)},
            "a band has more than 256 frequencies on one side; take more",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"frontend: {message}".replace("(", r"\(")):
        tables(replace(FRONTENDS["zeros behind"], **changes))


def test_a_sound_is_a_frame_at_least() -> None:
    with pytest.raises(UserError, match="a sound of 479 samples is shorter than a frame of 480"):
        FRONTENDS["zeros behind"].shape(479)
