# SPDX-License-Identifier: Apache-2.0
"""Changed archives, tables and sounds: each is read as it should be, or refused in one line that names it.

As ``python -m tests.data.fuzz COUNT [SEED]``, many of each kind, with figures.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import resource
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile

from kilobench import data
from kilobench.contracts import UserError
from kilobench.data.archives import Limit, opened

RATE = 8000
EXTREMES = [bytes(8), b"\xff" * 8, b"\xff\xff\xff\x7f" * 2, b"\x7f" + b"\xff" * 7, b"\0\0\0\x80" * 2, b"\1" + bytes(7)]


def changed(content: bytes, chance: random.Random, begin: int = 0) -> bytes:
    """Contents with one to three things wrong behind ``begin``, mostly near it."""
    new = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        place = min(len(new), begin + chance.randrange(1 + (64 if chance.random() < 0.5 else len(new))))
        length = chance.choice([1, 1, 2, 4, 8])
        kind = chance.randrange(8)
        if kind == 0:
            new[place : place + length] = chance.choice(EXTREMES)[:length]
        elif kind == 1:
            new[place : place + length] = chance.randbytes(length)
        elif kind == 2 and place < len(new):
            new[place] ^= 1 << chance.randrange(8)
        elif kind == 3:
            del new[place : place + chance.choice([1, 16, 600])]
        elif kind == 4:
            new[place:place] = chance.randbytes(chance.choice([1, 16, 600]))
        elif kind == 5:
            new[place:place] = new[place : place + 512]
        elif kind == 6:
            new[max(place, begin) :] = b""
        else:
            other = begin + chance.randrange(max(1, len(new) - begin))
            new[place : place + length], new[other : other + length] = (
                new[other : other + length],
                new[place : place + length],
            )
    return bytes(new)


def sounds() -> dict[str, bytes]:
    """Valid files of the formats that are read."""
    samples = np.sin(np.arange(6000) * 0.3) * np.linspace(0.1, 0.5, 6000)
    kinds = [
        *(("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ALAW", "IMA_ADPCM")),
        *(("FLAC", "PCM_16"), ("WAVEX", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("RF64", "PCM_16")),
        *(("OGG", "VORBIS"), ("OGG", "OPUS")),
    ]
    result = {}
    for form, kind in kinds:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, RATE, format=form, subtype=kind)
        result[f"{kind}.{form}".lower()] = buffer.getvalue()
    return result


def frames() -> dict[str, bytes]:
    """Of the formats that have checksums of contents."""
    return {name: content for name, content in sounds().items() if name.endswith((".flac", ".ogg"))}


def as_it_was(path: Path) -> None:
    """Raises UserError as it should; AssertionError for another sound than it was."""
    samples = data.decode(path, RATE)
    original = path.with_name("original")
    original.write_bytes(frames()[path.name])
    assert np.array_equal(samples, data.decode(original, RATE))


def decoded(path: Path) -> None:
    """Raises UserError as it should; AssertionError for what is no sound."""
    samples = data.decode(path, RATE)
    assert samples.dtype == np.float32 and samples.ndim == 1 and 0 < len(samples) <= 600 * RATE + 1
    assert np.isfinite(samples).all()


CONTENTS = {"s/a.txt": b"alpha" * 30, "s/b/c.bin": random.Random(0).randbytes(2000), "s/b/d.txt": b""}


def archives() -> dict[str, bytes]:
    """The same files, packed in all ways that are read."""
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        for name, content in CONTENTS.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), {"comment": "x"}
            tar.addfile(info, io.BytesIO(content))
    packed = tarred.getvalue()
    result = {"a.tar": packed, "a.tar.gz": gzip.compress(packed), "a.tar.bz2": bz2.compress(packed)}
    result["a.tar.xz"] = lzma.compress(packed)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w", method) as archive:
            for name, content in CONTENTS.items():
                archive.writestr(name, content)
        result[f"{method}.zip"] = zipped.getvalue()
    return result


def unpacked(path: Path) -> None:
    """Raises UserError as it should; AssertionError for what is larger than allowed, or other than it was."""
    limit = Limit(20_000, 20)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        with opened(path, limit) as archive:
            archive.unpack(Path(folder) / "new")
        found = [file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()]
        assert 0 < len(found) <= limit.files and sum(map(len, found)) <= limit.bytes
        if path.suffix != ".tar":  # which has no checksums of contents
            assert set(found) <= set(CONTENTS.values())


def tables() -> dict[str, bytes]:
    """As a data set has them."""
    rows = ["filename,fold,target,category", *(f'1-{n}-A-{n % 3},{n % 5 + 1},{n % 3},"name, {n}"' for n in range(40))]
    return {"a.csv": "\r\n".join(rows).encode(), "b.csv": ("\ufeff" + "\n".join(rows) + "\n").encode()}


def tabulated(path: Path) -> None:
    """Raises UserError as it should; AssertionError for rows that are not of these columns."""
    columns = ("filename", "fold", "target", "category")
    for row in data.table(path, columns):
        assert set(columns) <= set(row) and all(isinstance(field, str) and "\0" not in field for field in row.values())


KINDS: dict[str, tuple[Callable[[], Mapping[str, bytes]], Callable[[Path], None]]] = {
    "sounds": (sounds, decoded),
    "frames": (frames, as_it_was),
    "archives": (archives, unpacked),
    "tables": (tables, tabulated),
}
"""How files of a kind are made, and how they are read."""


def attempt(path: Path, content: bytes, read: Callable[[Path], None]) -> str:
    """What became of it: ``read``, or what was said."""
    path.write_bytes(content)
    try:
        read(path)
    except UserError as error:
        said = str(error)
        assert said.removeprefix(f"{path.parent}/").startswith(path.name) and said.isprintable() and len(said) < 400, (
            said
        )
        return said.removeprefix(f"{path.parent}/").removeprefix(path.name)
    return "read"


def fuzz(kind: str, count: int, seed: int, folder: Path) -> tuple[Counter[str], float]:
    """How often each answer was given to ``count`` files of a kind, and the seconds of the slowest."""
    make, read = KINDS[kind]
    chance, originals = random.Random(f"{kind} {seed}"), list(make().items())
    answers: Counter[str] = Counter()
    slowest = 0.0
    for index in range(count):
        name, content = originals[index % len(originals)]
        begin = content.find(b"\xff\xf8") if name.endswith(".flac") and kind == "frames" else 0  # its header has none
        start = time.perf_counter()
        answers[attempt(folder / name, changed(content, chance, begin), read)] += 1
        slowest = max(slowest, time.perf_counter() - start)
    return answers, slowest


def main() -> None:
    """Print figures of a long run."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            answers, slowest = fuzz(kind, count, seed, Path(folder))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{kind}: {count} files, {answers['read']} read, the slowest {slowest:.2f} s, up to {most} MB of memory so far"
        )
        for answer, often in answers.most_common(12):
            print(f"  {often} {answer}")


if __name__ == "__main__":
    main()
