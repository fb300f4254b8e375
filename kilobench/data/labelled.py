# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs in the layout of MLPerf Tiny's runner, and what can be wrong with them.

A folder holds ``y_labels.csv``, whose lines are ``file,classes,label``, or ``file,classes,label,bytes,stride`` where an input is
a window of so many bytes that starts every ``stride`` bytes of its file; and those files (kilobench.data.rawfiles).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kilobench.contracts import UserError
from kilobench.data.mlperf import PUBLISHED_SETS, PublishedSet, digest_of_files, digest_of_lines
from kilobench.data.tables import text, whole
from kilobench.lines import one_line

LABELS = "y_labels.csv"
_MOST_FILES, _MOST_CLASSES = 1_000_000, 2000
_SAYS_LABEL = re.compile(r"_([A-Za-z]+)_([0-9]{1,3})\.[A-Za-z0-9]+$")
"""The end of a name such as ``tst_000000_Stop_7.bin``."""
_SAYS_STATE = {"normal": 0, "anomaly": 1}
"""The first word of names such as ``anomaly_id_01_00000003_hist_librosa.bin``."""


@dataclass(frozen=True)
class Labelled:
    """What ``y_labels.csv`` says of a folder all of whose files are there."""

    folder: Path
    names: tuple[str, ...]
    classes: int
    labels: NDArray[np.int64]
    window: tuple[int, int] | None
    """Bytes of an input, and from one to the next; None where a file is one input."""

    @cached_property
    def published(self) -> PublishedSet | None:
        """The published set that has files of these names."""
        return PUBLISHED_SETS.get(digest_of_lines(self.names))

    def digest(self) -> str:
        """SHA-256 of names, contents and labels."""
        contents = digest_of_files((name, (self.folder / name).read_bytes()) for name in self.names)
        rows = (f"{name},{label}" for name, label in zip(self.names, self.labels.tolist(), strict=True))
        return digest_of_lines((contents, str(self.classes), str(self.window), *rows))

    @property
    def title(self) -> str:
        """What it is, for people."""
        if self.published is None:
            return one_line(self.folder.resolve().name)
        return f"{self.published.benchmark.name} of MLPerf Tiny ({self.published.rounds})"


@dataclass(frozen=True)
class _Row:
    """A line of ``y_labels.csv``."""

    line: int
    fields: list[str]

    @property
    def name(self) -> str:
        return self.fields[0]

    @property
    def told(self) -> str:
        """Its file as it may be printed."""
        return one_line(self.name)[:100]


def read_labels(folder: Path) -> Labelled:
    """Read ``y_labels.csv`` and see that all files are there. Raises UserError in one line for whatever is wrong with them."""
    path = folder / LABELS
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: labelled inputs are one with {LABELS} and a file for every input")
    if not path.is_file():
        raise UserError(f"{folder} has no {LABELS}, which says file,classes,label of every input")
    rows = _rows(path)
    classes, labels, window = _classes(path, rows)
    _check_files(folder, path, rows)
    _check_names(path, rows, labels)
    made = Labelled(folder, tuple(row.name for row in rows), classes, np.array(labels), window)
    if made.published is not None and digest_of_lines(",".join(row.fields) for row in rows) != made.published.rows:
        raise UserError(
            f"{path} gives the files of {made.published.benchmark.name} other classes or labels than it has"
        )
    return made


def _rows(path: Path) -> list[_Row]:
    """Lines that are not blank."""
    content, rows = text(path), list[_Row]()
    if "\0" in content:
        raise UserError(f"{path} holds a NUL: it is no text of UTF-8")
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        for fields in reader:
            if fields and len(fields) not in (3, 5):
                told = "file,classes,label or file,classes,label,bytes,stride"
                raise UserError(f"{path}: line {reader.line_num} has {len(fields)} fields, not {told}")
            if fields:
                rows.append(_Row(reader.line_num, fields))
    except csv.Error:
        raise UserError(f"{path}: line {reader.line_num} is not of comma-separated values") from None
    if not 1 <= len(rows) <= _MOST_FILES:
        raise UserError(f"{path} lists {len(rows)} files; supported are 1 to {_MOST_FILES}")
    return rows


def _classes(path: Path, rows: Sequence[_Row]) -> tuple[int, list[int], tuple[int, int] | None]:
    """Classes, which all lines have in common, labels, and windows, likewise."""
    labels = []
    common = [rows[0].fields[1], *rows[0].fields[3:]]
    for row in rows:
        classes, label, *window = _numbers(path, row)
        if (said := [row.fields[1], *row.fields[3:]]) != common:
            raise UserError(f"{path}: line {row.line} says {','.join(said)}, line {rows[0].line} {','.join(common)}")
        if not 2 <= classes <= _MOST_CLASSES:
            raise UserError(f"{path}: line {row.line}: {classes} classes; supported are 2 to {_MOST_CLASSES}")
        if 0 in window:
            raise UserError(f"{path}: line {row.line}: windows of {window[0]} bytes every {window[1]}")
        if label >= classes:
            raise UserError(f"{path}: line {row.line}: label {label} is none of {classes} classes, 0 to {classes - 1}")
        labels.append(label)
    return classes, labels, (window[0], window[1]) if window else None


def _numbers(path: Path, row: _Row) -> list[int]:
    for field in row.fields[1:]:
        try:
            whole(field)
        except ValueError:
            header = f"; {LABELS} has no headings" if row.line == 1 else ""
            raise UserError(f"{path}: line {row.line}: {one_line(field)[:40]!r} is no whole number{header}") from None
    return [int(field) for field in row.fields[1:]]


def _check_files(folder: Path, path: Path, rows: Sequence[_Row]) -> None:
    """That the folder has a regular file for every line, and no other ones like these."""
    lines: dict[str, int] = {}
    for row in rows:
        if row.name in ("", ".", "..", LABELS) or re.search(r"[/\\\x00-\x1f]", row.name):
            raise UserError(f"{path}: line {row.line}: {row.told!r} is no name of a file of its folder")
        if row.name in lines:
            raise UserError(f"{path}: line {row.line} lists {row.told} again, after line {lines[row.name]}")
        lines[row.name] = row.line
    there = {entry.name for entry in folder.iterdir()}
    missing = [row for row in rows if row.name not in there]
    if missing:
        raise UserError(f"{folder} lacks {missing[0].told} of line {missing[0].line} of {LABELS}{_more(missing)}")
    for row in rows:
        if not (folder / row.name).is_file():
            raise UserError(f"{folder / row.told} is no file, nor a link to one")
    endings = {Path(name).suffix for name in lines}
    extra = sorted(name for name in there - lines.keys() - {LABELS} if Path(name).suffix in endings)
    if extra:
        raise UserError(f"{folder} holds {one_line(extra[0])[:100]}, which {LABELS} does not list{_more(extra)}")


def _more(found: Sequence[object]) -> str:
    return f"; there are {len(found)} such" if len(found) > 1 else ""


def _check_names(path: Path, rows: Sequence[_Row], labels: Sequence[int]) -> None:
    """Labels against names where these tell: words at their ends, each always with one number and that with no other word."""
    ends = [_SAYS_LABEL.search(row.name) for row in rows]
    pairs = {(end[1], end[2]) for end in ends if end}
    states = [_SAYS_STATE.get(row.name.partition("_")[0]) for row in rows]
    said: list[int | None] = []
    if all(ends) and len(pairs) == len({word for word, _ in pairs}) == len({number for _, number in pairs}) > 1:
        said = [int(end[2]) for end in ends if end]
    elif None not in states:
        said = states
    for row, label, by_name in zip(rows, labels, said, strict=False):
        if label != by_name:
            raise UserError(f"{path}: line {row.line}: {row.told} has label {label}; its name says {by_name}")
