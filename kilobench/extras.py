# SPDX-License-Identifier: Apache-2.0
"""What is installed besides the core, and what is said where it is missing."""

from __future__ import annotations

import importlib.util
import sys

from kilobench.contracts import UserError

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "torch_pruning", "sklearn", "espeakng_loader", "PIL", "soundfile", "soxr"),
    "pages": ("altair", "itables", "mkdocs", "material", "pandas", "vl_convert"),
    "onnx": ("onnx",),
    "ray": ("ray",),
    "ppk2": ("ppk2_api",),
}
"""The modules that are imported of the packages of an extra of pyproject.toml."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not there; none of them is imported for it."""
    return [name for name in EXTRAS[extra] if not _is_there(name)]


def require(extra: str, what: str) -> None:
    """Raise ``needed`` where a module of an extra is not there that ``what`` needs."""
    if missing(extra):
        raise needed(extra, what)


def needed(extra: str, what: str) -> UserError:
    """What is said where ``what`` cannot be done without an extra, and the command that mends it."""
    return UserError(f"{what} needs an extra: {mend(extra)}")


def mend(extra: str) -> str:
    """The command that installs an extra."""
    return f"python -m pip install 'kilobench[{extra}]'"


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None
