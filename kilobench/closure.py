# SPDX-License-Identifier: Apache-2.0
"""The closure of some code: the files that it can import, and the packages underneath.

It is found by following import statements, wherever in a file they stand, through the engine, through plug-ins and the modules
beside them or in folders that they name. Other files that a plug-in names, such as weights beside it, are part of it as they
are. Comments, doc strings and layout are no part of it.
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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Any

from kilobench.contracts import UserError
from kilobench.paths import contributions_dir

_ENGINE = Path(__file__).parent
_CONTRIBUTED = "kilobench.contrib"
_ALL_BESIDE = ".*"
"""Imports by a name that is made at run time."""
_MOST_OF_A_PATH = 255
"""Characters."""
_C = (".c", ".h", ".cpp")
_C_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
"""A comment, or what may hold one that is none."""


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
    return hashed([(f"{file.parent.name}/{file.name}", _read(file).digest) for file in files])


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
        source = _read(file)
        seen[file] = source.digest
        named = _named(source, file)
        waiting += [path for path in named if path.is_file()]
        for name in source.imports:
            files, package = _found(name, file, [path for path in named if path.is_dir()])
            waiting += files
            packages.add(package)
    versions = {name: importlib.metadata.version(name) for name in sorted(packages - {""})}
    sources = sorted((_label(file), digest) for file, digest in seen.items())
    return Code(hashed(sources), tuple(name for name, _ in sources), versions)


def code_has_changed() -> bool:
    """Whether any file that this process has asked for here is not as it was then."""
    try:
        return any(_read(file).digest != digest for file, digest in list(_asked.items()))
    except UserError:
        return True


# Sources and what they import

_asked: dict[Path, str] = {}
"""Digests of files as they were when they were first asked for."""


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[str, ...] = ()
    """Dotted names, of modules or of things in them; relative ones begin with dots."""
    texts: tuple[str, ...] = ()
    """Strings that may be paths."""


def _read(file: Path) -> _Source:
    """Again only where it has changed. Raises UserError where that cannot be."""
    try:
        source = _source(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    _asked.setdefault(file, source.digest)
    return source


@cache
def _source(file: Path, changed_ns: int) -> _Source:
    content = file.read_bytes()
    if file.suffix in _C:
        return _Source(hashlib.sha256(_without_comments(content.decode(errors="replace")).encode()).hexdigest())
    try:
        if file.suffix not in SOURCE_SUFFIXES:
            raise ValueError("no source code")
        tree = ast.parse(content, str(file))
    except (ValueError, SyntaxError, RecursionError):  # who imports it sees what is wrong with it
        return _Source(hashlib.sha256(content).hexdigest())
    imports = tuple(dict.fromkeys(_imports(tree)))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    texts = tuple(dict.fromkeys(text for text in _texts(tree) if 0 < len(text) <= _MOST_OF_A_PATH))
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, texts)


def _without_comments(c: str) -> str:
    """C, its lines without the space around them, and none that is empty."""
    plain = _C_TOKEN.sub(lambda token: " " if token[0].startswith("/") else token[0], c)
    return "\n".join(filter(None, map(str.strip, plain.splitlines())))


def _imports(node: ast.AST) -> Iterator[str]:
    """All that runs: what only type checkers see is passed over."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for statement in node.orelse:
            yield from _imports(statement)
        return
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from (f"{module}{'' if module.endswith('.') else '.'}{name.name}" for name in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        for name in [*node.args, *(keyword.value for keyword in node.keywords)][:1]:
            start = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if isinstance(start, ast.Constant):
                yield str(start.value) + ("" if start is name else "*")  # whatever is in the folder
            else:
                yield _ALL_BESIDE
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every string, and those of ``here / "a" / "b"`` and of ``join(here, "a", "b")`` as a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            parts: list[ast.expr] = [node]
        elif isinstance(node, ast.Call):
            parts = node.args
        else:
            parts, left = [], node
            while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Div):
                parts, left = [left.right, *parts], left.left
        yield "/".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _named(source: _Source, file: Path) -> list[Path]:
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
        dynamic = name == _ALL_BESIDE and not of_plugin
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
        return next(iter(_distributions().get(top, ())), "")


@cache
def _editable(distribution: str) -> bool:
    """Whether it is imported from where its author edits it, so that its version tells nothing."""
    origin = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    return origin is not None and bool(json.loads(origin).get("dir_info", {}).get("editable"))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


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
