# SPDX-License-Identifier: Apache-2.0
"""Published data sets: the user's own copy, the cache, or a verified download."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from kilobench.contracts import DataUnavailable, Progress, Source, UserError
from kilobench.data.archives import Limit, opened
from kilobench.files import locked
from kilobench.lines import one_line


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
            with opened(archive, limit(source)) as found:
                found.unpack(unpacked)
                os.replace(unpacked / found.top, cache / source.folder)
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
    most = limit(source).bytes
    _require_secure(source.url, local=True)
    try:
        opener = urllib.request.build_opener(_SecureRedirects)
        with opener.open(source.url, timeout=30) as response, target.open("wb") as file:
            stated = response.headers.get("Content-Length") or ""
            total = int(stated) if stated.isdecimal() else 0
            while chunk := response.read(1 << 18):
                file.write(chunk)
                hasher.update(chunk)
                if file.tell() > most:
                    raise UserError(f"{source.url}: more than {most} bytes, twice what {source.folder} takes")
                progress(f"download {source.folder}", file.tell(), total)
    except (OSError, HTTPException) as error:
        said = one_line(str(error)) or type(error).__name__
        raise DataUnavailable(f"cannot download {source.url}: {said}; {_by_hand(source)}") from None
    if total and target.stat().st_size != total:
        raise UserError(f"{source.url}: got {target.stat().st_size} of {total} bytes; try again")
    if expected and hasher.hexdigest() != expected:
        raise UserError(f"{source.url}: {kind} is {hasher.hexdigest()}, not {expected} as published; nothing was kept")


def limit(*known: Source) -> Limit:
    """The most that an archive of these data sets may hold: twice what they state, 1 MB and 1000 files each."""
    return Limit(
        sum(2 * source.bytes + 1_000_000 for source in known), sum(2 * source.files + 1000 for source in known)
    )
