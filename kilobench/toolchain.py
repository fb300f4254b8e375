"""The pinned zig compiler."""

from __future__ import annotations

import os
import subprocess
import sys

from kilobench.api import CellError
from kilobench.paths import cache_dir


def zig(*arguments: str, what: str) -> None:
    """Run the pinned zig compiler; raises CellError with its first error line."""
    cache = {f"ZIG_{kind}_CACHE_DIR": str(cache_dir() / "zig") for kind in ("GLOBAL", "LOCAL")}
    command = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | cache, check=False)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise CellError(f"{what} does not compile: {first}")
