"""Finds contributions: the folders of this project, --plugins, single files and entry points."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from kilobench.api import Board, Contribution, UserError
from kilobench.lines import one_line, reason
from kilobench.paths import contributions_dir, hardware_dir
from kilobench.plugins.boards import load_board
from kilobench.plugins.checking import BASES, is_name, problem
from kilobench.plugins.loading import load_file, undisturbed
from kilobench.plugins.names import module_name, points
from kilobench.plugins.spec import build, nearest, parse

KINDS = ("tasks", "networks", "methods", "boards", "suites")
PLUGINS_VARIABLE = "KILOBENCH_PLUGINS"


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
        if isinstance(self.value, Path):
            with self.value.open(errors="replace") as file:
                first = file.readline(1000).strip()
            return first.removeprefix("title:").strip().strip("\"'") if first.startswith("title:") else ""
        return one_line((inspect.getdoc(self.value) or "").split("\n")[0])


@dataclass
class Registry:
    """Everything found, by kind and name."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    plugins: tuple[str, ...] = ()
    """The folders and files outside this project that were looked into, as full paths."""

    def add(self, kind: str, entry: Entry) -> None:
        """Where the name is taken, neither can be used: what stays is broken and names both files."""
        known = self.entries[kind].get(entry.name)
        if known is not None:
            both = f"two {kind} are called {entry.name!r}: {known.path} and {entry.path}"
            entry = Entry(entry.name, known.path, None, both)
        self.entries[kind][entry.name] = entry

    def add_broken(self, kind: str, path: Path, broken: str) -> None:
        """A file that cannot be used, listed by its stem, or by its path where something else is called so."""
        name = path.stem if path.stem not in self.entries[kind] else str(path)
        self.add(kind, Entry(name, path, None, broken))

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
        if not isinstance(value, type):
            return value
        try:
            with undisturbed():
                return build(value, spec)
        except UserError:
            raise
        except Exception as error:  # a plug-in's own mistake
            raise UserError(f"{kind.removesuffix('s')} {text}: {reason(error)}") from error


def load_registry(plugins: Sequence[str] = (), modules: Collection[str] | None = None) -> Registry:
    """Find everything; ``plugins`` are folders or files, added to those in KILOBENCH_PLUGINS.

    ``modules``: names of the plug-ins' files that may be imported (kilobench.plugins.names), so that a process has no more code
    of others than what it works with; None for all. Raises UserError for plug-in paths that do not exist.
    """
    given = (*os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep), *plugins)
    registry = Registry(plugins=tuple(dict.fromkeys(str(Path(name).resolve()) for name in given if name)))
    root = contributions_dir()
    for kind in BASES:
        for path in _python_files(root / kind):
            _import(registry, path, f"kilobench.contrib.{kind}.{path.stem}")
    _yaml_files(registry, hardware_dir() / "boards", root / "benchmarks")
    for name in registry.plugins:
        _add_plugins(registry, Path(name), modules)
    for kind in BASES:
        for point in points(kind):
            registry.add(kind, Entry(point.name, Path(point.module), None, point=point))
    return registry


def _imported(kind: str, name: str, point: EntryPoint) -> Entry:
    """The contribution of an entry point ``NAME = MODULE`` or ``NAME = MODULE:CLASS``, or why it cannot be used."""
    try:
        with undisturbed():
            found = list(_contributions(importlib.import_module(point.module)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Entry(name, Path(point.module), None, reason(error))
    known = (_entry(kind, cls) for found_kind, cls in found if (found_kind, cls.name) == (kind, name))
    missing = Entry(name, Path(point.module), None, f"it has no {kind.removesuffix('s')} called {name!r}")
    return next(known, missing)


def _add_plugins(registry: Registry, path: Path, modules: Collection[str] | None) -> None:
    if not path.exists():
        raise UserError(f"--plugins {path}: no such file or folder")
    folders = [path / kind for kind in ("methods", "tasks", "networks")]
    files = [path] if path.is_file() else [*_python_files(path), *(f for d in folders for f in _python_files(d))]
    known = {entry.path.resolve() for table in registry.entries.values() for entry in table.values()}
    for file in (file for file in files if file not in known):
        if file.suffix == ".py" and (modules is None or module_name(file) in modules):
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
    except UserError as error:
        registry.add_broken("boards", path, one_line(str(error)))
    else:
        registry.add("boards", Entry(board.name, path, board))


def _python_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def _import(registry: Registry, path: Path, name: str | None) -> None:
    """Import a module and add what it contributes; what cannot be used is kept with its reason."""
    try:
        found = list(_contributions(importlib.import_module(name) if name else load_file(path)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit as well: a plug-in may end no command
        kind = next((kind for kind in BASES if path.parent.name == kind), "methods")
        registry.add_broken(kind, path, reason(error))
        return
    for kind, cls in found:
        if is_name(cls.name):
            registry.add(kind, _entry(kind, cls))
        else:
            registry.add_broken(kind, path, one_line(problem(kind, cls)))


def _entry(kind: str, cls: type[Contribution]) -> Entry:
    path = Path(inspect.getfile(cls))
    try:
        broken = problem(kind, cls)
    except Exception as error:
        broken = reason(error)
    return Entry(cls.name, path, None if broken else cls, one_line(broken))


def _contributions(module: ModuleType) -> Iterator[tuple[str, type[Contribution]]]:
    for value in dict.fromkeys(value for value in vars(module).values() if isinstance(value, type)):
        if value.__module__ == module.__name__ and hasattr(value, "name"):
            for kind, base in BASES.items():
                if issubclass(value, base):
                    yield kind, value
