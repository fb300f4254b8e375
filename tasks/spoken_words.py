# SPDX-License-Identifier: Apache-2.0
"""Synthetic spoken words, made offline with espeak-ng."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Frontend, Progress, Shape, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = (  # noqa: SIM905 (a list of words reads best as words)
    "yes no up down left right on off stop go zero one two three four five six seven eight nine "
    "cat dog bird fish horse cow sheep duck mouse bear red blue green white black brown pink grey gold house "
    "door floor wall roof chair table lamp clock book pen cup plate fork spoon knife bread milk cheese meat rice "
    "salt sugar tea apple pear plum lemon sun moon star rain snow wind cloud tree leaf grass rose hill lake "
    "road bridge car train boat plane bike hand foot head nose mouth eye ear hat shoe coat ring happy belt"
).split()
"""A class each; a task of N classes has the first N."""

RATE = 8000
LENGTH = 6400
_ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
_SPEAKERS = {
    "train": ["m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3"],
    "test": ["m7", "m8", "f4", "f5"],
    "more": (  # noqa: SIM905
        "Alex Alicia Andrea Andy Annie AnxiousAndy Demonic Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario "
        "Michael Mike Reed RicishayMax RicishayMax2 RicishayMax3 Storm Tweaky UniRobot adam anika anikaRobot announcer "
        "antonio belinda benjamin boris caleb croak david ed edward edward2 fast grandma grandpa gustave ian iven iven2 "
        "iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 klatt5 klatt6 linda marcelo max michel miguel mike2 "
        "norbert pablo paul pedro quincy rob robert robosoft robosoft2 robosoft3 robosoft7 robosoft8 sandro shelby steph "
        "steph2 steph3 travis victor whisper whisperf zac"
    ).split(),
}
"""Variants of espeak-ng, all but five that share at least half of their settings with one of the test (and "Mr serious")."""
_TAKES = {"train": 3, "test": 2, "more": 1}
_FEW = len(_SPEAKERS["train"])
_MANY = _FEW + len(_SPEAKERS["more"])


class SpokenWords(Task):
    """Synthetic: single words spoken by espeak-ng in seven English accents, with noise; the test speakers are unseen.

    0.8 s at 8 kHz, 56 test clips per class, of four voices. ``voices``: 9 for 189 training clips per class, or 94, which
    adds 595 of voices that are further apart (whispers, robots). Pitch, speed, gain and pink noise (0 to 20 dB below the
    word) vary at random from a fixed seed. A synthesiser's voices vary far less than people do: accuracies say how
    methods compare, not how a product would hear.
    """

    name = "spoken-words"
    reference = "espeak-ng, https://github.com/espeak-ng/espeak-ng"
    kind = "audio"
    network = "acdnet[width=0.75]"
    synthetic = True
    from_code = True
    sample_rate = RATE
    classes: int = 10
    voices: int = _FEW

    def __post_init__(self) -> None:
        if self.voices not in (_FEW, _MANY):
            raise UserError(f"spoken-words: voices must be {_FEW} or {_MANY}, not {self.voices}")

    @property
    def training(self) -> Training:
        """With 94 voices, and four times as many clips, fewer epochs for more words."""
        epochs = 60 if self.voices == _FEW else max(10, 300 // self.class_count)
        return Training(epochs=epochs, stretch=1.25, tilt=0.9)

    @property
    def class_count(self) -> int:
        """As asked for, 2 to 100."""
        if not 2 <= self.classes <= len(WORDS):
            raise UserError(f"spoken-words: classes must be from 2 to {len(WORDS)}, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """0.8 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """Synthesise what is not in the cache yet, a fresh process per word, so that every word is the same for any N."""
        import numpy as np

        words = WORDS[: self.class_count]
        cache = cache / f"spoken-words-{data.code_key(Path(__file__))}"
        train_parts = ("train", "more") if self.voices == _MANY else ("train",)
        wanted: dict[str, tuple[str, Sequence[str]]] = {word: (word, ("train", "test")) for word in words}
        if "more" in train_parts:
            wanted |= {f"{word}-more": (word, ("more",)) for word in words}
        made: dict[str, list[NDArray[np.float32]]] = {part: [] for part in _SPEAKERS}
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            missing = {key: pool.submit(synthesise, key, *wanted[key]) for key in wanted if not (cache / key).is_dir()}
            for done, (key, (_, parts)) in enumerate(wanted.items()):
                clips = data.cached_arrays(cache, key, partial(_store, pool, key, wanted[key], missing.get(key)))
                for part in parts:
                    made[part].append(np.asarray(clips[part], dtype=np.float32) / np.float32(32768))
                progress("synthesising words", done + 1, len(wanted))

        def joined(parts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            x = np.concatenate([clips for part in parts for clips in made[part]])[:, None, None, :]
            counts = [len(clips) for part in parts for clips in made[part]]
            return x, np.repeat(np.tile(np.arange(len(words)), len(parts)), counts)

        train_x, train_y = joined(train_parts)
        test_x, test_y = joined(["test"])
        digest = data.digest([train_x, train_y, test_x, test_y])
        groups = np.concatenate([_speakers(part, len(words)) for part in train_parts])
        return Split(train_x, train_y, test_x, test_y, tuple(words), digest, ("synthetic speech",), train_groups=groups)


class SpokenWordsLogmel(SpokenWords):
    """Synthetic: spoken-words as spectrograms, which boards make of its samples: 49 frames of 32 mel bands.

    The same clips and variations as spoken-words, by a front end in integers: frames of 32 ms every 16 ms, bands from 60 to
    4000 Hz, 0.35 dB a code. ``classes`` and ``voices`` as there.
    """

    name = "spoken-words-logmel"
    network = "ds_cnn"
    frontend = Frontend(rate=RATE, frame=256, hop=128, bands=32, points=256, hertz=(60, 4000))


def _speakers(part: str, words: int) -> NDArray[np.int64]:
    """The number of the voice of every clip of a part."""
    import numpy as np

    first = _FEW if part == "more" else 0
    once = np.repeat(first + np.arange(len(_SPEAKERS[part])), _TAKES[part])
    return np.tile(once, len(_ACCENTS) * words)


def _store(
    pool: ProcessPoolExecutor,
    key: str,
    wanted: tuple[str, Sequence[str]],
    begun: Future[dict[str, NDArray[np.int16]]] | None,
    create: data.Create,
) -> None:
    """Put the clips of a word, once they are there, into the cache."""
    synthesis = begun or pool.submit(synthesise, key, *wanted)
    for part, samples in synthesis.result().items():
        create(part, samples.shape, "<i2")[:] = samples


def synthesise(seed: str, word: str, parts: Sequence[str]) -> dict[str, NDArray[np.int16]]:
    """All clips of one word in some parts of the data, int16 [n, LENGTH]; to be called once per process.

    What varies is drawn from a generator that ``seed`` starts.
    """
    import numpy as np

    engine = _Engine()
    generator = np.random.default_rng(zlib.crc32(seed.encode()))
    clips = {}
    for part in parts:
        clips[part] = np.stack(
            [
                _take(engine, word, f"{accent}+{speaker}", generator)
                for accent in _ACCENTS
                for speaker in _SPEAKERS[part]
                for _ in range(_TAKES[part])
            ]
        )
    return clips


def _take(engine: _Engine, word: str, voice: str, generator: np.random.Generator) -> NDArray[np.int16]:
    """One clip: the word at a random speed, pitch and place, in noise, at a random level."""
    import numpy as np

    speech = engine.say(word, voice, int(generator.integers(130, 240)), int(generator.integers(20, 80)))
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    speech = data.normalise(speech[loud[0] : loud[-1] + 1][:LENGTH])
    clip = np.zeros(LENGTH, dtype=np.float32)
    start = int(generator.integers(0, LENGTH - len(speech) + 1))
    clip[start : start + len(speech)] = speech
    spectrum = np.fft.rfft(generator.standard_normal(LENGTH)) / np.sqrt(np.arange(LENGTH // 2 + 1) + 1)
    noise = data.normalise(np.fft.irfft(spectrum, LENGTH).astype(np.float32))
    clip += noise * np.float32(10 ** (-generator.uniform(0, 20) / 20))
    clip = data.normalise(clip) * np.float32(10 ** (generator.uniform(-6, 6) / 20))
    return np.clip(np.rint(clip * 32767), -32768, 32767).astype(np.int16)


class _Engine:
    """espeak-ng through ctypes (speak_lib.h): text in, samples out."""

    _SYNCHRONOUS, _RATE, _PITCH, _CHARS_UTF8 = 2, 1, 3, 1

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        path = str(espeakng_loader.get_data_path()).encode()
        self._source_rate = self._library.espeak_Initialize(self._SYNCHRONOUS, 0, path, 0)
        if self._source_rate <= 0:
            raise UserError("spoken-words: espeak-ng does not start; reinstall the espeakng-loader package")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breathy voices are partly noise
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._chunks: list[bytes] = []

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: object) -> int:
        if count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> NDArray[np.float32]:
        """Samples at RATE; ``speed`` in words a minute, ``pitch`` 0 to 99."""
        import numpy as np
        import soxr

        self._chunks.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"spoken-words: espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(self._RATE, speed, 0)
        self._library.espeak_SetParameter(self._PITCH, pitch, 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, self._CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16).astype(np.float32) / 32768
        return np.asarray(soxr.resample(samples, self._source_rate, RATE), dtype=np.float32)
