"""What tasks share: damage reports, decoding, a memory-mapped cache keyed by content, splits and validation parts.

Decoding and resampling happen once; what they made is kept as ``.npy`` files under the SHA-256 of the sound files'
contents and of the code that made it, and read through memory maps. Samples are kept as float32, exactly as computed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from filelock import FileLock

from kilobench.api import DataUnavailable, Progress, Split, UserError
from kilobench.sources import fetched as fetched  # for tasks: data.fetched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

Create = Callable[[str, tuple[int, ...], str], Any]
"""Makes an array of a name, shape and type on disk, to be filled."""
T = TypeVar("T")
Kind = Literal["missing", "corrupt", "unexpected", "mislabelled", "in the wrong fold", "in training and test"]
_LACKING: tuple[Kind, ...] = ("missing", "corrupt")
"""What one can go on without; any other damage would make results wrong."""


def partial_allowed() -> bool:
    """Whether incomplete data may be used: ``--allow-partial``, which sets KILOBENCH_ALLOW_PARTIAL=1 for all processes."""
    return os.environ.get("KILOBENCH_ALLOW_PARTIAL") == "1"


class Damaged(UserError):
    """A data set is not as published; ``lines`` names every single piece of damage."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


class Incomplete(Damaged, DataUnavailable):
    """Nothing is wrong with a data set but that part of it is missing or corrupt."""


class Damage:
    """Collects what is wrong with a data set of ``expected`` inputs, then reports all of it at once."""

    def __init__(self, name: str, expected: int, what: str = "clips") -> None:
        self._name, self._expected, self._what = name, expected, what
        self._found: dict[Kind, list[tuple[str, int]]] = defaultdict(list)

    def add(self, kind: Kind, names: Iterable[str], count: int = 1) -> None:
        """Something is wrong with each of these, which stand for ``count`` inputs each."""
        self._found[kind] += [(name, count) for name in names]

    def check(self) -> None:
        """Raise Damaged if anything is wrong that may not be: nothing but lacking inputs, and these only where allowed."""
        found = {kind: entries for kind, entries in self._found.items() if entries}
        fatal = [kind for kind in found if kind not in _LACKING]
        if not found or (not fatal and partial_allowed()):
            return
        texts = []
        for kind, entries in found.items():
            some = ", ".join(name for name, _ in entries[:3]) + (", ..." if len(entries) > 3 else "")
            texts.append(f"{sum(count for _, count in entries)} {kind} ({some})")
        hint = "" if fatal else "; --allow-partial uses the rest and marks the record"
        lines = [f"{kind}: {name}" for kind, entries in found.items() for name, _ in entries]
        message = f"{self._name} should have {self._expected} {self._what}: {', '.join(texts)}{hint}"
        raise (Damaged if fatal else Incomplete)(message, lines)


def lacking(parts: Mapping[str, tuple[int, int]]) -> tuple[int, tuple[str, ...]]:
    """How many inputs are lacking, and a note for every part that lacks some; ``parts`` are (found, expected) by name."""
    notes = [f"partial: {found} of {expected} {what}" for what, (found, expected) in parts.items() if found < expected]
    return sum(expected - found for found, expected in parts.values()), tuple(notes)


def file_digests(paths: Sequence[Path], cache: Path, progress: Progress) -> list[str]:
    """Hex SHA-256 of the contents of each file.

    They are remembered by path, size and time of change, so that nothing is read twice: a file that changed while keeping
    all three goes unnoticed until ``kilobench data verify``, which forgets what it knew.
    """
    with _digest_index(cache) as known:
        result = []
        for done, path in enumerate(paths):
            key = str(path.absolute())
            try:
                status = path.stat()
                stamp = [status.st_size, status.st_mtime_ns]
                if known.get(key, [None])[:-1] != stamp:
                    with path.open("rb") as file:
                        known[key] = [*stamp, hashlib.file_digest(file, "sha256").hexdigest()]
                    progress("checking files", done + 1, len(paths))
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
            result.append(known[key][-1])
    return result


def forget_digests(folder: Path, cache: Path) -> None:
    """Have every file below a folder read again."""
    with _digest_index(cache) as known:
        for path in [path for path in known if Path(path).is_relative_to(folder.absolute())]:
            del known[path]


@contextmanager
def _digest_index(cache: Path) -> Iterator[dict[str, list[Any]]]:
    """Size, time of change and digest by path, kept as ``cache/digests.json``."""
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / "digests.json"
    with FileLock(index.with_suffix(".lock")):
        before = index.read_text() if index.is_file() else "{}"
        known = json.loads(before)
        try:
            yield known
        finally:  # what was read before an interruption counts
            if (after := json.dumps(known)) != before:
                part = index.with_suffix(".part")
                part.write_text(after)
                os.replace(part, index)


def sound_files(folder: Path, pattern: str = "*.wav") -> list[Path]:
    """The files of a folder that match, sorted by path, without hidden ones (``.DS_Store``, ``._x.wav``)."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and path.is_file())


def copies(digests: Sequence[str], names: Sequence[str], parts: Sequence[int]) -> list[str]:
    """The files whose contents occur in more than one part (fold, or training and test), as ``a = b``."""
    first: dict[str, int] = {}
    found = []
    for index, one in enumerate(digests):
        other = first.setdefault(one, index)
        if parts[other] != parts[index]:
            found.append(f"{names[other]} = {names[index]}")
    return found


def copied_from_test(
    digests: Sequence[str], test: Sequence[bool], names: Sequence[str]
) -> tuple[list[bool], tuple[str, ...]]:
    """Which inputs are training inputs whose contents also are a test input's, and a note that names them."""
    tested = {one for one, is_test in zip(digests, test, strict=True) if is_test}
    found = [not is_test and one in tested for one, is_test in zip(digests, test, strict=True)]
    who = [name for name, is_copy in zip(names, found, strict=True) if is_copy]
    some = ", ".join(who[:3]) + (", ..." if len(who) > 3 else "")
    return found, (f"{len(who)} training inputs left out that also are test inputs ({some})",) if who else ()


def decode(path: Path, rate: int) -> NDArray[np.float32]:
    """A sound file of any libsndfile format as mono float32 in [-1, 1] at ``rate`` samples per second.

    Raises UserError for a file that is not sound, or ends before its header says.
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


def cached_arrays(cache: Path, key: str, make: Callable[[Create], None]) -> Arrays:
    """Arrays made once, kept as ``cache/key/*.npy`` and read through memory maps.

    ``make`` gets a function ``create(name, shape, dtype)``.
    """
    import numpy as np

    folder = cache / key
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{key}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                part = Path(scratch) / key
                part.mkdir()

                def create(name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
                    return np.lib.format.open_memmap(
                        part / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape
                    )

                make(create)
                os.replace(part, folder)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


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

    tools = [importlib.metadata.version(package) for package in ("soxr", "soundfile")]
    sources = [Path(inspect.getfile(prepare)).read_bytes(), Path(__file__).read_bytes()]
    identity = "\n".join([*digests, *tools, f"{length} {twice}"]).encode() + b"".join(sources)

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
    arrays = cached_arrays(cache, f"{name}-{hashlib.sha256(identity).hexdigest()[:16]}", make)
    return arrays["clips"], [problem.decode(errors="ignore") for problem in arrays["problems"].tolist()]


def rows(array: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array: a view if they are neighbours, else a copy."""
    if len(chosen) and (chosen[1:] == chosen[:-1] + 1).all():
        return array[chosen[0] : chosen[-1] + 1]
    return array[chosen]


def require_classes(classes: Sequence[str], train_y: NDArray[np.int64], test_y: NDArray[np.int64]) -> None:
    """Raise UserError if partial data has left a class without training or test inputs."""
    for part, y in (("training", train_y), ("test", test_y)):
        left = set(y.tolist())
        if gone := [name for index, name in enumerate(classes) if index not in left]:
            raise UserError(f"no {part} inputs are left of {', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''}")


def audio_split(
    train: NDArray[np.float32],
    train_y: NDArray[np.int64],
    test: NDArray[np.float32],
    test_y: NDArray[np.int64],
    *,
    length: int,
    classes: tuple[str, ...],
    groups: NDArray[np.int64] | None,
    parts: Mapping[str, tuple[int, int]],
    notes: tuple[str, ...] = (),
) -> Split:
    """A split of clips [n, samples] that are longer than the input: each test clip's window is its loudest.

    ``parts`` are as for ``lacking``. Raises UserError if a class is left without training or test clips.
    """
    import numpy as np

    require_classes(classes, train_y, test_y)
    windows = np.stack([loudest(clip, length) for clip in test])
    partial, partial_notes = lacking(parts)
    train_x, test_x, clips = (array[:, None, None, :] for array in (train, windows, test))
    identity = digest([train_x, train_y, test_x, test_y])
    return Split(train_x, train_y, test_x, test_y, classes, identity, (*partial_notes, *notes), clips, partial, groups)


def without_copies(
    x: NDArray[Any], y: NDArray[np.int64], test_x: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64], tuple[str, ...]]:
    """Training inputs and labels without those that also are test inputs (published sets have some), and a note of how many."""
    import numpy as np

    test = {hashlib.sha256(row.tobytes()).digest() for row in test_x}
    kept = np.array([hashlib.sha256(row.tobytes()).digest() not in test for row in x])
    if kept.all():
        return x, y, ()
    return x[kept], y[kept], (f"{int((~kept).sum())} training inputs left out that also are test inputs",)


def validation(split: Split, share: float, seed: int) -> Split:
    """The training part of a split, split again: about ``share`` of it, balanced over classes, as the new test part.

    For choosing parameters without a look at the test fold. Groups stay whole; of wide clips the loudest window is
    taken, as test parts do. Raises UserError if nothing is left on one side.
    """
    import numpy as np

    y = split.train_y
    groups = np.arange(len(y)) if split.train_groups is None else split.train_groups
    wanted = share * np.bincount(y, minlength=len(split.classes)).astype(np.float64)
    taken = np.zeros(len(y), dtype=np.bool_)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for index in np.random.default_rng(seed).permutation(len(members)):
        counts = np.bincount(y[members[index]], minlength=len(wanted))
        # Taken if the classes' shares get nearer to what is wanted: |w - c|^2 <= |w|^2.
        if (counts * (counts - 2 * wanted)).sum() <= 0:
            taken[members[index]] = True
            wanted -= counts
    if not taken.any() or taken.all():
        raise UserError(f"a validation share of {share:g} leaves nothing on one side: there are {len(members)} groups")
    width = split.test_x.shape[3]
    chosen = split.train_x[taken]
    wide = chosen.shape[3] > width
    return replace(
        split,
        train_x=split.train_x[~taken],
        train_y=y[~taken],
        test_x=np.apply_along_axis(loudest, 3, chosen, width) if wide else chosen,
        test_y=y[taken],
        digest=hashlib.sha256(f"{split.digest} {share} {seed}".encode()).hexdigest(),
        test_clips=chosen if wide else None,
        train_groups=None if split.train_groups is None else groups[~taken],
    )


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """Hex SHA-256 of arrays: types, shapes and contents."""
    import numpy as np

    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 256):  # in blocks, so that memory-mapped arrays need not fit into memory
            hasher.update(np.ascontiguousarray(array[start : start + 256]).reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()
