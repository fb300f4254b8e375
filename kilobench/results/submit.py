# SPDX-License-Identifier: Apache-2.0
"""Submitted records -> the leaderboard: check them, make them again, show what changes, put them into place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from tabulate import tabulate

from kilobench.contracts import CellError, UserError
from kilobench.plugins.registry import Registry
from kilobench.progress import OverallProgress
from kilobench.record import NOT_RUN, Record
from kilobench.results.check import problems
from kilobench.results.contest import cell_of
from kilobench.results.packed import PART_BYTES, content_of
from kilobench.results.store import Store, content, more, timeless
from kilobench.results.verify import Refuted, Verdict, Verifier, facts_of

MOST_RECORDS = 10_000
"""In one submission."""
_ROWS = ("too-large/", "unsuited/")
"""Folders of what came to nothing."""


@dataclass(frozen=True)
class Change:
    """A record that is new, or that replaces another."""

    before: Record | None
    after: Record
    checked: str
    """What was done to know it."""

    def row(self) -> dict[str, str]:
        """For the report."""

        def changed(text: Callable[[Record], str]) -> str:
            return " → ".join(dict.fromkeys(text(each) for each in (self.before, self.after) if each))

        def shown(value: Callable[[Record], float], digits: int = 1) -> str:
            return changed(lambda each: f"{value(each):.{digits}f}")

        record = self.after
        return {
            "": "changed" if self.before else "new",
            "Task": record.task,
            "Recipe": f"`{record.recipe}`",
            "Board": record.board,
            "Seed, fold": f"{record.seed}, {record.fold}",
            "AUC %" if record.auc else "Accuracy %": shown(lambda r: 100 * r.quality.mean),
            "Flash KiB": shown(lambda r: r.flash_bytes / 1024),
            "RAM KiB": shown(lambda r: r.ram_bytes / 1024),
            "Mcycles": shown(lambda r: float("nan") if r.cycles is None else r.cycles / 1e6, 2).replace("nan", NOT_RUN),
            "Trust": changed(lambda r: r.trust),
            "Checked": _plain(self.checked),
        }


@dataclass
class Submission:
    """What became of submitted records."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    refused: list[str] = field(default_factory=list)
    """A line each: file and reason."""

    @property
    def report(self) -> str:
        """Markdown: what the submission changes, for those who review it."""
        new = sum(change.before is None for change in self.changes)
        changed = len(self.changes) - new
        parts = [f"**Records**: {new} new, {changed} changed, {self.unchanged} unchanged, {len(self.refused)} refused."]
        if self.refused:
            parts.append("\n".join(f"- refused: {_plain(line)}" for line in self.refused))
        if self.changes:
            rows = [change.row() for change in sorted(self.changes, key=lambda change: change.before is not None)]
            parts.append(tabulate(rows, "keys", tablefmt="pipe", disable_numparse=True))
        return "\n\n".join(parts)


def _plain(text: str) -> str:
    """On one line and without what Markdown would make more of, as names of files come from anybody."""
    line = "".join(letter if letter.isprintable() else "�" for letter in text)
    return re.sub(r"[|<`]|(?<!\w)@", r"\\\g<0>", line)


def submit(
    source: Path, target: Path, registry: Registry, console: Console, *, keep: bool, whole: bool = False
) -> Submission:
    """Check the records and models of a folder that kilobench run made against those of the leaderboard ``target``.

    Only if all are good and ``keep`` is set, they are written there, with what was found to be known of them. ``whole``: the
    folder is to become the leaderboard as it is, and so may lose nothing and say no more than was found. Raises UserError where
    there is nothing to submit.
    """
    submitted, published = Store(source / "records"), Store(target / "records")
    paths = sorted(submitted.folder.rglob("*.json")) if submitted.folder.is_dir() else []
    if not paths:
        raise UserError(f"{submitted.folder} holds no records; kilobench run --output {source} makes some")
    if len(paths) > MOST_RECORDS:
        raise UserError(f"{submitted.folder} holds {len(paths)} records; submit at most {MOST_RECORDS} at a time")
    outcome = Submission()
    found = list(_read(submitted, paths, outcome))
    there = published.read_all() if published.folder.is_dir() else []
    if whole:
        outcome.refused += _lost(submitted, published, [record for _, record in found], there)
    fresh = list(_fresh(submitted, found, published, there, registry, outcome, whole=whole))
    here, standing = Verifier(submitted, registry), Verifier(published, registry)
    with OverallProgress(console, len(fresh)) as progress:
        for path, before, record in fresh:
            progress.begin(str(path), f"{path.stem}: making it again", 1.0)
            try:
                verdict = here.verify(record)
                known = record.model_copy(update={"trust": verdict.trust})
                if whole:
                    _as_it_is(path, record, known, verdict)
                if before is not None and timeless(before) != timeless(record):
                    _replaces(before, record, verdict, standing)
            except (CellError, UserError) as error:
                outcome.refused.append(f"{path}: {error}")
            else:
                if before is None or timeless(before) != timeless(known) or more(known, before):
                    outcome.changes.append(Change(before, known, verdict.words))
                else:
                    outcome.unchanged += 1
            progress.end(str(path), None)
    if keep and not outcome.refused:
        for change in outcome.changes:
            if change.before is not None and published.path(change.before) != published.path(change.after):
                published.path(change.before).unlink()
            published.write(change.after)
            published.publish(change.after, submitted.model_path(change.after))
    return outcome


def _read(submitted: Store, paths: list[Path], outcome: Submission) -> Iterator[tuple[Path, Record]]:
    """The records of plain files; ``outcome`` gets what is none."""
    for path in paths:
        try:
            if path.is_symlink() or not path.is_file():
                raise UserError(f"{path} is no plain file")
            yield path, submitted.read(path)
        except UserError as error:
            outcome.refused.append(str(error))


def _fresh(
    submitted: Store,
    found: list[tuple[Path, Record]],
    published: Store,
    there: list[Record],
    registry: Registry,
    outcome: Submission,
    *,
    whole: bool,
) -> Iterator[tuple[Path, Record | None, Record]]:
    """Records that are new or changed, with what they replace, and that their words do not tell against; the rest is told."""
    known, cells = _Known(there, [record for _, record in found]), {cell_of(record): record for record in there}
    for path, record in found:
        before = cells.get(cell_of(record))
        if before is not None and timeless(before) == timeless(record) and not more(record, before):
            outcome.unchanged += 1
            if whole and published.path(record).read_bytes() != path.read_bytes():
                outcome.refused.append(f"{path}: it is published, and differs in nothing that was measured")
            continue
        wrong = problems(record, registry)
        if submitted.path(record) != path:
            wrong.append(f"it belongs into {submitted.path(record).relative_to(submitted.folder)}")
        wrong += known.disagreements(record)
        if wrong:
            outcome.refused += [f"{path}: {line}" for line in wrong]
            continue
        known.add(record)
        yield path, before, record


class _Known:
    """What is published, and what has been found good of what is submitted: what new records must agree with."""

    def __init__(self, published: list[Record], coming: list[Record]) -> None:
        self._models: dict[str, Record] = {}
        self._data: dict[tuple[object, ...], Record] = {}
        self._samples: dict[str, int] = {}
        self._cells = Counter(map(cell_of, coming))
        self._seeds: dict[tuple[object, ...], set[int]] = {}
        for record in published:
            self.add(record)
        for record in [*published, *coming]:
            self._seeds.setdefault(_series(record), set()).add(record.seed)

    def add(self, record: Record) -> None:
        """Later ones must agree with it."""
        self._models.setdefault(record.model_digest, record)
        self._samples.setdefault(record.data_digest, record.quality.total)
        if not (record.partial or record.transcoded):
            self._data.setdefault(_data(record), record)

    def disagreements(self, record: Record) -> Iterator[str]:
        """A line each."""
        same = self._models.get(record.model_digest)
        if same is not None and _point(same) != _point(record):
            yield f"its model is that of {same.command}"
        elif same is not None and same.budget == record.budget and same.contributions == record.contributions:
            facts = facts_of(record)
            if names := [name for name, value in facts_of(same).items() if facts[name] != value]:
                yield f"its model has another {', '.join(names)} in {same.command}"
        total = self._samples.get(record.data_digest, record.quality.total)
        if total != record.quality.total:
            yield f"the data of this digest has {total} test samples, not {record.quality.total}"
        data = self._data.get(_data(record), record)
        if not (record.partial or record.transcoded) and data.data_digest != record.data_digest:
            yield f"data_digest: that of this task and fold is {data.data_digest}, as in {data.command}"
        if self._cells[cell_of(record)] > 1:
            yield "there are several records of its cell"
        seeds = self._seeds[_series(record)]
        if (missing := next((seed for seed in range(record.seed) if seed not in seeds), None)) is not None:
            yield f"seed: a chosen seed tells nothing; the results of seed {missing} are missing"


def _point(record: Record) -> tuple[object, ...]:
    terms = record.training_changes, record.effort
    return record.task, record.network, record.recipe, *terms, record.seed, record.fold


def _data(record: Record) -> tuple[object, ...]:
    """What says which samples there are, where none are lacking or transcoded: task, its version, fold."""
    versions = [version for name, version in record.contributions.items() if name.startswith("task ")]
    return record.task, *versions, record.fold


def _series(record: Record) -> tuple[object, ...]:
    """What differs in its seed alone."""
    *where, _, fold = cell_of(record)
    return *where, fold


def _replaces(before: Record, record: Record, verdict: Verdict, standing: Verifier) -> None:
    """Raises UserError where a published record holds, or no less is known of it than of the one that is to replace it."""
    names = [name for name, value in timeless(record).items() if timeless(before)[name] != value]
    differ = f"another {', '.join(names)} than the published record of this cell"
    if verdict.trust == "claimed":
        raise UserError(f"{differ}, and claimed alone ({verdict.words})")
    if any(before.contributions.get(name) != version for name, version in record.contributions.items()):
        return  # of versions that have been followed by others
    try:
        held = standing.verify(before)
    except (Refuted, CellError):
        return
    if held.trust != "claimed":
        raise UserError(f"{differ}, which holds: {held.words}")


def _as_it_is(path: Path, record: Record, known: Record, verdict: Verdict) -> None:
    """Raises UserError for a file that cannot be published as it is."""
    if more(record, known):
        raise UserError(f"trust: it says {record.trust}, and is found {known.trust}: {verdict.words}")
    if path.read_bytes() != content(record):
        raise UserError("it is not as kilobench writes records (kilobench submit without --whole does)")


def _lost(submitted: Store, published: Store, found: list[Record], there: list[Record]) -> Iterator[str]:
    """What is published and would be lost or changed without being told by records, and what belongs to none."""
    before, after = _files(published), _files(submitted)
    for name in sorted(before.keys() - after.keys()):
        if name.startswith(_ROWS):
            yield f"{name}: it is published, and is missing"
    cells = set(map(cell_of, found))
    for record in there:
        if cell_of(record) not in cells:
            yield f"{published.path(record).relative_to(published.folder.parent)}: it is published, and is missing"
    for name in sorted(after.keys() - before.keys()):
        if name.startswith(_ROWS):
            yield f"{name}: what no size fits, or no method suits, is found by a maintainer's run, and cannot be submitted"
    for name in sorted(before.keys() & after.keys()):
        if name.startswith(_ROWS) and before[name].read_bytes() != after[name].read_bytes():
            yield f"{name}: it is published with another content"
    kept = {submitted.model_path(record) for record in found}
    models = {submitted.model_path(record): published.model_path(record) for record in there}  # of several boards once
    for model, standing in models.items():
        if model in kept and standing.exists() and (told := _differs(model, standing)):
            yield f"{model.relative_to(submitted.folder.parent)}: it is published{told}"


def _differs(model: Path, published: Path) -> str:
    """What a model has of another than the published one, in whatever form each is; empty where it is the same."""
    if not model.exists():
        return ", and is missing"
    with suppress(UserError):
        if not model.is_symlink() and model.stat().st_size <= PART_BYTES and content_of(model) == content_of(published):
            return ""
    return " with another content"


def _files(store: Store) -> dict[str, Path]:
    """Everything that pages are made of but models, by its name in the leaderboard."""
    root = store.folder.parent
    folders = [root / name for name in ("records", "too-large", "unsuited")]
    return {str(path.relative_to(root)): path for folder in folders for path in folder.rglob("*") if path.is_file()}
