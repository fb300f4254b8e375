# SPDX-License-Identifier: Apache-2.0
"""Submitted records -> the leaderboard: check them, measure the emulated ones again, show what changes, put them into place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console

from kilobench.contracts import CellError, Split, Task, UserError, silent
from kilobench.data.loading import load
from kilobench.data.sources import present
from kilobench.measure.evaluate import EvaluatedModel, evaluate, load_model_file
from kilobench.measure.recording import Where, record_of
from kilobench.paths import cache_dir
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import change_training
from kilobench.progress import OverallProgress
from kilobench.record import NOT_RUN, ModelFacts, Record, accuracy
from kilobench.results.check import problems
from kilobench.results.contest import steps_of
from kilobench.results.store import MODEL_BYTES, Store, timeless

MOST_RECORDS = 10_000
"""In one submission."""
_NOT_REPEATED = {"cell", "versions", "git_commit", "command", "times", "energy_uj"}
"""What may differ when a record is measured again: where and when, and the key, which holds the engine's source."""
_ROOM = 100_000
"""Bytes of a model file that are not weights, at most."""


@dataclass
class Submission:
    """What became of submitted records."""

    new: list[Record] = field(default_factory=list)
    changed: list[tuple[Record, Record]] = field(default_factory=list)
    """Before, after."""
    unchanged: int = 0
    refused: list[str] = field(default_factory=list)
    """A line each: file and reason."""
    checked: dict[str, str] = field(default_factory=dict)
    """How each new or changed record was checked, by cell."""

    @property
    def report(self) -> str:
        """Markdown: what the submission changes, for those who review it."""
        counts = (
            f"{len(self.new)} new, {len(self.changed)} changed, {self.unchanged} unchanged, {len(self.refused)} refused"
        )
        parts = [f"**Records**: {counts}."]
        if self.refused:
            parts.append("\n".join(f"- refused: {line}" for line in self.refused))
        rows = [self._row(None, record) for record in self.new] + [self._row(*pair) for pair in self.changed]
        if rows:
            parts.append(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))
        return "\n\n".join(parts)

    def _row(self, before: Record | None, record: Record) -> dict[str, str]:
        def shown(value: Callable[[Record], float], digits: int = 1) -> str:
            texts = [f"{value(each):.{digits}f}" for each in (before, record) if each]
            return " → ".join(dict.fromkeys(texts))

        return {
            "": "changed" if before else "new",
            "Task": record.task,
            "Recipe": f"`{record.recipe}`",
            "Board": record.board,
            "Seed, fold": f"{record.seed}, {record.fold}",
            "Accuracy %": shown(lambda r: 100 * r.accuracy.mean),
            "Flash KiB": shown(lambda r: r.flash_bytes / 1024),
            "RAM KiB": shown(lambda r: r.ram_bytes / 1024),
            "Mcycles": shown(lambda r: float("nan") if r.cycles is None else r.cycles / 1e6, 2).replace("nan", NOT_RUN),
            "Checked": self.checked.get(record.cell, ""),
        }


def submit(source: Path, target: Path, registry: Registry, console: Console, *, keep: bool) -> Submission:
    """Check the records and models of a folder that kilobench run made against those of the leaderboard ``target``.

    Only if all are good and ``keep`` is set, they are written there. Raises UserError where there is nothing to submit.
    """
    submitted, published = Store(source / "records"), Store(target / "records")
    paths = sorted(submitted.folder.rglob("*.json")) if submitted.folder.is_dir() else []
    if not paths:
        raise UserError(f"{submitted.folder} holds no records; kilobench run --output {source} makes some")
    if len(paths) > MOST_RECORDS:
        raise UserError(f"{submitted.folder} holds {len(paths)} records; submit at most {MOST_RECORDS} at a time")
    outcome = Submission()
    fresh = list(_sort(submitted, paths, published, registry, outcome))
    checks = _Checks(submitted, registry)
    with OverallProgress(console, len(fresh)) as progress:
        for path, record in fresh:
            progress.begin(record.cell, f"{path.stem}: measuring again", 1.0)
            try:
                outcome.checked[record.cell] = checks.check(record)
            except (CellError, UserError) as error:
                outcome.refused.append(f"{path}: {error}")
            progress.end(record.cell, None)
    if keep and not outcome.refused:
        for _, record in fresh:
            published.write(record)
            published.publish(record, submitted.model_path(record))
    return outcome


def _sort(
    submitted: Store, paths: list[Path], published: Store, registry: Registry, outcome: Submission
) -> Iterator[tuple[Path, Record]]:
    """The records that are new or changed, and good as far as can be said without measuring; the others go to ``outcome``."""
    there = published.read_all() if published.folder.is_dir() else []
    known = {_identity(record): record for record in there}
    totals = {record.data_digest: record.accuracy.total for record in there}
    for path in paths:
        try:
            record = submitted.read(path)
        except UserError as error:
            outcome.refused.append(str(error))
            continue
        place = published.path(record)
        before = published.read(place) if place.is_file() else None
        if before is not None and timeless(before) == timeless(record):
            outcome.unchanged += 1
            continue
        wrong = problems(record, registry)
        if submitted.path(record) != path:
            wrong.append(f"it belongs into {submitted.path(record).relative_to(submitted.folder)}")
        wrong += _disagreements(record, before, known)
        total = totals.setdefault(record.data_digest, record.accuracy.total)
        if total != record.accuracy.total:
            wrong.append(f"the data of this digest has {total} test samples, not {record.accuracy.total}")
        if wrong:
            outcome.refused += [f"{path}: {line}" for line in wrong]
            continue
        known[_identity(record)] = record
        if before is None:
            outcome.new.append(record)
        else:
            outcome.changed.append((before, record))
        yield path, record


def _identity(record: Record) -> tuple[str, ...]:
    """One model is measured once on a board by one link and toolchain."""
    return record.model_digest, record.board, record.link, record.toolchain


def _disagreements(record: Record, before: Record | None, known: dict[tuple[str, ...], Record]) -> Iterator[str]:
    """With what is published, or submitted as well."""
    if before is not None and before.cell == record.cell:
        names = [name for name, value in timeless(record).items() if timeless(before)[name] != value]
        yield f"the published record of the same cell has another {', '.join(names)}"
    same = known.get(_identity(record))
    if same is not None and _point(same) != _point(record):
        yield f"its model is that of {same.command}"
    if same is not None and same.accuracy != record.accuracy:
        yield f"its model is published with accuracy {same.accuracy.mean}, not {record.accuracy.mean}"


def _point(record: Record) -> tuple[object, ...]:
    terms = record.training_changes, record.effort
    return record.task, record.network, record.recipe, *terms, record.seed, record.fold


class _Checks:
    """Those that take seconds: measuring again, and predicting again where the data is here."""

    def __init__(self, submitted: Store, registry: Registry) -> None:
        self._store, self._registry = submitted, registry
        self._split: tuple[tuple[str, int], Split] | None = None

    def check(self, record: Record) -> str:
        """What was checked, in words. Raises CellError or UserError saying what is wrong."""
        path = self._store.model_path(record)
        if not path.is_file():
            if record.link == "emulator" and record.flash.weights + _ROOM <= MODEL_BYTES:
                raise UserError(f"its model is missing: {path}")
            return "figures only: no model"
        if path.stat().st_size > MODEL_BYTES:
            raise UserError(f"{path} has more than {MODEL_BYTES} bytes")
        model = load_model_file(path)
        facts = {name: getattr(record, name) for name in ModelFacts.model_fields}
        if differing := [name for name, value in facts.items() if getattr(model.about.model, name) != value]:
            raise UserError(f"{', '.join(differing)}: not that of its model, {path.name}")
        done = [self._measured_again(record, model), self._predicted_again(record, model)]
        return ", ".join(filter(None, done))

    def _measured_again(self, record: Record, model: EvaluatedModel) -> str:
        if record.link != "emulator":
            return "real board: not repeated"
        where = Where(self._registry.get("boards", record.board), toolchain=record.toolchain.split()[0])
        with tempfile.TemporaryDirectory() as folder:
            again, _ = record_of(model, where, Path(folder))
        for name in type(record).model_fields:
            if name not in _NOT_REPEATED and getattr(again, name) != getattr(record, name):
                found, stated = getattr(again, name), getattr(record, name)
                shown = f"{found}, not {stated}" if isinstance(found, int | str) else "another value"
                raise UserError(f"measured again, {name} is {shown} (kilobench measure makes the record anew)")
        return "measured again"

    def _predicted_again(self, record: Record, model: EvaluatedModel) -> str:
        """Where the data is part of a package, or lies on this machine."""
        task: Task = self._registry.get("tasks", record.task)
        cache = cache_dir() / "data"
        if record.partial or (task.source is not None and present(task.source, cache) is None):
            return ""
        split = self._load(task, record, cache)
        if split.digest != record.data_digest:
            raise UserError(f"data_digest: the data here has {split.digest}")
        training = change_training(task.training, record.training_changes).length(len(split.train_x))
        if record.effort and steps_of(record) != (wanted := round(record.effort * training)):
            raise UserError(f"steps: {steps_of(record)} in all, the data gives {wanted}")
        with tempfile.TemporaryDirectory() as folder:
            found = evaluate(model.graph, Path(folder), "submitted", split, silent)
        if accuracy(found.correct) != record.accuracy:
            raise UserError("predicted again, other test samples are right than its bitmap says")
        crops = found.correct_10_crops
        if (None if crops is None else accuracy(crops)) != record.accuracy_10_crops:
            raise UserError("predicted again, the accuracy over 10 windows is another")
        return "predicted again"

    def _load(self, task: Task, record: Record, cache: Path) -> Split:
        if self._split is None or self._split[0] != (record.task, record.fold):
            self._split = (record.task, record.fold), load(task, record.fold, cache, silent)
        return self._split[1]
