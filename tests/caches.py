# SPDX-License-Identifier: Apache-2.0
"""Caches of their own for tests and runs, without compiling the same again."""

from pathlib import Path

COMPILED = ("zig", "objects", "hooks", "host", "engines")
"""What a cache holds of the compiler: safe for several processes at a time."""


def new_cache(folder: Path, shared: Path) -> Path:
    """Make ``folder`` an empty cache but for the compiler's part, which is that of ``shared``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMPILED:
        (shared / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(shared / name)
    return folder
