"""Keys: hashes of everything that a result depends on.

Specifications with all parameters, and the source code that turns them into the result. Changing one line of a method therefore
repeats that method's cells and no others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kilobench.api import Contribution
from kilobench.paths import hardware_dir

_ENGINE = Path(__file__).parent
TRAINING = ("learn/layers.py", "learn/train.py", "learn/augment.py")
COMPRESSING = ("learn/quantise.py", "learn/pruning.py", "learn/latent.py")
DATA = ("data",)
MEASURING = ("compile", "measure", "record.py", "device")
TRAINING_PACKAGES = ("torch", "torch-pruning", "numpy")
DATA_PACKAGES = ("soxr", "soundfile", "espeakng-loader", "scikit-learn")
MEASURING_PACKAGES = ("ziglang", "unicorn", "platformio", "SCons")


def identity(contribution: Contribution) -> list[Any]:
    """Name, all parameters, and the source file it comes from."""
    source = Path(inspect.getfile(type(contribution))).read_bytes()
    return [contribution.name, dataclasses.asdict(contribution), hashlib.sha256(source).hexdigest()]  # type: ignore[call-overload]


@cache
def digest(sources: tuple[str, ...], packages: tuple[str, ...] = ()) -> str:
    """Hash of source files of the engine and of the versions of packages."""
    return hashed(_sources(_ENGINE / name for name in sources), _versions(packages))


def measuring_key(evaluation_key: str, board: Mapping[str, Any], link: str, toolchain: str, power: str) -> str:
    """Key of the measurement of an evaluated model on a board (its fields); ports tell nothing apart."""
    where = [board, link.partition(":")[0], toolchain, power.partition(":")[0]]
    return hashed(evaluation_key, *where, measuring_digest())


@cache
def measuring_digest() -> str:
    """Hash of the code, the C sources and the tools that turn a model into a measurement."""
    folders = [hardware_dir() / name for name in ("firmware", "kernels", "platformio")]
    return hashed(_sources([*(_ENGINE / name for name in MEASURING), *folders]), _versions(MEASURING_PACKAGES))


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in packages}


def versions() -> dict[str, str]:
    """Versions of everything that results depend on."""
    packages = (*TRAINING_PACKAGES, *DATA_PACKAGES, *MEASURING_PACKAGES)
    return {"kilobench": version("kilobench"), **_versions(packages)}


def files_digest(paths: Iterable[Path]) -> str:
    """Hash of the names and contents of files."""
    return _sources(paths)


def _sources(paths: Iterable[Path]) -> str:
    hasher = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                hasher.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()


def hashed(*parts: Any) -> str:
    """Hash of values that JSON can hold, 32 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
