# SPDX-License-Identifier: Apache-2.0
"""Archives of others: all their names and sizes are known, and found harmless, before anything of them is written."""

from __future__ import annotations

import errno
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from kilobench.contracts import UserError
from kilobench.lines import one_line

_MOST_HEADER = 1 << 16
_MOST_LEVELS = 20
_MOST_SAID = 100
_BLOCK = 1 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
"""By the first bytes of a file."""
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""LZMA in a zip file may ask for 4 GB of memory."""


@dataclass(frozen=True)
class Limit:
    """The most that an archive may hold."""

    bytes: int
    """Unpacked; and packed as well."""
    files: int
    """With folders."""


@dataclass(frozen=True)
class _Member:
    """A file or a folder of an archive."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes] | None] | None
    """Its contents; None for a folder."""


class Archive:
    """What an open archive holds: files and folders inside its folder, each there once."""

    def __init__(self, path: Path, members: Sequence[_Member]) -> None:
        self._path, self._members = path, members
        folders = {parent for member in members for parent in member.path.parents}
        folders.update(member.path for member in members if not member.open)
        files = [member.path for member in members if member.open]
        self.paths = folders.union(files)
        """Of all that is in it, and ``.``."""
        if not files:
            raise UserError(f"{path.name} holds no files")
        if len(self.paths) < len(folders) + len(files):
            counts = Counter([*folders, *files])
            raise UserError(f"{path.name} holds {_short(max(counts, key=counts.__getitem__))} twice")

    @property
    def top(self) -> PurePosixPath:
        """The one folder that it holds, or, if it holds more than that, its root, ``.``."""
        entries = [path for path in self.below(PurePosixPath()) if path.name != "__MACOSX"]
        return entries[0] if len(entries) == 1 and self.below(entries[0]) else PurePosixPath()

    def below(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """What a folder holds."""
        return sorted(path for path in self.paths if path.parent == folder and path != folder)

    def require(self, limit: Limit) -> None:
        """Raise UserError where it holds more than that."""
        room = _Room(self._path, limit)
        for member in self._members:
            room.take(member.size)

    def unpack(self, target: Path) -> None:
        """Write all of it into a new folder; after a UserError that may hold a part of it."""
        with _told(self._path):
            target.mkdir()
            for member in self._members:
                place = target / member.path
                (place.parent if member.open else place).mkdir(parents=True, exist_ok=True)
                if member.open:
                    _write(member.open(), member.size, place)


@contextmanager
def opened(path: Path, limit: Limit) -> Iterator[Archive]:
    """A zip or tar file (plain, or packed by gzip, bzip2 or xz), all names and sizes of which have been read.

    Raises UserError, which names it and what is wrong, for any other, for one that holds more than a limit, and for links,
    devices, paths outside its folder, names that are no text, and files that are there twice.
    """
    with ExitStack() as stack:
        with _told(path):
            _Room(path, limit).take(path.stat().st_size)
            room, members = _Room(path, limit), []
            for member in _found(path, limit, stack):
                room.take(member.size)
                members.append(member)
            archive = Archive(path, members)
        yield archive


class _Room:
    """What may still come; members are paid for before anything of them is read."""

    def __init__(self, archive: Path, limit: Limit) -> None:
        self._archive, self._limit = archive, limit
        self._bytes, self._files = limit.bytes, limit.files

    def take(self, size: int) -> None:
        """Raise UserError for a member that is one too many, or too large."""
        self._bytes -= size
        self._files -= 1
        if self._bytes < 0 or self._files < 0:
            most = f"{self._limit.bytes} bytes" if self._bytes < 0 else f"{self._limit.files} files"
            more = most.split()[1]
            raise UserError(f"{self._archive.name} would unpack to many more {more} than the data set has: over {most}")


def _write(content: IO[bytes] | None, size: int, place: Path) -> None:
    """Raises EOFError or TarError for contents of another size."""
    if content is None:
        raise tarfile.TarError("a file without contents")
    with content, place.open("xb") as file:  # never over another: two names may be one to a file system
        while block := content.read(min(_BLOCK, size + 1)):
            size -= len(block)
            if size < 0:
                raise tarfile.TarError("a file that is longer than it says")
            file.write(block)
    if size:
        raise EOFError


@contextmanager
def _told(archive: Path) -> Iterator[None]:
    """What libraries say of an archive, as one line."""
    try:
        yield
    except (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, *_OF_PARSERS) as error:
        text = one_line(str(error))[:_MOST_SAID]
        cut = isinstance(error, EOFError) or "unexpected end of data" in text or "truncated" in text
        said = "it was cut short" if cut else f"it is damaged ({text})"
        raise UserError(f"{archive.name} cannot be unpacked: {said}") from None
    except (RuntimeError, MemoryError) as error:
        said = (
            "its headers are nested"
            if isinstance(error, RecursionError)
            else one_line(str(error))[:_MOST_SAID] or "out of memory"
        )
        raise UserError(f"{archive.name} cannot be unpacked: {said}") from None
    except OSError as error:
        of_it = error.errno in (None, errno.EINVAL)  # of a checksum, or of a place to seek that it names
        where = f"{one_line(Path(error.filename).name)}: " if error.filename else ""
        said = f"it is damaged ({one_line(str(error))[:_MOST_SAID]})" if of_it else f"{where}{error.strerror}"
        raise UserError(f"{archive.name} cannot be unpacked: {said}") from None


_OF_PARSERS = (ValueError, OverflowError, struct.error)
"""What they raise for headers that make no sense."""


def _short(path: PurePosixPath | str) -> str:
    """A name for a message."""
    text = str(path)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _inside(archive: Path, name: str, plain: bool) -> PurePosixPath:
    """The path of a member below its folder; raises UserError for what is no plain file or folder there."""
    path = PurePosixPath(name)
    if not plain or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise UserError(f"{archive.name} holds {_short(name)}, a link, a device or a path outside its folder")
    longest = max((len(part.encode(errors="replace")) for part in path.parts), default=0)
    if not name.isprintable() or longest > 255 or len(path.parts) > _MOST_LEVELS:
        raise UserError(f"{archive.name} holds {_short(name)}, a name that is too long or no printable text")
    return path


def _found(archive: Path, limit: Limit, stack: ExitStack) -> Iterator[_Member]:
    """The members of an archive, by its first bytes: what else it holds may be an archive as well."""
    with archive.open("rb") as file:
        head = file.read(6)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        if not zipfile.is_zipfile(archive):
            raise UserError(f"{archive.name} cannot be unpacked: it is a zip file that was cut short")
        return _zip_members(archive, limit, stack)
    try:
        tar = stack.enter_context(tarfile.open(archive, tarinfo=_Header))  # noqa: SIM115
    except tarfile.ReadError:
        packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")
        said = (
            f"no tar file packed by {packed}, or was cut short or damaged" if packed else "neither a zip nor a tar file"
        )
        raise UserError(f"{archive.name} cannot be unpacked: it is {said}") from None
    return _tar_members(archive, tar)


class _Frugal(io.FileIO):
    """A zip file whose table of contents is not read where it is larger than a data set's could be."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As its parent's; raises BadZipFile for more at once than a table of contents may have."""
        if size is not None and size > self.most:
            raise zipfile.BadZipFile(f"a table of contents of {size} bytes")
        return super().read(-1 if size is None else size)


def _zip_members(archive: Path, limit: Limit, stack: ExitStack) -> Iterator[_Member]:
    file = stack.enter_context(_Frugal(archive))
    file.most = 1_000_000 + 500 * limit.files
    zipped = stack.enter_context(zipfile.ZipFile(file))
    for info in zipped.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        path = _inside(archive, info.orig_filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if info.flag_bits & 1:
            raise UserError(f"{archive.name} is encrypted ({_short(path)})")
        if info.compress_type not in _ZIP_METHODS:
            raise UserError(
                f"{archive.name}: {_short(path)} is packed by method {info.compress_type}; 0, 8 and 12 are read"
            )

        def content(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return zipped.open(info)

        yield _Member(path, info.file_size, None if info.is_dir() else content)


class _Header(tarfile.TarInfo):
    """A header of a tar file; those that make the reader hold long names and comments in memory are short."""

    @classmethod
    def frombuf(cls, *arguments: Any) -> Self:
        """As its parent's; raises ReadError for one that is damaged, where its parent's user takes it for the end."""
        block = arguments[0]
        if len(block) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("unexpected end of data")
        try:
            member = super().frombuf(*arguments)
        except tarfile.HeaderError:
            if not any(block):  # the mark of the end
                raise
            raise tarfile.ReadError("no header where one should be") from None
        if member.size < 0 or (not member.isfile() and member.size > _MOST_HEADER):
            raise tarfile.TarError(f"a header of {member.size} bytes")
        return member

    def _proc_gnusparse_10(self, *arguments: Any) -> None:
        """Its parent's reads a list of any length."""
        raise tarfile.TarError("a sparse file")


def _tar_members(archive: Path, tar: tarfile.TarFile) -> Iterator[_Member]:
    for member in tar:
        path = _inside(archive, member.name, (member.isfile() or member.isdir()) and not member.issparse())
        if member.size < 0:  # by a comment of pax
            raise tarfile.TarError(f"a file of {member.size} bytes")

        def content(member: tarfile.TarInfo = member) -> IO[bytes] | None:
            return tar.extractfile(member)

        yield _Member(path, member.size, content if member.isfile() else None)
    if tar.fileobj and len(tar.fileobj.read(_BLOCK)) == _BLOCK:  # its padding, behind which a checksum may be
        raise tarfile.TarError("it goes on after its end")
