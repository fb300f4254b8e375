# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set, all of it at once, and how much may be lacking."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from kilobench.contracts import DataUnavailable, UserError
from kilobench.lines import one_line

Kind = Literal["missing", "corrupt", "unexpected", "mislabelled", "in the wrong fold", "in training and test"]


_LACKING: tuple[Kind, ...] = ("missing", "corrupt")
"""What one can go on without; any other damage would make results wrong."""


def partial_allowed() -> bool:
    """Whether incomplete data may be used: ``--allow-partial``, which sets KILOBENCH_ALLOW_PARTIAL=1 for all processes."""
    return os.environ.get("KILOBENCH_ALLOW_PARTIAL") == "1"


class Damaged(UserError):
    """A data set is not as published; ``lines`` names every single piece of damage."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


class Incomplete(Damaged, DataUnavailable):
    """Nothing is wrong with a data set but that part of it is missing or corrupt."""


class Damage:
    """Collects what is wrong with a data set of ``expected`` inputs, then reports all of it at once."""

    def __init__(self, name: str, expected: int, what: str = "clips") -> None:
        self._name, self._expected, self._what = name, expected, what
        self._found: dict[Kind, list[tuple[str, int]]] = defaultdict(list)

    def add(self, kind: Kind, names: Iterable[str], count: int = 1) -> None:
        """Something is wrong with each of these, which stand for ``count`` inputs each."""
        self._found[kind] += [(one_line(name), count) for name in names]

    def check(self) -> None:
        """Raise Damaged if anything is wrong that may not be: nothing but lacking inputs, and these only where allowed."""
        found = {kind: entries for kind, entries in self._found.items() if entries}
        fatal = [kind for kind in found if kind not in _LACKING]
        if not found or (not fatal and partial_allowed()):
            return
        texts = []
        for kind, entries in found.items():
            some = ", ".join(name for name, _ in entries[:3]) + (", ..." if len(entries) > 3 else "")
            texts.append(f"{sum(count for _, count in entries)} {kind} ({some})")
        hint = "" if fatal else "; --allow-partial uses the rest and marks the record"
        lines = [f"{kind}: {name}" for kind, entries in found.items() for name, _ in entries]
        message = f"{self._name} should have {self._expected} {self._what}: {', '.join(texts)}{hint}"
        raise (Damaged if fatal else Incomplete)(message, lines)


def lacking(parts: Mapping[str, tuple[int, int]]) -> tuple[int, tuple[str, ...]]:
    """How many inputs are lacking, and a note for every part that lacks some; ``parts`` are (found, expected) by name."""
    notes = [f"partial: {found} of {expected} {what}" for what, (found, expected) in parts.items() if found < expected]
    return sum(expected - found for found, expected in parts.values()), tuple(notes)
