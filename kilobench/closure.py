# SPDX-License-Identifier: Apache-2.0
"""The closure of some code: the files that it can import, and the packages underneath.

It is found by following import statements, wherever in a file they stand, through the engine, through plug-ins and the modules
beside them. Comments, doc strings and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kilobench.paths import contributions_dir

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
    """Hash of the names and contents of files."""
    hasher = hashlib.sha256()
    for file in files:
        hasher.update(f"{file.parent.name}/{file.name}".encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()


@cache
def code(*roots: str | Path) -> Code:
    """The closure of some modules of the engine, by name, or of plug-in files, by path."""
    waiting = [_module_file(root) if isinstance(root, str) else root.resolve() for root in roots]
    seen: dict[Path, str] = {}
    packages: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        source = _source(file, file.stat().st_mtime_ns)
        seen[file] = source.digest
        for name in source.imports:
            found = _found(name, file)
            if isinstance(found, str):
                packages.add(found)
            else:
                waiting += found
    versions = {name: importlib.metadata.version(name) for name in sorted(packages)}
    sources = sorted((_label(file), digest) for file, digest in seen.items())
    return Code(hashed(sources), tuple(name for name, _ in sources), versions)


# Sources and what they import


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[str, ...]
    """Dotted names, of modules or of things in them; relative ones begin with dots."""


@cache
def _source(file: Path, changed_ns: int) -> _Source:
    tree = ast.parse(file.read_bytes(), str(file))
    imports = tuple(dict.fromkeys(_imports(tree)))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports)


def _imports(node: ast.AST) -> Iterator[str]:
    """All that runs: what only type checkers see is passed over."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for statement in node.orelse:
            yield from _imports(statement)
        return
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from (f"{module}{'' if module.endswith('.') else '.'}{name.name}" for name in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        for name in node.args[:1]:
            if isinstance(name, ast.Constant):
                yield str(name.value)
            elif isinstance(name, ast.JoinedStr) and isinstance(start := name.values[0], ast.Constant):
                yield str(start.value) + "*"  # whatever is in the folder
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _found(name: str, importer: Path) -> str | list[Path]:
    """The files that an import reads, or the package, by the name of its distribution, that it comes from."""
    level = len(name) - len(name.lstrip("."))
    if level:
        folder = importer.parents[level - 1]
        return _below(folder, name[level:].split("."))
    parts = name.split(".")
    if parts[:2] == ["kilobench", "api"]:  # what is imported by it, not all that could be
        later = _later()
        wanted = [f"{later[name]}.{name}" for name in (parts[2:3] or later) if name in later]
        return [
            *_below(_ENGINE, ["contracts"]),
            *(file for name in wanted for file in _below(_ENGINE, name.split(".")[1:])),
        ]
    if parts[0] == "kilobench":
        if ".".join(parts[:2]) == _CONTRIBUTED:
            return _below(contributions_dir(), parts[2:])
        return [file for file in _below(_ENGINE, parts[1:]) if file.name != "__init__.py" or file.parent != _ENGINE]
    if parts[0] in sys.stdlib_module_names:
        return []
    if not importer.is_relative_to(_ENGINE):  # a plug-in imports what lies beside it, or in its own package
        around = [folder.parent for folder in importer.parents if folder.name == parts[0]]
        if files := next(filter(None, (_below(folder, parts) for folder in (importer.parent, *around))), None):
            return files
    return _elsewhere(parts[0]) or _local(parts)


def _below(folder: Path, parts: list[str]) -> list[Path]:
    """The files of a module in a folder of packages, as far as the name goes: those of the packages around it as well."""
    files: list[Path] = []
    for part in parts:
        if part == "*":
            return [*files, *sorted(folder.glob("*.py"))]
        if (folder / f"{part}.py").is_file():
            return [*files, folder / f"{part}.py"]
        folder = folder / part
        if not folder.is_dir():
            break
        if (folder / "__init__.py").is_file():
            files.append(folder / "__init__.py")
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
        return next(iter(_distributions().get(top, ())), "")


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _local(parts: list[str]) -> list[Path]:
    """The files of a module that is on Python's path, but was not installed."""
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return []
    origin = Path(spec.origin)
    return _below(origin.parents[1] if origin.name == "__init__.py" else origin.parent, parts)


def _label(file: Path) -> str:
    """A name that is the same on every machine: below the engine or the project, else that of the file and its folder."""
    for name, root in (("kilobench", _ENGINE), ("", contributions_dir())):
        if file.is_relative_to(root):
            return (name / file.relative_to(root)).as_posix()
    return f"{file.parent.name}/{file.name}"


def _module_file(name: str) -> Path:
    return _below(_ENGINE, name.split(".")[1:])[-1]
