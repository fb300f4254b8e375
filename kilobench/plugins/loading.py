# SPDX-License-Identifier: Apache-2.0
"""Plug-in files -> modules, each under a name of its own, and without a trace in what other code of the process sees."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec
from importlib.machinery import SourceFileLoader as _SourceFileLoader
from pathlib import Path
from types import ModuleType

from kilobench.plugins.names import PLUGIN_PREFIX, module_name


def load_file(path: Path) -> ModuleType:
    """The module of a plug-in's file, imported once in a process; raises whatever its code raises.

    How the imports of its file are resolved: ``from . import helper`` and ``from .helper import x`` are files of its folder,
    modules named as the plug-in is (``module.__file__`` says where), of which no other folder sees anything. ``import helper``
    is found as anywhere in Python, by ``sys.path``; where the plug-in has put a folder of its own there, that folder and what was
    imported from it are forgotten by the process after the import, so that the next plug-in's ``helper`` is its own.
    Source is always compiled, never taken from a .pyc file, which an edit within a second may not outdate.
    """
    if "." in path.stem:
        raise ImportError("the name of a plug-in's file has one dot, as in mine.py")
    name = module_name(path)
    package = name.rpartition(".")[0]
    if package not in sys.modules:
        sys.modules[package] = made = ModuleType(package)
        made.__path__ = [str(path.parent.resolve())]
    with undisturbed():
        return importlib.import_module(name)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever code of plug-ins runs inside: environment, ``sys.path``, folder and filters of warnings are as before.

    What it prints goes to standard error.
    """
    environment, search = dict(os.environ), list(sys.path)
    known = set(sys.modules)
    try:
        with _in_this_folder(), warnings.catch_warnings(), redirect_stdout(sys.stderr):
            yield
    finally:
        _forget(
            set(sys.modules) - known,
            {os.path.realpath(entry) for entry in sys.path} - set(map(os.path.realpath, search)),
        )
        sys.path[:] = search
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


@contextmanager
def _in_this_folder() -> Iterator[None]:
    """The current folder is the same afterwards, even if it is called otherwise by then; where that can be, as on Linux."""
    if not hasattr(os, "O_PATH"):
        name = os.getcwd()
        try:
            yield
        finally:
            os.chdir(name)
        return
    folder = os.open(".", os.O_PATH)
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)


def _forget(names: set[str], folders: set[str]) -> None:
    """Take modules from folders out of ``sys.modules``, with their submodules; who has imported them keeps them."""
    tops = {name for name in names if "." not in name and _found_in(sys.modules[name]) in folders}
    for name in names:
        if name.partition(".")[0] in tops:
            del sys.modules[name]


def _found_in(module: ModuleType) -> str | None:
    """The folder on ``sys.path`` that a module at the top was found in."""
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location else ())]
    return os.path.realpath(os.path.dirname(places[0])) if places else None


class _Loader(_SourceFileLoader):
    def path_stats(self, path: str) -> dict[str, object]:
        """Refused: without them importlib neither reads nor writes a .pyc file."""
        raise OSError


class _Finder(MetaPathFinder):
    """Finds the files in the packages that plug-ins' folders are."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(PLUGIN_PREFIX) or path is None:
            return None
        loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Loader, SOURCE_SUFFIXES)
        found = (FileFinder(folder, *loaders).find_spec(name) for folder in path)
        return next((spec for spec in found if spec is not None), None)


sys.meta_path.insert(0, _Finder())
