# SPDX-License-Identifier: Apache-2.0
"""Models as a repository takes them: ``NAME.safetensors.xz``, a compressed file, or a folder of the parts of a large one.

LZMA takes half off models of 8 bits, two thirds and more off those of fewer, and a fifth off weights of 32 bits: it is told that
they are four bytes each. ``xz -d``, behind ``cat NAME.safetensors.xz/*`` for parts, gives the model's file again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kilobench.contracts import CellError, UserError
from kilobench.files import write_atomically
from kilobench.scratch import temporary_folder

SUFFIX = ".xz"
PART_BYTES = 1_000_000
"""The most that a file of the repository may have."""
MODEL_BYTES = 20_000_000
"""The most that a published model may have: ACDNet as it was published has 18.9 MB in 32 bits. Of larger ones, as ResNet-18 with
45 MB, a record names the digest alone: some would fill the repository, which is to stay under 100 MB."""
_MEMORY_BYTES = 1 << 25
"""That decompressing may take, 32 MiB."""
_PART = re.compile(r"[0-9]{2}of([0-9]{2})")


def pack(content: bytes, path: Path) -> None:
    """Write a model's file compressed, as parts where it takes several, in the place of what is there.

    Raises ImportError where Python was built without LZMA.
    """
    import lzma

    how = {"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 2, "pb": 2}
    packed = lzma.compress(content, filters=[how])
    parts = [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]
    if path.is_dir():
        shutil.rmtree(path)
    if len(parts) == 1:
        write_atomically(path, packed)
        return
    path.unlink(missing_ok=True)
    for name, part in zip(_expected(len(parts)), parts, strict=True):
        write_atomically(path / name, part)


def unpack(path: Path) -> bytes:
    """The model's file. Raises UserError in one line where a part is missing, is none, or is damaged, or it is too large, or
    Python was built without LZMA.
    """
    try:
        import lzma
    except ImportError:
        raise UserError(f"{path}: this Python was built without LZMA") from None

    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)
    try:
        content = decompressor.decompress(b"".join(map(_read, _parts(path))), MODEL_BYTES + 1)
    except lzma.LZMAError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    if len(content) > MODEL_BYTES:
        raise UserError(f"{path} holds more than {MODEL_BYTES} bytes")
    if not decompressor.eof or decompressor.unused_data:
        raise UserError(f"{path} is damaged: {'bytes follow its end' if decompressor.eof else 'its end is missing'}")
    return content


def content_of(path: Path) -> bytes:
    """Of a model's file, packed or not, as of ``unpack``."""
    return unpack(path) if path.suffix == SUFFIX else path.read_bytes()


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A model's file, or a temporary one of what is packed, as of ``unpack``; a CellError about that one names ``path``."""
    if path.suffix != SUFFIX:
        yield path
        return
    with temporary_folder() as folder:
        file = folder / path.stem
        file.write_bytes(unpack(path))
        try:
            yield file
        except CellError as error:
            raise CellError(str(error).replace(str(file), str(path))) from None


def _expected(count: int) -> list[str]:
    return [f"{number:02}of{count:02}" for number in range(1, count + 1)]


def _parts(path: Path) -> list[Path]:
    """All of them, in order."""
    if not path.is_dir():
        return [path]
    names, folder = sorted(part.name for part in path.iterdir()), path
    told = next(filter(None, map(_PART.fullmatch, names)), None)
    expected = _expected(int(told[1])) if told else []
    if strange := next((name for name in names if name not in expected), ""):
        raise UserError(f"{folder / strange} is no part of a model: they are called 01of{told[1] if told else '02'}")
    if missing := next((name for name in expected or _expected(1) if name not in names), ""):
        raise UserError(f"{folder / missing} is missing")
    return [folder / name for name in expected]


def _read(part: Path) -> bytes:
    if part.is_symlink() or not part.is_file() or part.stat().st_size > PART_BYTES:
        raise UserError(f"{part} is no plain file of at most {PART_BYTES} bytes")
    return part.read_bytes()
