# SPDX-License-Identifier: Apache-2.0
"""Odd sounds: read, or refused by name and reason, without what their headers promise being allocated."""

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kilobench import data
from kilobench.contracts import UserError
from tests.data.fuzz import sounds

RATE = 8000
SAMPLES = np.sin(np.arange(2000) * 0.3) / 2


def wav(
    *, rate: int = RATE, channels: int = 1, riff: int | None = None, size: int | None = None, samples: int = 2000
) -> bytes:
    """A WAV file of 16 bits whose header says what it is told to."""
    content = (SAMPLES[:samples] * 32767).astype("<i2").tobytes()
    fields = (16, 1, channels, rate, min(rate * 2, 2**32 - 1), 2 * channels % 65536, 16)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", *fields) + b"data"
    size, riff = len(content) if size is None else size, 36 + len(content) if riff is None else riff
    return b"RIFF" + struct.pack("<I", riff) + head + struct.pack("<I", size) + content


def flac(total: int) -> bytes:
    """A FLAC file whose header says so many samples; 0 stands for an unknown number."""
    content = bytearray(sounds()["pcm_16.flac"])
    content[21:26] = ((content[21] & 0xF0) << 32 | total).to_bytes(5, "big")
    return bytes(content)


def of_floats(*values: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        soundfile.write(path, np.tile(np.array(values), (100, 1)), RATE, subtype="DOUBLE", format="WAV")

    return write


READ: dict[str, bytes | Callable[[Path], None]] = {
    "as it should be": wav(),
    "RIFF size unknown": wav(riff=0xFFFFFFFF),
    "both sizes unknown": wav(riff=0xFFFFFFFF, size=0xFFFFFFFF),
    "RIFF size 0": wav(riff=0),
    "bytes behind it": wav() + b"junk",
    "a FLAC that says nothing of its length": flac(0),
    "five channels": of_floats(0.1, 0.2, 0.3, 0.4, 0.5),
    "a value over 1": of_floats(50.0),
}
REFUSED: dict[str, tuple[bytes | Callable[[Path], None], str]] = {
    "nothing": (b"", "is no sound of a format that is read (WAV, AIFF, AU, FLAC and Ogg are)"),
    "text": (b"not a sound", "is no sound of a format that is read (WAV, AIFF, AU, FLAC and Ogg are)"),
    "MP3": (
        b"\xff\xf3\x28\xc4" + bytes(range(256)) * 8,
        "is no sound of a format that is read (WAV, AIFF, AU, FLAC and Ogg are)",
    ),
    "a FLAC of 2^36 samples": (flac(2**36 - 1), "is cut short"),
    "a FLAC of one sample more": (flac(6001), "is cut short"),
    "a FLAC of noise": (flac(0)[:86] + bytes(range(256)) * 16, "cannot be decoded: "),
    "1 Hz": (wav(rate=1), "has 1 samples per second; 1000 to 192000 are read"),
    "2^31 - 1 Hz": (wav(rate=2**31 - 1), "has 2147483647 samples per second; 1000 to 192000 are read"),
    "2^31 Hz": (wav(rate=2**31), ""),
    "no channels": (wav(channels=0), "cannot be decoded: "),
    "65535 channels": (wav(channels=65535), "cannot be decoded: "),
    "no samples": (wav(samples=0), "holds no samples"),
    "a size of 0": (wav(size=0), ""),
    "a size beyond its end": (wav(size=4002), "is cut short"),
    "a RIFF size beyond its end": (wav(riff=4040), "is cut short"),
    "half of it": (wav()[:2000], "is cut short"),
    "NaN": (of_floats(0.5, float("nan")), "holds samples that are NaN or infinite"),
    "infinity": (of_floats(float("-inf")), "holds samples that are NaN or infinite"),
    "more than float32 can hold": (of_floats(1e300), "holds samples that are NaN or infinite"),
    "a mean that float32 cannot hold": (of_floats(3e38, 3e38), "holds samples that are NaN or infinite"),
    "longer than 600 s": (
        lambda path: soundfile.write(path, np.zeros(600_001, np.int16), 1000, format="FLAC"),
        "is longer than 600 s",
    ),
}


def put(path: Path, content: bytes | Callable[[Path], None]) -> None:
    path.write_bytes(content) if isinstance(content, bytes) else content(path)


@pytest.mark.parametrize("what", READ)
def test_odd_but_right_sounds_are_read(what: str, tmp_path: Path) -> None:
    put(tmp_path / "odd.wav", READ[what])
    samples = data.decode(tmp_path / "odd.wav", RATE)
    assert len(samples) in (100, 2000, 6000) and np.abs(samples).max() > 0.1


@pytest.mark.parametrize("what", REFUSED)
def test_sounds_that_lie_are_refused_before_memory_is_taken(what: str, tmp_path: Path) -> None:
    put(tmp_path / "odd.wav", REFUSED[what][0])
    tracemalloc.start()
    with pytest.raises(UserError) as raised:
        data.decode(tmp_path / "odd.wav", RATE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(raised.value).startswith(f"odd.wav {REFUSED[what][1]}") and str(raised.value).isprintable()
    assert most < 20_000_000


@pytest.mark.parametrize("name", sounds())
def test_a_sound_cut_short_is_told_in_every_format_that_is_read(name: str, tmp_path: Path) -> None:
    content = sounds()[name]
    for end in (len(content) * 2 // 3, len(content) - 200):
        (tmp_path / name).write_bytes(content[:end])
        with pytest.raises(UserError, match=f"^{name} (is cut short|cannot be decoded: |holds no samples)"):
            data.decode(tmp_path / name, RATE)


def test_blocks_make_the_same_sound(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=(100_000, 3)) / 10
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert np.array_equal(data.decode(tmp_path / "a.wav", RATE), whole.mean(axis=1))


def test_a_sound_of_less_than_a_sample_at_the_rate_asked_for_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", [0.5], 192_000)
    with pytest.raises(UserError, match=r"^a\.wav holds no samples$"):
        data.decode(tmp_path / "a.wav", 1000)


def test_names_that_are_no_text_or_say_another_format_do_not_matter(tmp_path: Path) -> None:
    for name in ("a.raw", "a", "é.flac", os.fsdecode(b"th\xe9.wav")):
        (tmp_path / name).write_bytes(wav())
        assert len(data.decode(tmp_path / name, RATE)) == 2000
