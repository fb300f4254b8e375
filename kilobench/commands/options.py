# SPDX-License-Identifier: Apache-2.0
"""What verbs make of options that several of them have: what is plugged in, the boards, and places that can be written to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kilobench.boards import Board
from kilobench.contracts import UserError


def registry_of(options: argparse.Namespace, modules: Sequence[str] | None = None) -> Any:
    """What there is; see load_registry for ``modules``: commands that need boards alone run no code of plug-ins."""
    from kilobench.plugins.registry import load_registry

    return load_registry(options.plugins, modules)


def known_boards(options: argparse.Namespace) -> dict[str, Board]:
    """By name; no code of plug-ins runs for them."""
    entries = registry_of(options, modules=()).entries["boards"]
    return {name: entry.value for name, entry in sorted(entries.items()) if isinstance(entry.value, Board)}


def require_writable(option: str, folder: Path) -> None:
    """What would fail in the end fails before anything is made."""
    from kilobench.files import writable

    if not writable(folder):
        raise UserError(f"no files can be written to {option} {folder}; choose another folder")


def require_cache() -> None:
    """Likewise of the cache."""
    from kilobench.files import writable
    from kilobench.paths import cache_dir

    if not writable(cache_dir()):
        raise UserError(f"no files can be written to the cache {cache_dir()}; KILOBENCH_CACHE names another folder")
