"""The compilers: the pinned zig, and arm-none-eabi-gcc where it is wanted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version

from kilobench.api import CellError, UserError
from kilobench.paths import cache_dir


def zig(*arguments: str, what: str) -> None:
    """Run the pinned zig compiler; raises CellError with its first error line."""
    cache = {f"ZIG_{kind}_CACHE_DIR": str(cache_dir() / "zig") for kind in ("GLOBAL", "LOCAL")}
    command = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | cache, check=False)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise CellError(f"{what} does not compile: {first}")


@cache
def toolchain_name(toolchain: str) -> str:
    """``zig`` or ``gcc`` with its version; raises UserError, with the mend, if it is not there."""
    if toolchain == "zig":
        return f"zig {version('ziglang')}"
    if shutil.which("arm-none-eabi-gcc") is None:
        raise UserError("no arm-none-eabi-gcc on the PATH; install gcc-arm-none-eabi, or use --toolchain zig")
    dumped = subprocess.run(["arm-none-eabi-gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    return f"gcc {dumped.stdout.strip()}"
