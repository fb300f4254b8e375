"""Published data sets: the user's own copy, the cache, or a verified download."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path

from filelock import FileLock

from kilobench.api import DataUnavailable, Progress, Source, UserError


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
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{source.folder}.lock"):
        if (folder := present(source, cache)) is not None:
            return folder
        if not source.url:
            raise DataUnavailable(f"{source.folder} has no download; {_by_hand(source)}")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = Path(scratch) / source.url.rpartition("/")[2]
            _download(source, archive, progress)
            unpacked = Path(scratch) / "unpacked"
            unpack(archive, unpacked)
            os.replace(top(unpacked), cache / source.folder)
    return cache / source.folder


def _by_hand(source: Source) -> str:
    return f"get it from {source.page}, then kilobench data import PATH (or KILOBENCH_DATA=the folder that holds it)"


def _download(source: Source, target: Path, progress: Progress) -> None:
    """Write the archive to ``target``, hashing on the way."""
    kind, _, expected = source.checksum.partition(":")
    hasher = hashlib.new(kind) if expected else hashlib.sha256()
    try:
        with urllib.request.urlopen(source.url, timeout=30) as response, target.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 18):
                file.write(chunk)
                hasher.update(chunk)
                progress(f"download {source.folder}", file.tell(), total)
    except OSError as error:
        raise DataUnavailable(f"cannot download {source.url}: {error}; {_by_hand(source)}") from None
    if total and target.stat().st_size != total:
        raise UserError(f"{source.url}: got {target.stat().st_size} of {total} bytes; try again")
    if expected and hasher.hexdigest() != expected:
        raise UserError(f"{source.url}: {kind} is {hasher.hexdigest()}, not {expected} as published; nothing was kept")


def unpack(archive: Path, target: Path, limit_bytes: int = 16 << 30) -> None:
    """Unpack a zip or tar file, refusing members outside ``target``, links, and more than ``limit_bytes`` in all."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                _check_size(archive, sum(member.file_size for member in zipped.infolist()), limit_bytes)
                zipped.extractall(target)
            return
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            _check_size(archive, sum(member.size for member in members), limit_bytes)
            for member in members:
                inside = (target / member.name).resolve().is_relative_to(target.resolve())
                if not (inside and (member.isfile() or member.isdir())):
                    raise UserError(f"{archive.name} holds {member.name!r}, a link or a path outside its folder")
            # Pythons before 3.11.4 have no filters: what a filter refuses is refused above.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise UserError(
            f"{archive.name} cannot be unpacked: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from None


def _check_size(archive: Path, size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise UserError(f"{archive.name} would unpack to {size} bytes, more than {limit_bytes}")


def top(unpacked: Path) -> Path:
    """The one folder that an archive held, or, if it held more than that, the whole."""
    entries = [entry for entry in unpacked.iterdir() if entry.name != "__MACOSX"]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked
