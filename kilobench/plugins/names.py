# SPDX-License-Identifier: Apache-2.0
"""Names of the modules that plug-ins are. Apart from the registry, so that reading a model does not depend on that."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

PLUGIN_PREFIX = "kilobench_plugin_"
"""Of the modules of plug-ins that are files."""
PACKAGE_KINDS = ("tasks", "networks", "methods")
"""What installed packages contribute by entry points of the groups ``kilobench.KIND``."""
_PROJECT = "kilobench."


def module_name(path: Path) -> str:
    """``kilobench_plugin_FOLDER_HASH.STEM`` of a plug-in's file, as in ``kilobench_plugin_methods_0a1b2c3d.mine``.

    Each folder is a package, whose hash is that of its path: files of one stem never share a name, and ``from . import helper``
    finds the file beside the plug-in.
    """
    folder = path.parent.resolve()
    digest = hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:8]
    word = re.sub(r"\W", "_", folder.name)
    return f"{PLUGIN_PREFIX}{word}_{digest}.{path.stem}"


def plugin_packages() -> frozenset[str]:
    """Top names of the installed packages that contribute something, whether they are loaded or not."""
    return frozenset(point.module.partition(".")[0] for kind in PACKAGE_KINDS for point in points(kind))


def points(kind: str) -> Iterable[EntryPoint]:
    """What installed packages offer of a kind."""
    return entry_points(group=f"kilobench.{kind}")


def outside(contributions: Iterable[object]) -> tuple[str, ...]:
    """The modules that contributions come from, without those of this project."""
    names = {type(contribution).__module__ for contribution in contributions}
    return tuple(sorted(name for name in names if not name.startswith(_PROJECT)))


def meter_modules(power: str) -> tuple[str, ...]:
    """The module of a power meter, as ``--power`` says it, if an installed package has it."""
    name = power.partition(":")[0]
    return tuple(point.module for point in points("power") if point.name == name) if name else ()


def imported() -> bool:
    """Whether code of plug-ins has run in this process, so that its state may be any."""
    packages = plugin_packages()
    return any(name.startswith(PLUGIN_PREFIX) or name.partition(".")[0] in packages for name in tuple(sys.modules))
