# SPDX-License-Identifier: Apache-2.0
"""Rows, which are mappings from the names of columns to values, and what is asked of many of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[Row]
ENOUGH = 3
"""Seeds or folds that say something about other trainings, at least."""
TOO_FEW = " °"
"""Behind a figure of fewer."""


def grouped(rows: Iterable[Row], *names: str) -> list[tuple[tuple[Any, ...], Rows]]:
    """The rows that have the same values in some columns, with these; in the order of the values, and of the rows within."""
    return sorted(in_order(rows, *names), key=lambda group: group[0])


def in_order(rows: Iterable[Row], *names: str) -> list[tuple[tuple[Any, ...], Rows]]:
    """Like ``grouped``, in the order of the first rows."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def first_of_each(rows: Iterable[Row], *names: str) -> Rows:
    """The first row of every group."""
    return [group[0] for _, group in in_order(rows, *names)]


def distinct(rows: Iterable[Row], name: str) -> list[Any]:
    """The values of a column, each once, in order."""
    return sorted({row[name] for row in rows})


def enough(row: Row) -> bool:
    """Of ENOUGH seeds or folds."""
    return bool(max(row["seeds"], row["folds"]) >= ENOUGH)


def is_missing(value: float | None) -> bool:
    """None or NaN."""
    return value is None or math.isnan(value)


def present(rows: Iterable[Row], name: str) -> Sequence[Any]:
    """The values of a column that are not missing."""
    return [row[name] for row in rows if not is_missing(row[name])]
