# SPDX-License-Identifier: Apache-2.0
"""Cells -> records: do what is missing, in order of need; one failing cell never stops the others."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from kilobench.contracts import PassingError, UserError
from kilobench.files import intact, read_kept, write_kept
from kilobench.paths import cache_dir, log_path
from kilobench.progress import OverallProgress
from kilobench.record import Record
from kilobench.results.store import Store
from kilobench.runs.executors import Event, Executor, Failed, Finished, Progressed
from kilobench.runs.plan import Cell
from kilobench.runs.units import Costs, Unit, product_path, units
from kilobench.runs.unsuited import NotSuited, not_suited


@dataclass
class Outcome:
    """What became of the cells of a run."""

    records: list[Record] = field(default_factory=list)
    measured: int = 0
    cached: int = 0
    failed: dict[str, tuple[Cell, Failed]] = field(default_factory=dict)
    """By key of the cell."""
    skipped: dict[str, tuple[Cell, Failed]] = field(default_factory=dict)
    """That failed in a run before."""
    unsuited: list[NotSuited] = field(default_factory=list)
    """A method of theirs has said that it does not suit their network."""


@dataclass
class Work:
    """What there is to do for some cells: the plan of a run."""

    cells: list[Cell]
    missing: list[Cell]
    """Without those that failed before, if they are not to be tried again."""
    skipped: dict[str, tuple[Cell, Failed]]
    units: dict[str, Unit]
    """Of the missing cells, finished ones included: whether these are still good is seen when the data is there."""
    costs: Costs
    unsuited: list[NotSuited] = field(default_factory=list)
    """As a run before, or the search for sizes, has found."""

    @property
    def cached(self) -> list[Cell]:
        """Those whose records are there."""
        others = {cell.key for cell in self.missing} | self.skipped.keys() | {one.key for one in self.unsuited}
        return [cell for cell in self.cells if cell.key not in others]

    def to_do(self) -> list[Unit]:
        """Units whose product is not there."""
        return [unit for unit in self.units.values() if not unit.path.is_file()]

    def seconds(self, unit: Unit) -> float:
        """Estimated."""
        return 0.0 if unit.path.is_file() else self.costs.seconds(unit)


def work_for(cells: list[Cell], *, retry_failed: bool) -> Work:
    """Look into the cache for what is done, and what failed before."""
    publishable = cache(lambda key: not product_path("evaluate", key).exists() or intact(product_path("evaluate", key)))
    needed = {
        cell.key: units([cell])
        for cell in cells
        if not intact(_record_path(cell)) or not publishable(cell.model.evaluation_key)
    }
    skipped: dict[str, tuple[Cell, Failed]] = {}
    unsuited: dict[str, NotSuited] = {}
    if not retry_failed:
        failures = {
            key: failed for key in {k for each in needed.values() for k in each} if (failed := kept_failure(key))
        }
        for cell in cells:
            if reason := next((failures[key] for key in needed.get(cell.key, ()) if key in failures), None):
                if reason.unsuited:
                    unsuited[cell.key] = not_suited(cell, reason.reason)
                else:
                    skipped[cell.key] = cell, reason
    undone = needed.keys() - skipped.keys() - unsuited.keys()
    missing = [cell for cell in cells if cell.key in undone]
    return Work(cells, missing, skipped, units(missing), Costs(), list(unsuited.values()))


def run_cells(work: Work, executor: Executor, store: Store | None, console: Console) -> Outcome:
    """Do the work and write every cell's record into ``store`` as soon as it is there; None writes nothing."""
    outcome = Outcome(skipped=work.skipped, unsuited=list(work.unsuited))
    unwritten: list[tuple[Cell, Record]] = []
    missing = {cell.key: cell for cell in work.missing}
    total = sum(map(work.seconds, work.units.values()))
    with OverallProgress(console, total) as progress:
        for cell in work.cached:
            outcome.cached += 1
            unwritten += _collect(cell, store, outcome)
        try:
            for key, failure in execute(work, executor, progress):
                if key not in missing:
                    continue
                if failure is not None and (own := failure.of(missing[key].model.recipe)).unsuited:
                    outcome.unsuited.append(not_suited(missing[key], own.reason))
                elif failure is not None:
                    outcome.failed[key] = missing[key], failure
                else:
                    outcome.measured += 1
                    unwritten += _collect(missing[key], store, outcome)
        finally:
            executor.close()
    for cell, record in unwritten:
        if problem := _write(cell, record, store):
            outcome.failed[cell.key] = cell, Failed(cell.key, f"measured, but not written: {problem}", lasting=False)
    order = {cell.key: index for index, cell in enumerate(work.cells)}
    outcome.records.sort(key=lambda record: order[record.cell])
    return outcome


def _collect(cell: Cell, store: Store | None, outcome: Outcome) -> list[tuple[Cell, Record]]:
    """Add the record of a cell; given back if it cannot be written."""
    record = kept_record(cell)
    assert record is not None
    outcome.records.append(record)
    return [(cell, record)] if _write(cell, record, store) else []


def kept_record(cell: Cell) -> Record | None:
    """Of a cell that has been measured."""
    content = read_kept(_record_path(cell))
    return None if content is None else Record.model_validate_json(content)


def _write(cell: Cell, record: Record, store: Store | None) -> str:
    """Put record and model into the store; why that cannot be, if so: other cells are not to suffer from it."""
    if store is not None:
        try:
            store.write(record)
            store.publish(record, product_path("evaluate", cell.model.evaluation_key))
        except UserError as error:
            return str(error)
    return ""


def execute(work: Work, executor: Executor, progress: OverallProgress) -> Iterable[tuple[str, Failed | None]]:
    """Do all units of some work, the earliest of the plan that can be begun first; yields each one's end.

    What another run on this cache is making comes after what none is, so that two runs share the work.
    What passes (``Failed.passing``) is tried once more. What needs a failed unit fails for the same reason.
    """
    order = {key: index for index, key in enumerate(work.units)}
    keys = list(order)
    again: set[str] = set()
    sorter = TopologicalSorter({unit.key: unit.needs for unit in work.units.values()})
    sorter.prepare()
    ready: list[int] = []
    failed: dict[str, Failed] = {}
    while sorter.is_active():
        for key in sorter.get_ready():
            insort(ready, order[key])
        events: list[Event] = []
        while ready and executor.free() and not events:
            untouched = (at for at, place in enumerate(ready) if not _in_progress(work.units[keys[place]]))
            unit = work.units[keys[ready.pop(next(untouched, 0))]]
            if reason := next((failed[need] for need in unit.needs if need in failed), None):
                failed[unit.key] = reason
                sorter.done(unit.key)
                yield unit.key, reason
                break  # what needed it may be ready
            progress.begin(unit.key, unit.label, work.seconds(unit))
            try:
                executor.submit(unit)
            except UserError as error:
                events = [Failed(unit.key, str(error), lasting=False, passing=isinstance(error, PassingError))]
        else:
            for event in events or executor.events():
                unit = work.units[event.key]
                if isinstance(event, Progressed):
                    progress.update(event.key, event.text, event.done, event.total)
                    continue
                if isinstance(event, Failed) and event.passing and unit.key not in again:
                    again.add(unit.key)
                    insort(ready, order[unit.key])
                    progress.end(unit.key, f"{unit.label}: {event.reason}; it is tried once more", seconds=0.0)
                    continue
                sorter.done(unit.key)
                if isinstance(event, Failed):
                    failed[unit.key] = event
                    _keep_failure(unit, event)
                    progress.end(unit.key, None)
                    yield unit.key, event
                else:
                    _finish(unit, event, work.costs)
                    progress.end(unit.key, event.line)
                    yield unit.key, None


def _in_progress(unit: Unit) -> bool:
    """Whether another process is making it."""
    if not unit.lock.exists():
        return False
    lock = FileLock(unit.lock)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:  # who makes the unit says why
        return False
    lock.release()
    return False


def _finish(unit: Unit, event: Finished, costs: Costs) -> None:
    with suppress(OSError):  # only the forecast is the poorer for it
        if event.line is not None:
            costs.add(unit, event.seconds)
    _failure_path(unit.key).unlink(missing_ok=True)


def _record_path(cell: Cell) -> Path:
    return product_path("measure", cell.key)


def _failure_path(key: str) -> Path:
    return cache_dir() / "failures" / f"{key}.json"


def _keep_failure(unit: Unit, failed: Failed) -> None:
    text = json.dumps({"label": unit.label, **asdict(failed)})
    with suppress(UserError):  # a full disk: the failure is told all the same
        write_kept(_failure_path(unit.key), text.encode())


def kept_failure(key: str) -> Failed | None:
    """The lasting failure of a unit in a run before."""
    if (content := read_kept(_failure_path(key))) is None:
        return None
    values = json.loads(content)
    return Failed(key, values["reason"], True, unsuited=values.get("unsuited", False)) if values["lasting"] else None


def failure_log(name: str) -> str:
    """What is known of the failure whose key begins with ``name``; all failures, a line each, if it is empty.

    Raises UserError if there is none, or more than one.
    """
    found = sorted(path for path in (cache_dir() / "failures").glob("*.json") if path.stem.startswith(name))
    described = {path.stem: json.loads(content) for path in found if (content := read_kept(path)) is not None}
    if not name:
        return "\n".join(f"{key[:8]}  {values['label']}: {values['reason']}" for key, values in described.items())
    if len(described) != 1:
        raise UserError(
            f"{len(described) or 'no'} failed cells have a key that begins with {name!r} (kilobench log lists all)"
        )
    ((key, values),) = described.items()
    log = log_path(key).read_text(errors="replace") if log_path(key).is_file() else "(it wrote nothing)\n"
    return f"{values['label']}: {values['reason']}\n\n{log}".rstrip()
