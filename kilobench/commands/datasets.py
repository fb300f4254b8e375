# SPDX-License-Identifier: Apache-2.0
"""``kilobench data``: which data sets there are, getting, verifying and importing them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TypeVar

from rich.console import Console

from kilobench import data
from kilobench.contracts import Source, Task, UserError
from kilobench.data import sources
from kilobench.data.archives import opened
from kilobench.data.loading import load
from kilobench.lines import one_line
from kilobench.paths import cache_dir
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, nearest
from kilobench.progress import shown


def list_sets(registry: Registry) -> int:
    """Print every data set: its folder and tasks, where it is, size, licence, how to get it."""
    for source, tasks in _sets(registry).items():
        here = sources.present(source, _cache())
        least = min(tasks, key=lambda task: len(task.sources()))
        fetch = f"kilobench data fetch {least.name}" if source.url else "no download; kilobench data import PATH"
        print(f"{source.folder}: {', '.join(task.name for task in tasks)}")
        print(f"  where    {here or 'not here'}")
        print(f"  size     {_size(source.bytes)}, licence: {source.licence}")
        print(f"  get      {fetch}; {source.page}")
    rest = [task.name for task in _tasks(registry) if task.source is None]
    print(f"nothing to get for: {', '.join(rest)}")
    return 0


def fetch(registry: Registry, name: str) -> int:
    """Download a data set where it is not on this machine, and verify it; returns the exit code."""
    with shown("data", Console(file=sys.stderr)) as progress:
        folders = [sources.fetched(source, _cache(), progress) for source in _chosen(registry, name)[0].sources()]
    print(*folders, sep="\n")
    return verify(registry, name)


def verify(registry: Registry, name: str) -> int:
    """Read every file of a data set again and print counts or each damage; returns 0, or 2 for damage.

    ``name`` is a task, with parameters if wanted, or a folder, which stands for all of its tasks.
    """
    tasks = _chosen(registry, name)
    if all(_absent(task) for task in tasks):
        raise UserError(f"{_absent(tasks[0])[0]} is not on this machine (kilobench data list says how to get it)")
    for source in {source for task in tasks for source in task.sources()}:
        if (folder := sources.present(source, _cache())) is not None:
            data.forget_digests(folder, _cache())
    with _without("KILOBENCH_ALLOW_PARTIAL"):
        return 0 if all(_reports(tasks)) else 2


def import_path(registry: Registry, path: Path) -> int:
    """Link a folder, or unpack an archive, in a publisher's layout into the cache, and verify it.

    ``path`` may also be a folder that holds several, or an archive of them. Nothing of an archive is written before it is
    known of which sets it is, and to hold no more than these may. What no task can use is not kept. Returns 0, or 2 for damage.
    """
    _cache().mkdir(parents=True, exist_ok=True)
    sets = _sets(registry)
    if path.is_dir():
        folder = path.resolve()
        below = sorted(place for place in folder.iterdir() if place.is_dir())
        found = _recognised(sets, path.name, folder, below, Path.exists)
        return max([_keep(source, place, sets[source], move=False) for source, place in found])
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    with (
        tempfile.TemporaryDirectory(dir=_cache()) as scratch,
        opened(path, sources.limit(*sets)) as archive,
    ):
        inside = _recognised(sets, path.name, archive.top, archive.below(archive.top), archive.paths.__contains__)
        archive.require(sources.limit(*{source for source, _ in inside}))
        for source, _ in inside:
            _place(source)
        unpacked = Path(scratch) / "unpacked"
        archive.unpack(unpacked)
        return max([_keep(source, unpacked / place, sets[source], move=True) for source, place in inside])


def _keep(source: Source, folder: Path, tasks: list[Task], *, move: bool) -> int:
    target = _place(source)
    if move:
        os.replace(folder, target)
    else:
        target.symlink_to(folder)
    with _without("KILOBENCH_DATA"):
        good = _reports(tasks)
    if any(good) or not good:
        print(target)
        return 0
    shutil.rmtree(target) if move else target.unlink()
    print(f"{source.folder} was not kept")
    return 2


def _place(source: Source) -> Path:
    """Where a data set goes; raises UserError if something is there."""
    target = _cache() / source.folder
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} is there already; remove it to import {source.folder} again")
    return target


P = TypeVar("P", bound=PurePath)


def _recognised(
    known: Iterable[Source], called: str, top: P, below: list[P], exists: Callable[[P], bool]
) -> list[tuple[Source, P]]:
    """The data sets that a folder is, or that are in it, by their names or contents.

    Raises UserError if there are none.
    """
    for places in ([top], below):
        found = [(source, place) for place in places for source in known if _is(source, place, exists)]
        if found:
            return found
    names = ", ".join(source.folder for source in known)
    raise UserError(f"{called} is none of the data sets that there are tasks for: {names}")


def _is(source: Source, folder: P, exists: Callable[[P], bool]) -> bool:
    marked = bool(source.marks) and all(exists(folder / mark) for mark in source.marks)
    return folder.name == source.folder or marked


def _absent(task: Task) -> list[str]:
    """The folders that a task needs and that are not on this machine."""
    return [source.folder for source in task.sources() if sources.present(source, _cache()) is None]


def _reports(tasks: list[Task]) -> list[bool]:
    """What ``_report`` says of those whose data is all here; for the others, prints what they wait for."""
    for task in tasks:
        if absent := _absent(task):
            print(f"{canonical(task)}: not verified, as {' and '.join(absent)} is not on this machine")
    return [_report(task) for task in tasks if not _absent(task)]


def _report(task: Task) -> bool:
    """Load a task, which verifies it, and print what there is or what is wrong."""
    try:
        with shown("data", Console(file=sys.stderr)) as progress:
            split = load(task, 0, _cache(), progress)
    except UserError as error:
        print(f"{canonical(task)}: {one_line(str(error).removeprefix(f'{task.name}: '))}")
        for line in error.lines if isinstance(error, data.Damaged) else ():
            print(f"  {one_line(line)}")
        return False
    state = "partial" if split.partial else "complete"
    counts = f"{len(split.train_y)} training and {len(split.test_y)} test inputs"
    folds = f" in fold 0 of {task.folds}" if task.folds > 1 else ""
    print(f"{canonical(task)}: {state}: {len(split.classes)} classes, {counts}{folds}")
    for note in split.notes:
        print(f"  {note}")
    return True


def _tasks(registry: Registry) -> list[Task]:
    """Every task that can be used, with its default parameters."""
    values = [entry.value for _, entry in sorted(registry.entries["tasks"].items())]
    return [value() for value in values if isinstance(value, type) and issubclass(value, Task)]


def _sets(registry: Registry) -> dict[Source, list[Task]]:
    """The tasks of every data set, by name."""
    result: dict[Source, list[Task]] = {}
    for task in _tasks(registry):
        for source in task.sources():
            result.setdefault(source, []).append(task)
    return result


def _chosen(registry: Registry, name: str) -> list[Task]:
    """The tasks of a folder, or the one task of a specification; raises UserError if there is no data to get for it."""
    stem = name.partition("[")[0]
    if stem in registry.entries["tasks"]:
        registry.find("tasks", stem)
    sets = _sets(registry)
    for source, tasks in sets.items():
        if source.folder == name:
            return tasks
    names = [task.name for task in _tasks(registry)]
    if stem not in names:
        known = [*names, *(source.folder for source in sets)]
        raise UserError(f"no data set or task {name!r}{nearest(name, known)} (kilobench data list shows all)")
    task: Task = registry.get("tasks", name)
    if task.source is None:
        raise UserError(f"{task.name} has no data to get: it comes with a package or is made here")
    return [task]


@contextmanager
def _without(variable: str) -> Iterator[None]:
    """An environment variable removed for a while."""
    before = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[variable] = before


def _cache() -> Path:
    return cache_dir() / "data"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
