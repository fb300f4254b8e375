"""Finds contributions: the folders of this project, --plugins, single files and entry points."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from kilobench.api import Board, Contribution, Method, Network, Task, UserError
from kilobench.paths import PLUGINS_VARIABLE, contributions_dir, hardware_dir, operators_dir, python_files
from kilobench.plugins.boards import load_board
from kilobench.plugins.operators import operators_in, use_plugins
from kilobench.plugins.spec import build, nearest, parse

KINDS = ("tasks", "networks", "methods", "boards", "suites", "ops")
PLUGIN_PREFIX = "kilobench_plugin_"
"""Of the module names of plug-ins that are files."""
_BASES: dict[str, type[Contribution]] = {"tasks": Task, "networks": Network, "methods": Method}


@dataclass(frozen=True)
class Entry:
    """Something found. ``broken`` says why it cannot be used, else it is empty."""

    name: str
    path: Path
    value: type[Contribution] | Board | Path | None
    broken: str = ""
    point: EntryPoint | None = None
    """Where an installed package has it, as long as nobody has asked for it; then nothing of the package has run."""

    @property
    def summary(self) -> str:
        """One line for listings."""
        if self.point is not None:
            package = f"{self.point.dist.name} {self.point.dist.version}" if self.point.dist else self.point.module
            return f"not loaded: of the package {package}"
        if self.broken:
            return f"BROKEN: {self.broken}"
        if isinstance(self.value, Board):
            ram, flash = self.value.ram_bytes // 1024, self.value.flash.bytes // 1024
            mhz = self.value.clock_hz / 1e6
            return f"{self.value.title}: {self.value.core}, {mhz:g} MHz, {flash} KiB flash, {ram} KiB RAM"
        if isinstance(self.value, Path) and self.value.suffix == ".py":
            return _first_line(self.value)
        if isinstance(self.value, Path):
            with self.value.open(errors="replace") as file:
                first = file.readline(1000).strip()
            return first.removeprefix("title:").strip().strip("\"'") if first.startswith("title:") else ""
        return (inspect.getdoc(self.value) or "").split("\n")[0]


def _first_line(path: Path) -> str:
    """Of the docstring of a Python file that is not imported for it."""
    try:
        return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    except (SyntaxError, ValueError) as error:
        return f"BROKEN: {type(error).__name__}: {error}"


@dataclass
class Registry:
    """Everything found, by kind and name."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def add(self, kind: str, entry: Entry) -> None:
        """Raises UserError naming both files if the name is taken."""
        known = self.entries[kind].get(entry.name)
        if known is not None:
            raise UserError(f"two {kind} are called {entry.name!r}: {known.path} and {entry.path}")
        self.entries[kind][entry.name] = entry

    def find(self, kind: str, name: str) -> Entry:
        """Raises UserError with the nearest name if there is none, or with the reason if it is broken."""
        entry = self.entries[kind].get(name)
        if entry is None:
            hint = nearest(name, self.entries[kind])
            raise UserError(f"no {kind.removesuffix('s')} {name!r}{hint} (kilobench list {kind} shows all)")
        entry = self.loaded(kind, name)
        if entry.broken:
            raise UserError(f"{entry.path} cannot be used: {entry.broken}")
        return entry

    def loaded(self, kind: str, name: str) -> Entry:
        """An entry that there is; one of an installed package is imported now."""
        entry = self.entries[kind][name]
        if entry.point is not None:
            entry = self.entries[kind][name] = _imported(kind, name, entry.point)
        return entry

    def get(self, kind: str, text: str) -> Any:
        """The task, network or method of a specification, or the board or suite file of a name."""
        spec = parse(text)
        value = self.find(kind, spec.name).value
        return build(value, spec) if isinstance(value, type) else value


def load_registry(plugins: Sequence[str] = ()) -> Registry:
    """Find everything; ``plugins`` are folders or files, added to those in KILOBENCH_PLUGINS.

    Raises UserError for duplicates and for plug-in paths that do not exist.
    """
    use_plugins(plugins)
    registry = Registry()
    root = contributions_dir()
    for kind in _BASES:
        for path in python_files(root / kind):
            _import(registry, path, f"kilobench.contrib.{kind}.{path.stem}")
    _yaml_files(registry, hardware_dir() / "boards", root / "benchmarks")
    for path in python_files(operators_dir()):
        registry.add("ops", Entry(path.stem, path, path))
    for name in (*os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep), *plugins):
        if name:
            _add_plugins(registry, Path(name).resolve())
    for kind in _BASES:
        for point in entry_points(group=f"kilobench.{kind}"):
            registry.add(kind, Entry(point.name, Path(point.module), None, point=point))
    return registry


def _imported(kind: str, name: str, point: EntryPoint) -> Entry:
    """The contribution of an entry point ``NAME = MODULE`` or ``NAME = MODULE:CLASS``, or why it cannot be used."""
    try:
        for found, cls in _contributions(importlib.import_module(point.module)):
            if (found, cls.name) == (kind, name):
                return Entry(name, Path(inspect.getfile(cls)), cls)
    except Exception as error:
        return Entry(name, Path(point.module), None, f"{type(error).__name__}: {error}")
    return Entry(name, Path(point.module), None, f"it has no {kind.removesuffix('s')} called {name!r}")


def plugin_packages() -> frozenset[str]:
    """Top names of the installed packages that contribute something, whether they are loaded or not."""
    return frozenset(
        point.module.partition(".")[0] for kind in _BASES for point in entry_points(group=f"kilobench.{kind}")
    )


def _add_plugins(registry: Registry, path: Path) -> None:
    if not path.exists():
        raise UserError(f"--plugins {path}: no such file or folder")
    folders = [path / kind for kind in ("methods", "tasks", "networks")]
    files = [path] if path.is_file() else [*python_files(path), *(f for d in folders for f in python_files(d))]
    known = {entry.path.resolve() for table in registry.entries.values() for entry in table.values()}
    operators = operators_in(path)
    for file in (file for file in operators if file not in known):
        registry.add("ops", Entry(file.stem, file, file))
    for file in (file for file in files if file not in known and file not in operators):
        if file.suffix == ".py":
            _import(registry, file, None)
    if path.is_dir():
        _yaml_files(registry, path / "boards", path / "benchmarks")
    elif path.suffix in (".yaml", ".yml") and path not in known:
        _add_board(registry, path)


def _yaml_files(registry: Registry, boards: Path, suites: Path) -> None:
    for path in sorted(boards.glob("*.yaml")):
        _add_board(registry, path)
    for path in sorted(suites.glob("*.yaml")):
        registry.add("suites", Entry(path.stem, path, path))


def _add_board(registry: Registry, path: Path) -> None:
    try:
        board = load_board(path)
        registry.add("boards", Entry(board.name, path, board))
    except UserError as error:
        if "two boards" in str(error):
            raise
        registry.add("boards", Entry(path.stem, path, None, str(error)))


def _import(registry: Registry, path: Path, name: str | None) -> None:
    """Import a module and add what it contributes; a module that fails is kept with its reason."""
    try:
        module = importlib.import_module(name) if name else _import_file(path)
    except Exception as error:
        kind = next((kind for kind in _BASES if path.parent.name == kind), "methods")
        registry.add(kind, Entry(path.stem, path, None, f"{type(error).__name__}: {error}"))
        return
    for kind, cls in _contributions(module):
        registry.add(kind, Entry(cls.name, Path(inspect.getfile(cls)), cls))


def _import_file(path: Path) -> ModuleType:
    """A plug-in outside the project, importable again by this name within the process."""
    name = f"{PLUGIN_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _contributions(module: ModuleType) -> Iterator[tuple[str, type[Contribution]]]:
    values: Iterable[Any] = vars(module).values()
    for value in values:
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "name"):
            for kind, base in _BASES.items():
                if issubclass(value, base):
                    yield kind, value
