# SPDX-License-Identifier: Apache-2.0
"""The files of operators, this project's and those of plug-ins; kilobench.compile.operator loads them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from kilobench.paths import PLUGINS_VARIABLE, operators_dir, python_files

_used: dict[str, None] = {}
"""Paths of ``use_plugins``."""


def operators_in(plugin: Path) -> list[Path]:
    """Operators of a plug-in: of a folder those in its folder ``ops``, of a file itself if it lies in such a folder."""
    if plugin.is_file():
        return [plugin] if plugin.suffix == ".py" and plugin.parent.name == "ops" else []
    return python_files(plugin / "ops")


def use_plugins(plugins: Iterable[str]) -> None:
    """From now on operators of these folders and files are found in this process, too."""
    _used.update(dict.fromkeys(plugins))


def operator_files() -> tuple[Path, ...]:
    """This project's, and those of the plug-ins in KILOBENCH_PLUGINS and of ``use_plugins``."""
    return _operator_files((*os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep), *_used))


@cache
def _operator_files(plugins: tuple[str, ...]) -> tuple[Path, ...]:
    paths = [Path(name).resolve() for name in plugins if name]
    found = [*python_files(operators_dir()), *(file for path in paths for file in operators_in(path))]
    return tuple(dict.fromkeys(found))


def plugin_sources() -> tuple[list[Path], list[Path]]:
    """The files of plug-ins' operators, and what lies in their folders ``kernels``."""
    files = [file for file in operator_files() if file.parent != operators_dir()]
    folders = sorted({file.parent.parent / "kernels" for file in files})
    return files, [file for folder in folders for file in kernels_in(folder)]


def kernels_in(folder: Path) -> list[Path]:
    """C files and headers."""
    return sorted(folder.glob("*.[ch]"))
