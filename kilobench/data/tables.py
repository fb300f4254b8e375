# SPDX-License-Identifier: Apache-2.0
"""Text that comes with data: lists and tables, read as they should be or refused with the place that is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from kilobench.contracts import UserError

_MOST_BYTES = 16_000_000
_MOST_FIELD = 1000
_CSV_ERRORS = {
    "end of data": "has a quote that is not closed",
    "field larger": f"has a field of more than {_MOST_FIELD} characters",
    "expected after": "has text behind a closing quote",
}


def text(path: Path) -> str:
    """The text of a file of UTF-8, with or without a byte order mark; raises UserError for any other, or over 16 MB."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise UserError(f"{path} is larger than {_MOST_BYTES // 1_000_000} MB: no list or table of a data set")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: line {line} is not UTF-8 (byte 0x{content[error.start]:02x})") from None


def table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a file of comma-separated values, by the columns that its first line names.

    Raises UserError where it lacks one of ``columns`` or has one twice, where a row has more or fewer fields, an open quote,
    a NUL or a field of over 1000 characters.
    """
    content = text(path)
    before, nul, _ = content.partition("\0")
    if nul:
        raise UserError(f"{path}: line {before.count(chr(10)) + 1} holds a NUL")
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    rows: list[dict[str, str]] = []
    names: list[str] | None = None
    begins = 1
    try:
        for row in reader:
            if max(map(len, row), default=0) > _MOST_FIELD:
                raise csv.Error("field larger")
            if names is None:
                names = _header(path, row, columns)
            elif row and len(row) != len(names):
                raise UserError(f"{path}: line {begins} has {len(row)} fields, not {len(names)}")
            elif row:
                rows.append(dict(zip(names, row, strict=True)))
            begins = reader.line_num + 1
    except csv.Error as error:
        told = (said for words, said in _CSV_ERRORS.items() if words in str(error))
        raise UserError(f"{path}: line {begins} {next(told, 'is not of comma-separated values')}") from None
    if names is None:
        raise UserError(f"{path} is empty")
    return rows


def _header(path: Path, names: list[str], columns: tuple[str, ...]) -> list[str]:
    if missing := [name for name in columns if name not in names]:
        found = ", ".join(names)[:80]
        raise UserError(f"{path} has no column {missing[0]!r}; its first line is {found!r}")
    if twice := [name for index, name in enumerate(names) if name in names[:index]]:
        raise UserError(f"{path} has two columns {twice[0]!r}")
    return names


def whole(field: str) -> int:
    """A whole number from 0 up as tables write it; raises ValueError for any other text (``int`` takes 1_0, +1 and ``１``)."""
    if not (field.isascii() and field.isdigit() and len(field) < 16):
        raise ValueError(f"{field!r} is no whole number")
    return int(field)
