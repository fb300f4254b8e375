# SPDX-License-Identifier: Apache-2.0
"""Sound: decoding, windows, loudness.

Decoding and resampling happen once; what they made is kept as ``.npy`` files under the SHA-256 of the sound files'
contents and of the code that made it, and read through memory maps. Samples are kept as float32, exactly as computed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kilobench.closure import hashed
from kilobench.contracts import Progress, UserError
from kilobench.data.arrays import Create, cached_arrays, code_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


T = TypeVar("T")


def sound_files(folder: Path, pattern: str = "*.wav") -> list[Path]:
    """The files of a folder that match, sorted by path, without hidden ones (``.DS_Store``, ``._x.wav``)."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and path.is_file())


def decode(path: Path, rate: int) -> NDArray[np.float32]:
    """A sound file of any libsndfile format as mono float32 in [-1, 1] at ``rate`` samples per second.

    Raises UserError for a file that is not sound, ends before its header says, or holds what is no number.
    """
    import numpy as np
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            source_rate, promised = file.samplerate, file.frames
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path.name} cannot be decoded: {error}") from None
    if len(samples) < promised or not len(samples) or _cut_wav(path):
        raise UserError(f"{path.name} is cut short")
    if not np.isfinite(samples).all():
        raise UserError(f"{path.name} holds samples that are NaN or infinite")
    mono = samples.mean(axis=1)
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate)
    return np.asarray(mono, dtype=np.float32)


def _cut_wav(path: Path) -> bool:
    """Whether a RIFF file is shorter than it says (libsndfile reads what is there and is silent about it)."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:8], "little")
    return head[:4] == b"RIFF" and size < 1 << 31 and size + 8 > path.stat().st_size


def window(clip: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """A clip cut to its first ``length`` samples or padded with zeros at its end."""
    import numpy as np

    out = np.zeros(length, dtype=np.float32)
    out[: min(length, len(clip))] = clip[:length]
    return out


def repeated(clip: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """A clip without its silent ends, repeated to ``length`` samples; of a longer one, its loudest part.

    Raises UserError if it is silent throughout.
    """
    import numpy as np

    heard = np.flatnonzero(clip)
    if not len(heard):
        raise UserError("is silent throughout")
    clip = clip[heard[0] : heard[-1] + 1]
    return loudest(clip, length) if len(clip) > length else np.tile(clip, -(-length // len(clip)))[:length]


def loudest(clip: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """The ``length`` samples of a longer clip with the most energy (the first of them, if several have as much)."""
    import numpy as np

    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return clip[start : start + length]


def normalise(clip: NDArray[np.float32], rms: float = 0.1) -> NDArray[np.float32]:
    """A clip brought to one loudness (root mean square) and clipped to [-1, 1]."""
    import numpy as np

    level = float(np.sqrt(np.mean(np.square(clip, dtype=np.float64))))
    return np.clip(clip * np.float32(rms / max(level, 1e-6)), -1, 1)


def decoded(
    name: str,
    items: Mapping[str, T],
    digests: Sequence[str],
    prepare: Callable[[T], NDArray[np.float32]],
    length: int,
    cache: Path,
    progress: Progress,
    *,
    twice: bool = False,
) -> tuple[NDArray[np.float32], list[str]]:
    """Prepared clips, float32 [n, length], memory-mapped, and what is wrong with each ("" for nothing).

    ``items`` are what clips are made of, by name (mostly paths), ``digests`` are of their contents; ``prepare`` makes
    ``length`` samples of one, and raises UserError if it cannot. With ``twice``, all rows follow once more, so that all
    folds but one are a slice, which needs no copy: [2 n, length].
    """
    import numpy as np

    key = hashed(digests, length, twice, code_key(Path(inspect.getfile(prepare))))[:16]

    def make(create: Create) -> None:
        clips = create("clips", ((1 + twice) * len(items), length), "<f4")
        problems = create("problems", (len(items),), "S200")
        for index, (what, item) in enumerate(items.items()):
            try:
                clips[index] = prepare(item)
            except UserError as error:
                problems[index] = f"{what}: {str(error).removeprefix(Path(what).name).strip()}".encode()[:200]
            progress(f"decoding {name}", index + 1, len(items))
        for start in range(len(items), len(clips), 64):
            end = min(start + 64, len(clips))
            clips[start:end] = clips[start - len(items) : end - len(items)]

    if not items:
        return np.zeros((0, length), dtype=np.float32), []
    arrays = cached_arrays(cache, f"{name}-{key}", make)
    return arrays["clips"], [problem.decode(errors="ignore") for problem in arrays["problems"].tolist()]
