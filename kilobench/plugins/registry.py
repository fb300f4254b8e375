# SPDX-License-Identifier: Apache-2.0
"""Finds contributions: the folders of this project, --plugins, single files and entry points."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from kilobench.boards import Board, Core
from kilobench.contracts import Contribution, UserError
from kilobench.lines import one_line, reason
from kilobench.paths import PLUGINS_VARIABLE, contributions_dir, hardware_dir, operators_dir, python_files
from kilobench.plugins.boards import load_board
from kilobench.plugins.checking import BASES, is_name, problem, require_promised
from kilobench.plugins.cores import load_core, timing_label
from kilobench.plugins.loading import load_file, undisturbed
from kilobench.plugins.names import module_name, points
from kilobench.plugins.operators import operators_in, use_plugins
from kilobench.plugins.spec import build, nearest, parse
from kilobench.plugins.suites import ModelSuite, Suite, read_suite
from kilobench.yamlfile import read_mapping

_DESCRIBED = ("cores", "boards", "benchmarks")
"""Folders of YAML files."""
KINDS = ("tasks", "networks", "methods", "boards", "cores", "suites", "ops")


@dataclass(frozen=True)
class Entry:
    """Something found. ``broken`` says why it cannot be used, else it is empty."""

    name: str
    path: Path
    value: type[Contribution] | Board | Core | Suite | ModelSuite | Path | None
    """The path of an operator, which is imported elsewhere; None of what is broken."""
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
            return f"{self.value.title}: {self.value.core.name}, {mhz:g} MHz, {flash} KiB flash, {ram} KiB RAM"
        if isinstance(self.value, Core):
            return f"{self.value.title}: {timing_label(self.value) if self.value.timing else 'real boards only'}"
        if isinstance(self.value, Suite | ModelSuite):
            return self.value.title
        if isinstance(self.value, Path):
            return _first_line(self.value)
        return one_line((inspect.getdoc(self.value) or "").split("\n")[0])


def _first_line(path: Path) -> str:
    """Of the docstring of a Python file that is not imported for it."""
    try:
        return (ast.get_docstring(ast.parse(path.read_bytes())) or "").split("\n")[0]
    except (SyntaxError, ValueError, OSError) as error:
        return f"BROKEN: {reason(error)}"


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
            raise UserError(f"{entry.path} cannot be used: {entry.broken.removeprefix(f'{entry.path}: ')}")
        return entry

    def loaded(self, kind: str, name: str) -> Entry:
        """An entry that there is; one of an installed package is imported now."""
        entry = self.entries[kind][name]
        if entry.point is not None:
            entry = self.entries[kind][name] = _imported(kind, name, entry.point)
        return entry

    def get(self, kind: str, text: str) -> Any:
        """The task, network or method of a specification, or the board or suite file of a name.

        Raises UserError where there is none, and where it does not say of itself what the contract promises.
        """
        spec = parse(text)
        value = self.find(kind, spec.name).value
        if not isinstance(value, type):
            return value
        try:
            with undisturbed():
                return require_promised(build(value, spec))
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
    use_plugins(registry.plugins)
    root = contributions_dir()
    for kind in BASES:
        for path in python_files(root / kind):
            _import(registry, path, f"kilobench.contrib.{kind}.{path.stem}")
    for path in python_files(operators_dir()):
        registry.add("ops", Entry(path.stem, path, path))
    paths = [Path(name) for name in registry.plugins]
    for path in paths:
        _add_plugins(registry, path, modules)
    _add_descriptions(registry, [hardware_dir(), root, *paths])
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
    files = [path] if path.is_file() else [*python_files(path), *(f for d in folders for f in python_files(d))]
    known = {entry.path.resolve() for table in registry.entries.values() for entry in table.values()}
    operators = operators_in(path)
    for file in (file for file in operators if file not in known):
        registry.add("ops", Entry(file.stem, file, file))
    for file in (file for file in files if file not in known and file not in operators):
        if file.suffix == ".py" and (modules is None or module_name(file) in modules):
            _import(registry, file, None)


def _add_descriptions(registry: Registry, paths: Sequence[Path]) -> None:
    """YAML files: those in the folders ``cores``, ``boards`` and ``benchmarks`` of ``paths``, or given as they are.

    Cores come first, because boards name them; a file given by itself is a board unless it lies in a folder ``cores`` or
    ``benchmarks``.
    """
    cores, boards, suites = (
        dict.fromkeys(file for path in paths for file in _yaml_files(path, folder)) for folder in _DESCRIBED
    )
    _add_described(registry, "cores", cores, load_core)
    known = {name: core for name, entry in registry.entries["cores"].items() if isinstance(core := entry.value, Core)}
    _add_described(registry, "boards", boards, lambda path: load_board(path, known))
    _add_described(registry, "suites", suites, read_suite)


def _yaml_files(path: Path, folder: str) -> list[Path]:
    if path.is_dir():
        return sorted((path / folder).glob("*.yaml"))
    described = path.parent.name if path.parent.name in _DESCRIBED else "boards"
    return [path] if path.suffix in (".yaml", ".yml") and folder == described else []


def _add_described(
    registry: Registry, kind: str, paths: Iterable[Path], load: Callable[[Path], Board | Core | Suite | ModelSuite]
) -> None:
    """Cores or boards by name, suites by that of their file.

    Then the broken ones, with their reasons, under whatever name nothing else has.
    """
    broken = []
    for path in paths:
        try:
            value = load(path)
        except UserError as error:
            broken.append((path, str(error)))
        else:
            registry.add(kind, Entry(path.stem if isinstance(value, Suite | ModelSuite) else value.name, path, value))
    for path, why in broken:
        names = (*_stated_name(path), path.stem, str(path))
        name = next(name for name in names if name not in registry.entries[kind])
        registry.add(kind, Entry(name, path, None, one_line(why)))


def _stated_name(path: Path) -> list[str]:
    """The name that a broken file gives itself, if it is one."""
    try:
        name = read_mapping(path, "").get("name")
    except UserError:
        return []
    return [name] if isinstance(name, str) and re.fullmatch("[a-z0-9][a-z0-9_-]*", name) else []


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
