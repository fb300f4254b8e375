# SPDX-License-Identifier: Apache-2.0
"""Caches of their own for tests and runs, without compiling and parsing the same again."""

from pathlib import Path

SHARED = ("zig", "objects", "hooks", "host", "engines", "sources")
"""What a cache holds of the compiler, and of sources: safe for several processes at a time."""


def new_cache(folder: Path, shared: Path) -> Path:
    """Make ``folder`` an empty cache but for what is safe to share, which is that of ``shared``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        (shared / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(shared / name)
    return folder
