# SPDX-License-Identifier: Apache-2.0
"""Sound: decoding, windows, loudness.

Decoding and resampling happen once; what they made is kept as ``.npy`` files under the SHA-256 of the sound files'
contents and of the code that made it, and read through memory maps. Samples are kept as float32, exactly as computed.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kilobench.closure import hashed
from kilobench.contracts import Progress, UserError
from kilobench.data.arrays import Create, cached_arrays, code_key
from kilobench.extras import needed
from kilobench.lines import one_line

if TYPE_CHECKING:
    import numpy as np
    import soundfile
    from numpy.typing import NDArray


T = TypeVar("T")


def sound_files(folder: Path, pattern: str = "*.wav") -> list[Path]:
    """The files of a folder that match, sorted by path, without hidden ones (``.DS_Store``, ``._x.wav``)."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and path.is_file())


_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"fLaC", b"OggS")
"""Of the files that are read: of formats that say how long they are, so that one that was cut short is told from a short one."""
_RATES = 1_000, 192_000
_SECONDS = 600
_VALUES = 1 << 26
"""The most samples of all channels together."""
_BLOCK = 1 << 16
_UNTOLD = 0x7FFFF000
"""From here on a size is that of a program that could not know it, as it wrote to a pipe."""


def decode(path: Path, rate: int, *, resample: bool = True) -> NDArray[np.float32]:
    """A sound file as mono float32, at ``rate`` samples per second; of integers in [-1, 1].

    Read are WAV, AIFF, AU, FLAC and Ogg, in blocks, at 1 000 to 192 000 samples per second, up to 600 s. Raises UserError
    for what is no such file, ends before its header says, is damaged, has no samples, or some that are no numbers, and,
    without ``resample``, for any other rate.
    """
    import numpy as np

    try:
        import soundfile
        import soxr
    except ImportError:
        raise needed("train", "reading sounds") from None
    try:
        mono, source_rate = _samples(path)
    except soundfile.SoundFileError as error:
        said = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
        raise UserError(f"{path.name} cannot be decoded: {said}") from None
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}") from None
    if source_rate != rate:
        if not resample:
            raise UserError(f"{path.name} has {source_rate} samples per second, not {rate}")
        mono = soxr.resample(mono, source_rate, rate)
    if not len(mono):
        raise UserError(f"{path.name} holds no samples")
    if not np.isfinite(mono).all():
        raise UserError(f"{path.name} holds samples that are NaN or infinite")
    return np.asarray(mono, dtype=np.float32)


def transcoded(paths: Iterable[Path], published: str) -> tuple[int, tuple[str, ...]]:
    """How many sound files are of another form than those of the ``published`` set, which is written as ``WAV PCM_16 44100 Hz``
    (libsndfile's names of container and coding, and the rate), and a note that says of which.

    Of what others have resampled or compressed no digest is that of the published files, and no result need be. Raises UserError
    for what ``decode`` would refuse by its beginning.
    """
    forms = Counter(map(_form, paths))
    other = {form: count for form, count in forms.most_common() if form != published}
    some = ", ".join(f"{count} {form}" for form, count in other.items())
    note = f"transcoded: of {forms.total()} clips {some}; as published they are {published}"
    return sum(other.values()), (note[:1000],) if other else ()


def _form(path: Path) -> str:
    with _opened(path) as file:
        return f"{file.format} {file.subtype} {file.samplerate} Hz"


def _samples(path: Path) -> tuple[NDArray[np.float32], int]:
    """The mean of all channels, and the rate; what a header promises is never allocated."""
    with _opened(path) as file:
        return _read(file, path.name), file.samplerate


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """A file that begins as one of a format that is read."""
    import soundfile

    class Stream(soundfile.SoundFile):  # type: ignore[misc]
        """Read once, from beginning to end: libsndfile cannot seek where a header says nothing of the length."""

        def seekable(self) -> bool:
            return False

    # By number: a name tells soundfile what it should be, and need not be text.
    with path.open("rb", buffering=0) as opened:
        if opened.read(4) not in _BEGINNINGS:
            raise UserError(f"{path.name} is no sound of a format that is read (WAV, AIFF, AU, FLAC and Ogg are)")
        opened.seek(0)
        with Stream(opened.fileno(), closefd=False) as file:
            yield file


def _read(file: soundfile.SoundFile, name: str) -> NDArray[np.float32]:
    import numpy as np

    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise UserError(f"{name} has {file.samplerate} samples per second; {_RATES[0]} to {_RATES[1]} are read")
    most = min(_SECONDS * file.samplerate, _VALUES // file.channels)
    blocks, found = [np.zeros(0, dtype=np.float32)], 0
    while len(block := file.read(_BLOCK // file.channels, dtype="float32", always_2d=True)):
        with np.errstate(over="ignore", invalid="ignore"):  # told by who asks
            blocks.append(block.mean(axis=1))
        found += len(block)
        if found > most:
            raise UserError(f"{name} is longer than {most // file.samplerate} s")
    if found < file.frames < 1 << 62 or _cut(file.extra_info):
        raise UserError(f"{name} is cut short")
    return np.concatenate(blocks)


def _cut(log: str) -> bool:
    """Whether libsndfile, which reads what is there, noted that the file goes on by its own account."""
    if "lacks an end-of-stream bit" in log:
        return True
    sizes = [map(int, pair) for pair in re.findall(r": (\d+) \(should be (\d+)\)", log)]
    return any(there < said < _UNTOLD for said, there in sizes)


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
        problems = create("problems", (len(items),), "S400")
        for index, (what, item) in enumerate(items.items()):
            try:
                clips[index] = prepare(item)
            except UserError as error:
                problems[index] = one_line(f"{what}: {str(error).removeprefix(Path(what).name).strip()}").encode()[:400]
            progress(f"decoding {name}", index + 1, len(items))
        for start in range(len(items), len(clips), 64):
            end = min(start + 64, len(clips))
            clips[start:end] = clips[start - len(items) : end - len(items)]

    if not items:
        return np.zeros((0, length), dtype=np.float32), []
    arrays = cached_arrays(cache, f"{name}-{key}", make)
    return arrays["clips"], [problem.decode(errors="ignore") for problem in arrays["problems"].tolist()]
