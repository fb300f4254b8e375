# SPDX-License-Identifier: Apache-2.0
"""Compilers and the environment that they and PlatformIO run in."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import time
from typing import Literal

from kilobench.contracts import CellError, PassingError, UserError
from kilobench.files import DISK_FULL, digest_path, intact, lacking, note_digest
from kilobench.lines import one_line
from kilobench.paths import cache_dir
from kilobench.scratch import disks, is_plain, process_folder, temporary_folder

Toolchain = Literal["zig", "gcc"]
GCC = "arm-none-eabi-gcc"

_ZIG_CACHE = "zig-cache"
_SETTLED_SECONDS = 5.0
_KILLED = re.compile(r"Error -9\b|Error 137\b|\bKilled\b|terminated by signal|OutOfMemory|SystemResources")
_TELLING = ("error:", "overflowed by", "undefined", "error")
"""What the line has that says why a build failed, best first: PlatformIO's own words come last."""
_INHERITED = ("PATH", "HOME")
_INHERITED_ON_WINDOWS = (
    "PATHEXT",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_FOR_DOWNLOADS = (*_PROXIES, *map(str.upper, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


@contextmanager
def plain_folder() -> Iterator[Path]:
    """A temporary folder, and in it a link ``zig-cache`` to the compiler's cache, whatever its path.

    Of that cache only the compiler's own libraries are used again, and only while they are as they were written; objects are ours
    to keep, or are made anew.
    """
    with temporary_folder() as folder:
        cached = cache_dir() / "zig"
        _remove_damaged(cached)
        cached.mkdir(parents=True, exist_ok=True)
        link(folder / _ZIG_CACHE, cached)
        yield folder
        _note_digests(cached)


def link(place: Path, target: Path) -> Path:
    """A link at ``place``; the target itself where none can be made, as on Windows without its developer mode."""
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        return target
    return place


def _remove_damaged(cached: Path) -> None:
    """Empty zig's cache, with a line, if one of its libraries is not as it was written."""
    for library in cached.glob("o/*/*.a"):
        if digest_path(library).is_file() and not intact(library):
            print(f"{library} was damaged: zig's cache is made anew", file=sys.stderr)
            shutil.rmtree(cached, ignore_errors=True)
            return


def _note_digests(cached: Path) -> None:
    """Of libraries that have been there for a while, so that no other process is writing them."""
    for library in cached.glob("o/*/*.a"):
        if not digest_path(library).is_file() and time() - library.stat().st_mtime > _SETTLED_SECONDS:
            note_digest(library, library.read_bytes())


def clean_environment(**settings: str) -> dict[str, str]:
    """All that a compiler, or PlatformIO, sees of the environment: what finds programs and places, and ``settings``.

    Nothing else of the user's reaches a build, where PLATFORMIO_BUILD_FLAGS, CPATH or SCONSFLAGS would change the program
    unseen. Messages are in English and UTF-8, so that they can be read by programs.
    """
    names = (*_INHERITED, *(_INHERITED_ON_WINDOWS if os.name == "nt" else ()))
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP") if os.name == "nt" else ("TMPDIR",), str(process_folder()))
    return inherited | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"} | temporary | settings


def downloading_environment(**settings: str) -> dict[str, str]:
    """``clean_environment``, and how the network is reached."""
    network = {name: os.environ[name] for name in _FOR_DOWNLOADS if name in os.environ}
    return clean_environment(**network, **settings)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a Python module that is installed, whatever lies in the working directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def zig_environment(folder: Path) -> dict[str, str]:
    """Settings that let zig use the cache that a ``plain_folder`` links to; its objects go with the folder."""
    linked = folder / _ZIG_CACHE
    shared = linked if linked.exists() else cache_dir() / "zig"
    return {"ZIG_GLOBAL_CACHE_DIR": str(shared), "ZIG_LOCAL_CACHE_DIR": str(folder / "zig-local")}


def zig(*arguments: str, output: Path, what: str) -> None:
    """Run the pinned zig compiler, which makes ``output``; raises what ``failure`` says where it fails."""
    with plain_folder() as folder:
        made = folder / output.name
        plain = (_plain(argument, folder / f"link{number}") for number, argument in enumerate(arguments))
        command = python("ziglang", *plain, "-o", str(made))
        environment = clean_environment(**zig_environment(folder))
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not done.returncode:
            shutil.move(made, output)
    if done.returncode:
        raise failure(f"{what} does not compile", done.stderr, done.returncode)


def _plain(argument: str, place: Path) -> str:
    """An argument that names a path, by way of a link where zig would take a character of it for syntax."""
    option, path = (argument[:2], argument[2:]) if argument.startswith("-I") else ("", argument)
    if is_plain(path) or not os.path.isabs(path):
        return argument
    return f"{option}{link(place.with_suffix(Path(path).suffix), Path(path))}"


def failure(what: str, log: str, code: int) -> CellError | PassingError:
    """How a compiler failed that wrote ``log``: for want of disk or memory, or by its first line that says an error.

    A negative exit code is a signal, as of subprocess; SCons and shells tell that of a compiler in words.
    """
    if lacked := lacking(log):
        return PassingError(f"{what}: {lacked}{f': {disks()}' if lacked == DISK_FULL else ''}")
    if code < 0 or _KILLED.search(log):
        how = signal.Signals(-code).name if code < 0 else "a signal"
        return PassingError(f"{what}: the compiler was killed by {how}; was there too little memory?")
    lines = [line for line in map(one_line, log.splitlines()) if line]
    words = (line for word in _TELLING for line in lines if word in line.lower())
    return CellError(f"{what}: {next(words, lines[-1] if lines else f'it ended with exit code {code} and no word')}")


def toolchain_name(toolchain: str) -> str:
    """Name and version as records say it, ``zig 0.17.1`` or ``gcc 12.2.1``.

    Raises UserError, with the mend, if it is not there.
    """
    if toolchain == "zig":
        return f"zig {_version('ziglang')}"
    found = shutil.which(GCC)
    if found is None:
        raise UserError(f"no {GCC} on the PATH; install gcc-arm-none-eabi, or use --toolchain zig")
    return f"gcc {_gcc_version(found)}"


_version = cache(version)
"""To look a package up takes longer than to plan a cell."""


@cache
def _gcc_version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "-dumpfullversion"], capture_output=True, text=True, env=clean_environment(), check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{path} does not run ({error}); install gcc-arm-none-eabi, or use --toolchain zig") from None
    return done.stdout.strip()
