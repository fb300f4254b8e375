# SPDX-License-Identifier: Apache-2.0
"""Where things are on disk."""

from __future__ import annotations

import os
from pathlib import Path

from kilobench.contracts import UserError

_PACKAGE = Path(__file__).resolve().parent
LEADERBOARD = "leaderboard"
"""The folder of records and pages, where none is named: that of the checkout is published."""
PLUGINS_VARIABLE = "KILOBENCH_PLUGINS"
"""Of the environment: folders and files with contributions, as of ``--plugins``."""


def cache_dir() -> Path:
    """Everything that can be made again: ``KILOBENCH_CACHE``, or ``~/.cache/kilobench``."""
    return Path(os.environ.get("KILOBENCH_CACHE") or home() / ".cache" / "kilobench").resolve()


def log_path(key: str) -> Path:
    """What a step of a run wrote to standard output and error, and its traceback; or a build that failed."""
    return cache_dir() / "logs" / f"{key}.txt"


def home() -> Path:
    """The user's; raises UserError for a user without one (as in containers)."""
    try:
        return Path.home()
    except RuntimeError:
        raise UserError("this user has no home folder; KILOBENCH_CACHE, or HOME, says where files are kept") from None


def contributions_dir() -> Path:
    """The folder of methods/, tasks/, hardware/ and benchmarks/: the checkout, or kilobench/contrib in a wheel."""
    checkout = _PACKAGE.parent
    return checkout if (checkout / "pyproject.toml").is_file() else _PACKAGE / "contrib"


def hardware_dir() -> Path:
    """Boards, firmware, kernels and the local PlatformIO platform."""
    return contributions_dir() / "hardware"


def operators_dir() -> Path:
    """The operators of this project."""
    return _PACKAGE / "compile" / "ops"


def python_files(folder: Path) -> list[Path]:
    """Those of a folder, but for what several of them share: names with an underscore first."""
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]
