# SPDX-License-Identifier: Apache-2.0
"""Published data sets: the user's own copy, the cache, or a verified download."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from kilobench.contracts import DataUnavailable, Progress, Source, UserError
from kilobench.files import locked


def present(source: Source, cache: Path) -> Path | None:
    """The folder of a data set if it is on this machine: in ``$KILOBENCH_DATA``, else imported or downloaded before."""
    root = os.environ.get("KILOBENCH_DATA")
    places = [Path(root) / source.folder] if root else []
    return next((place for place in [*places, cache / source.folder] if place.is_dir()), None)


def fetched(source: Source, cache: Path, progress: Progress) -> Path:
    """The folder of a data set, downloaded into ``cache`` where it is nowhere on this machine.

    An archive must have the published checksum, where there is one; the caller verifies the contents. Raises
    DataUnavailable, saying what to do, where the data is not to be had, and UserError for a wrong checksum.
    """
    with locked(cache / f"{source.folder}.lock"):
        if (folder := present(source, cache)) is not None:
            return folder
        if not source.url:
            raise DataUnavailable(f"{source.folder} has no download; {_by_hand(source)}")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = Path(scratch) / source.url.rpartition("/")[2]
            _download(source, archive, progress)
            unpacked = Path(scratch) / "unpacked"
            unpack(archive, unpacked, most_bytes([source]))
            os.replace(top(unpacked), cache / source.folder)
    return cache / source.folder


def _by_hand(source: Source) -> str:
    return f"get it from {source.page}, then kilobench data import PATH (or KILOBENCH_DATA=the folder that holds it)"


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """A publisher may send on to where its files lie, but not to an address that anybody in between could answer for."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """As its parent's, but only to https."""
        _require_secure(arguments[-1], local=False)
        return super().redirect_request(*arguments)


def _require_secure(url: str, *, local: bool) -> None:
    """Raise UserError for what does not come by https, nor, if that counts, from this machine."""
    parts = urllib.parse.urlsplit(url)
    here = parts.scheme == "file" or (parts.scheme == "http" and parts.hostname == "127.0.0.1")
    if parts.scheme != "https" and not (local and here):
        raise UserError(f"{url} is not an https address; nothing is downloaded from others")


def _download(source: Source, target: Path, progress: Progress) -> None:
    """Write the archive to ``target``, hashing on the way."""
    kind, _, expected = source.checksum.partition(":")
    hasher = hashlib.new(kind) if expected else hashlib.sha256()
    limit = most_bytes([source])
    _require_secure(source.url, local=True)
    try:
        opener = urllib.request.build_opener(_SecureRedirects)
        with opener.open(source.url, timeout=30) as response, target.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 18):
                file.write(chunk)
                hasher.update(chunk)
                if file.tell() > limit:
                    raise UserError(f"{source.url}: more than {limit} bytes, twice what {source.folder} takes")
                progress(f"download {source.folder}", file.tell(), total)
    except OSError as error:
        raise DataUnavailable(f"cannot download {source.url}: {error}; {_by_hand(source)}") from None
    if total and target.stat().st_size != total:
        raise UserError(f"{source.url}: got {target.stat().st_size} of {total} bytes; try again")
    if expected and hasher.hexdigest() != expected:
        raise UserError(f"{source.url}: {kind} is {hasher.hexdigest()}, not {expected} as published; nothing was kept")


def most_bytes(known: Iterable[Source]) -> int:
    """The most that an archive of one of these data sets may take, packed or unpacked: twice its stated size, and 1 MB."""
    return 2 * max((source.bytes for source in known), default=0) + 1_000_000


class _Budget:
    """What may still be unpacked; members are paid for before anything of them is read."""

    def __init__(self, archive: Path, target: Path, limit_bytes: int) -> None:
        self.archive, self.target = archive, target.resolve()
        self.bytes, self.members = limit_bytes, 10_000 + limit_bytes // 1000

    def pay(self, name: str, size: int, *, plain: bool) -> None:
        """Raise UserError for a member that is no plain file or folder inside the target, or one too many."""
        if not plain or "\0" in name or not (self.target / name).resolve().is_relative_to(self.target):
            raise UserError(f"{self.archive.name} holds {name!r}, a link, a device or a path outside its folder")
        self.bytes -= size
        self.members -= 1
        if self.bytes < 0 or self.members < 0:
            what = "bytes" if self.bytes < 0 else "files"
            raise UserError(f"{self.archive.name} would unpack to many more {what} than the data set has")


class _Member(tarfile.TarInfo):
    """A header of a tar file, without those that make the reader hold long names and comments in memory."""

    @classmethod
    def frombuf(cls, *arguments: Any) -> Self:
        """As its parent's; raises TarError for one of more than 1 MB that is not of a file."""
        member = super().frombuf(*arguments)
        if not member.isfile() and member.size > 1_000_000:
            raise tarfile.TarError(f"a header of {member.size} bytes")
        return member


def unpack(archive: Path, target: Path, limit_bytes: int) -> None:
    """Unpack a zip or tar file of at most ``limit_bytes`` in all, and of one file per 1000 bytes and 10 000 more.

    Raises UserError for more, for links, devices and paths outside ``target``, and for what cannot be read; then the target may
    hold a part of it.
    """
    budget = _Budget(archive, target, limit_bytes)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    kind = stat.S_IFMT(info.external_attr >> 16)
                    budget.pay(info.filename, info.file_size, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
                zipped.extractall(target)
            return
        with tarfile.open(archive, tarinfo=_Member) as tar:
            members = []
            for member in tar:
                budget.pay(member.name, member.size, plain=member.isfile() or member.isdir())
                members.append(member)
            # Pythons before 3.11.4 have no filters: what a filter refuses is refused above.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(target, members)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        raise UserError(
            f"{archive.name} cannot be unpacked: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from None


def top(unpacked: Path) -> Path:
    """The one folder that an archive held, or, if it held more than that, the whole."""
    entries = [entry for entry in unpacked.iterdir() if entry.name != "__MACOSX"]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked
