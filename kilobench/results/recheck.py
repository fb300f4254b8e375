# SPDX-License-Identifier: Apache-2.0
"""Published models held against what is published of them: predicted again, and measured again on two boards. Writes nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kilobench.boards import Board
from kilobench.contracts import CellError, Progress
from kilobench.measuring.evaluate import EvaluatedModel, load_model_file
from kilobench.measuring.recording import record_of
from kilobench.plugins.registry import Registry, load_registry
from kilobench.record import Auc, CoreCost, Record
from kilobench.results.costing import core_cost, emulated_families
from kilobench.results.packed import unpacked
from kilobench.results.renew import Renewal, place_of
from kilobench.results.store import Store
from kilobench.results.verify import Refuted, Verifier, recounted
from kilobench.scratch import temporary_folder

_NOT_COMPARED = {"versions", "git_commit", "times", "trust", "cell"}
"""Of a record: where, when and by which code it was made. Which code that is, ``kilobench remeasure --check`` says."""
_ROOM = 1.5
"""What a second board must have of the memory that the program takes on the first: on other cores it takes more."""
_SECONDS_ELSEWHERE = 8.0
"""That the second board takes, about."""


class Difference(NamedTuple):
    """What is published, and is not found again."""

    file: str
    """Of the record, or of the costs on other boards, in the leaderboard."""
    field: str
    published: str
    found: str


@dataclass(frozen=True)
class Findings:
    """Of one model."""

    differences: Sequence[Difference]
    unknown: str
    """Why the test set was not predicted again, or nothing."""

    def text(self) -> str:
        """For ``read``."""
        return json.dumps([self.unknown, *self.differences])

    @classmethod
    def read(cls, text: str) -> Findings:
        """What ``text`` has written."""
        unknown, *differences = json.loads(text)
        return cls([Difference(*one) for one in differences], unknown)


@dataclass(frozen=True)
class Recheck(Renewal):
    """A model that is to be held against its records, which are made again for that and thrown away."""

    core: str = ""
    """Of the second board, the one with the most memory of this core; empty where no other core's board holds the model."""
    costed: bool = False
    """Whether it is published what the model takes there: elsewhere it must compute the same, no more."""

    @property
    def seconds(self) -> float:
        """That it may take."""
        return super().seconds + _SECONDS_ELSEWHERE


def rechecks(renewals: Iterable[Renewal], store: Store, registry: Registry) -> Iterator[Recheck]:
    """What there is to do for models (kilobench.results.renew.renewals); the choice of a second board is the same every time."""
    families = emulated_families(registry)
    for one in renewals:
        record = one.records[0]
        own = {registry.get("boards", each.board).core.name for each in one.records}
        held = [name for name, boards in families if name not in own and _holds(largest(boards), record)]
        core = held[int(record.model_digest[:8], 16) % len(held)] if held else ""
        costed = bool(core) and store.costs_of(record) is not None
        yield Recheck(one.key, one.records, one.cells, one.plugins, core=core, costed=costed)


def largest(boards: Iterable[Board]) -> Board:
    """That which programs of a family are built for."""
    return max(boards, key=lambda board: (board.ram_bytes, board.flash.bytes, board.name))


def _holds(board: Board, record: Record) -> bool:
    return _ROOM * record.flash_bytes <= board.flash.bytes and _ROOM * record.ram_bytes <= board.ram_bytes


def sample(steps: Sequence[Recheck], count: int) -> list[Recheck]:
    """Some of them, the same every time: of as many tasks as can be, then of as many recipes, then the quickest.

    One without published costs is held against less, and counts as if it took twice as long.
    """
    left, chosen, had = list(steps), list[Recheck](), Counter[str]()

    def order(step: Recheck) -> tuple[float | str, ...]:
        task, recipe = (had[_plain(text)] for text in (step.task, step.records[0].recipe))
        return task, recipe, step.seconds * (1 if step.costed else 2), step.key

    while left and len(chosen) < count:
        one = min(left, key=order)
        left.remove(one)
        chosen.append(one)
        had.update((_plain(one.task), _plain(one.records[0].recipe)))
    return [one for one in steps if one in chosen]


def _plain(specification: str) -> str:
    """Without parameters."""
    return re.sub(r"\[[^]]*]", "", specification)


@cache
def rechecker(folder: Path, sources: tuple[str, ...], plugins: tuple[str, ...]) -> Rechecker:
    """What does it for the records of a ``folder`` in this process; as kilobench.runs.executors.workshop."""
    return Rechecker(Store(folder), load_registry(sources, plugins))


class Rechecker:
    """Makes the records of a store again, and says what is otherwise."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry
        self._verifier = Verifier(store, registry, download=False)

    def do(self, unit: Recheck, progress: Progress) -> str:
        """Predict and measure a model again; what is found, as Findings.text. Raises CellError for a file that is damaged."""
        path, total = self._store.model_path(unit.records[0]), len(unit.records) + 2
        progress("predicting again", 0, total)
        with unpacked(path) as file:
            stored = load_model_file(file)
        model = recounted(stored)
        differences = [] if _same(stored, model) else [Difference(self._name(path), "outputs", "its file's", "others")]
        unknown, predicted = self._predicted(unit.records[0], stored)
        differences += predicted
        for done, record in enumerate(unit.records, 1):
            progress(f"measuring again on {record.board}", done, total)
            differences += self._measured(record, model)
        if unit.core:
            progress(f"measuring again on a {unit.core}", total - 1, total)
            differences += self._elsewhere(unit.records[0], model, unit.core)
        return Findings(differences, unknown).text()

    def _name(self, path: Path) -> str:
        return path.relative_to(self._store.folder.parent).as_posix()

    def _predicted(self, record: Record, model: EvaluatedModel) -> tuple[str, list[Difference]]:
        """Why the test set cannot be predicted here, and what of it is otherwise."""
        name = self._name(self._store.path(record))
        try:
            found = self._verifier.evaluated(record, model)
        except Refuted as error:
            return "", [Difference(name, "data", "as it was", str(error))]
        if isinstance(found, str):
            return found, []
        same = (
            found.quality.agrees(record.quality) if isinstance(found.quality, Auc) else found.quality == record.accuracy
        )
        again = {"quality": found.quality.model_dump(), "accuracy_10_crops": _dumped(found.accuracy_10_crops)}
        before = {"quality": record.quality.model_dump(), "accuracy_10_crops": _dumped(record.accuracy_10_crops)}
        if same:
            del again["quality"], before["quality"]
        return "", [Difference(name, *one) for one in _differing(before, again)]

    def _measured(self, record: Record, model: EvaluatedModel) -> Iterator[Difference]:
        name = self._name(self._store.path(record))
        try:
            with temporary_folder() as folder:
                made, _ = record_of(model, place_of(record, self._registry), folder)
        except CellError as error:
            yield Difference(name, "run", "as its C", str(error))
            return
        before, again = (one.model_dump(exclude=_NOT_COMPARED) for one in (record, made))
        yield from (Difference(name, *one) for one in _differing(before, again))

    def _elsewhere(self, record: Record, model: EvaluatedModel, core: str) -> Iterator[Difference]:
        """On the second board it must compute the same, and take what is published for it, where something is."""
        board = largest(dict(emulated_families(self._registry))[core])
        costs = self._store.costs_of(record)
        name = self._name(self._store.costs_path(record) if costs else self._store.path(record))
        published = next((one for one in costs.cores if one.core == core), None) if costs else None
        try:
            found = core_cost(core, published.key if published else "", [board], model)
        except CellError as error:
            yield Difference(name, f"run on {board.name}", "as its C", str(error))
            return
        if published:
            before, again = (_told(one, board.name) for one in (published, found))
            yield from (Difference(name, *one) for one in _differing(before, again, f"{core}."))


def _same(stored: EvaluatedModel, again: EvaluatedModel) -> bool:
    pairs = ((getattr(one.reference, name) for one in (stored, again)) for name in ("outputs", "checksums"))
    return all(np.array_equal(*pair) for pair in pairs)


def _dumped(part: Any) -> dict[str, Any]:
    return part.model_dump() if part else {}


def _told(cost: CoreCost, board: str) -> dict[str, Any]:
    """What is said of one board of a core."""
    return cost.model_copy(update={"boards": tuple(one for one in cost.boards if one.board == board)}).model_dump()


def _differing(published: Any, found: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, value and other value, of all that differs in two things of JSON."""
    if isinstance(published, Mapping) and isinstance(found, Mapping):
        for name in dict.fromkeys((*published, *found)):
            inside = published.get(name), found.get(name)
            yield from _differing(*inside, f"{prefix}{name}.")
    elif isinstance(published, Sequence) and not isinstance(published, str) and len(published) == len(found):
        for index, (one, other) in enumerate(zip(published, found, strict=True)):
            name = one.get("name", one.get("board", index)) if isinstance(one, Mapping) else index
            yield from _differing(one, other, f"{prefix}{name}.")
    elif published != found:
        yield prefix.rstrip("."), str(published), str(found)
