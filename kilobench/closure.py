# SPDX-License-Identifier: Apache-2.0
"""The closure of some code: the files that it can import, and the packages underneath.

It is found by following import statements, wherever in a file they stand, through the engine, through plug-ins and the modules
beside them or in folders that they name. Other files that a plug-in names, such as weights beside it, are part of it as they
are.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Any

from kilobench.paths import contributions_dir
from kilobench.sources import ALL_BESIDE, Source, keep_parsed, read

_ENGINE = Path(__file__).parent
_CONTRIBUTED = "kilobench.contrib"


@dataclass(frozen=True)
class Code:
    """A closure: the hash of its sources, their names, and the packages that they import with their versions."""

    digest: str
    files: tuple[str, ...]
    packages: Mapping[str, str]


def hashed(*parts: Any) -> str:
    """Hash of values that JSON can hold, 32 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def digest_of(files: Iterable[Path]) -> str:
    """Hash of names and contents of files, Python's and C's without comments. Raises UserError for one that cannot be read."""
    return hashed([(f"{file.parent.name}/{file.name}", read(file).digest) for file in files])


@cache
def code(*roots: str | Path) -> Code:
    """The closure of some modules of the engine, by name, or of plug-in files, by path.

    Raises UserError for a file that cannot be read.
    """
    waiting = [_module_file(root) if isinstance(root, str) else root.resolve() for root in roots]
    seen: dict[Path, str] = {}
    packages: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        source = read(file)
        seen[file] = source.digest
        named = _named(source, file)
        waiting += [path for path in named if path.is_file()]
        for name in source.imports:
            files, package = _found(name, file, [path for path in named if path.is_dir()])
            waiting += files
            packages.add(package)
    keep_parsed()
    versions = {name: importlib.metadata.version(name) for name in sorted(packages - {""})}
    sources = sorted((_label(file), digest) for file, digest in seen.items())
    return Code(hashed(sources), tuple(name for name, _ in sources), versions)


def _named(source: Source, file: Path) -> list[Path]:
    """Files and folders that a plug-in names: from its own folder, or from the two around that."""
    if file.is_relative_to(_ENGINE):
        return []
    paths = (folder / text for text in source.texts for folder in file.parents[:3])
    return [path.resolve() for path in paths if os.path.isdir(path) or (os.path.isfile(path) and _readable(path))]


def _readable(file: Path) -> bool:
    """Not what says of the system how it is, as in /proc: its size is 0."""
    return os.access(file, os.R_OK) and file.stat().st_size > 0


def _found(name: str, importer: Path, folders: Iterable[Path]) -> tuple[list[Path], str]:
    """The files that an import may read, and the distribution, by its name, that it may come from; for a plug-in's they are
    looked for in ``folders`` as well.
    """
    level = len(name) - len(name.lstrip("."))
    of_plugin = not importer.is_relative_to(_ENGINE)
    if level:
        dynamic = name == ALL_BESIDE and not of_plugin
        return [] if dynamic else _below(importer.parents[level - 1], name[level:].split(".")), ""
    parts = name.split(".")
    if parts[0] == "kilobench":
        return _of_project(parts), ""
    if parts[0] in sys.stdlib_module_names:
        return [], ""
    files: list[Path] = []
    if of_plugin:  # which imports its own package, or what lies beside it
        own = [folder.parent for folder in importer.parents if folder.name == parts[0]]
        if files := [file for folder in own for file in _below(folder, parts)]:
            return files, ""
        files = [file for folder in (importer.parent, *folders) for file in _below(folder, parts)]
    package = _elsewhere(parts[0])
    return files if package and not _editable(package) else [*files, *_local(parts)], package


def _of_project(parts: list[str]) -> list[Path]:
    if parts[1:2] in ([], ["api"]):  # what is imported by it, not all that could be
        later = _later()
        chosen = parts[2:3] if parts[2:3] not in ([], ["*"]) else later
        wanted = [["contracts"], *(f"{later[name]}.{name}".split(".")[1:] for name in chosen if name in later)]
        return [file for name in wanted for file in _below(_ENGINE, name)]
    if ".".join(parts[:2]) == _CONTRIBUTED:
        return _below(contributions_dir(), parts[2:])
    return [file for file in _below(_ENGINE, parts[1:]) if file.name != "__init__.py" or file.parent != _ENGINE]


def _below(folder: Path, parts: list[str]) -> list[Path]:
    """The files of a module in a folder of packages, as far as the name goes: those of the packages around it as well."""
    files: list[Path] = []
    for part in parts:
        if part.endswith("*"):
            return [*files, *sorted(folder.glob(f"{part}.py")), *sorted(folder.glob(f"{part}/__init__.py"))]
        package = folder / part / "__init__.py"
        modules = (folder / f"{part}{suffix}" for suffix in (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES))
        if package.is_file():
            files.append(package)
        elif module := next(filter(Path.is_file, modules), None):
            return [*files, module]
        folder = folder / part
        if not folder.is_dir():
            break
    return files


@cache
def _later() -> Mapping[str, str]:
    """The table of kilobench.api, which is not imported for it."""
    for node in ast.parse((_ENGINE / "api.py").read_bytes()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LATER":
            table: dict[str, str] = ast.literal_eval(node.value)
            return table
    raise AssertionError("kilobench.api has no table LATER")


@cache
def _elsewhere(top: str) -> str:
    """The distribution that a module of this name was installed with, if any."""
    try:
        importlib.metadata.version(top)
        return re.sub(r"[-_.]+", "-", top).lower()
    except importlib.metadata.PackageNotFoundError:
        return _distribution_of(top)


@cache
def _editable(distribution: str) -> bool:
    """Whether it is imported from where its author edits it, so that its version tells nothing."""
    origin = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    return origin is not None and bool(json.loads(origin).get("dir_info", {}).get("editable"))


@cache
def _distribution_of(top: str) -> str:
    """By what it says, or has, at its top. To ask importlib.metadata for all of them makes a path of each of their files."""
    named = re.compile(rf"^{re.escape(top)}(/.*)?\.py,", re.MULTILINE)
    for one, declared, record in _distributions():
        if top in declared if declared else named.search(record):
            return str(one.metadata["Name"])
    return ""


@cache
def _distributions() -> list[tuple[importlib.metadata.Distribution, list[str], str]]:
    """All of them, the modules that each declares, and its record."""
    found = importlib.metadata.distributions()
    return [(one, (one.read_text("top_level.txt") or "").split(), one.read_text("RECORD") or "") for one in found]


def _local(parts: list[str]) -> list[Path]:
    """The files of a module that is on Python's path, but was not installed."""
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    return [file for place in places for file in _below(Path(place).parent, parts)]


def _label(file: Path) -> str:
    """A name that is the same on every machine: below the engine or the project, else that of the file and its folder."""
    for name, root in (("kilobench", _ENGINE), ("", contributions_dir())):
        if file.is_relative_to(root):
            return (name / file.relative_to(root)).as_posix()
    return f"{file.parent.name}/{file.name}"


def _module_file(name: str) -> Path:
    return _below(_ENGINE, name.split(".")[1:])[-1]
