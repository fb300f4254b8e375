# SPDX-License-Identifier: Apache-2.0
"""``kilobench doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from kilobench.contracts import UserError
from kilobench.extras import EXTRAS, mend
from kilobench.files import writable
from kilobench.paths import cache_dir


def report() -> int:
    """Print every check; returns 0 if all that is needed is there, else 1."""
    missing = 0
    for needed, name, found, advice in _checks():
        state = "ok" if found else ("missing" if needed else "absent")
        missing += needed and not found
        print(f"{state:8} {name:24} {found or advice}")
    print("everything that is needed is there" if not missing else f"{missing} missing")
    return 1 if missing else 0


def _checks() -> Iterator[tuple[bool, str, str, str]]:
    """Needed, name, what was found (or nothing), and the mend."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield True, "Python", python if sys.version_info >= (3, 11) else "", "install Python 3.11 or newer"
    yield True, "system", f"{platform.system()} {platform.machine()}", ""
    required = list(map(Requirement, importlib.metadata.requires("kilobench") or []))
    for requirement in _of(required, ""):
        yield True, requirement.name, _version(requirement), f"python -m pip install '{requirement}'"
    for extra in EXTRAS:
        versions = {one.name: _version(one) for one in _of(required, extra) if one.marker}
        found = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield False, f"extra {extra}", found if all(versions.values()) else "", f"optional: {mend(extra)}"
    yield True, "cache", *_cache()
    gcc = shutil.which("arm-none-eabi-gcc") or ""
    yield False, "arm-none-eabi-gcc", gcc, "optional, for --toolchain gcc: install gcc-arm-none-eabi"
    data = os.environ.get("KILOBENCH_DATA", "")
    found = data if data and Path(data).is_dir() else ""
    yield False, "KILOBENCH_DATA", found, "optional: a folder with your own copies of data sets"


def _of(required: list[Requirement], extra: str) -> list[Requirement]:
    """What is needed on this machine, by the core alone or with an extra."""
    return [one for one in required if one.marker is None or one.marker.evaluate({"extra": extra})]


def _cache() -> tuple[str, str]:
    """What was found, and the mend."""
    try:
        cache = cache_dir()
    except UserError as error:
        return "", str(error)
    folder = writable(cache)
    found = f"{cache}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free" if folder else ""
    return found, f"make {cache} writable, or set KILOBENCH_CACHE"


def _version(requirement: Requirement) -> str:
    """The installed version if it satisfies the requirement."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return version if requirement.specifier.contains(version, prereleases=True) else ""
