# SPDX-License-Identifier: Apache-2.0
"""Suite files: tasks x recipes x boards x seeds x folds, as written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kilobench.contracts import EFFORT, UserError
from kilobench.plugins.fields import typed
from kilobench.yamlfile import read_mapping


@dataclass(frozen=True)
class Suite:
    """What to run, all as written; ``network`` None means each task's own.

    ``training`` changes the tasks' own, as in ``epochs=40,mix=0.5``; a file may have a mapping there.
    ``effort``: all that a recipe trains, in trainings of its task. ``budgets``: every recipe is made as large as each of them
    allows, as in ``64KiB`` of flash or ``ram=16KiB,latency=100ms``, on the first board if they name none; ``none`` stands for
    networks and methods of the size that they say.
    ``validation`` measures on a part of the training data instead of the test fold, and writes no records.
    """

    title: str
    tasks: tuple[str, ...]
    recipes: tuple[str, ...]
    boards: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] | Literal["all"] = (0,)
    network: str | None = None
    training: str = ""
    effort: float = EFFORT
    budgets: tuple[str, ...] = ("none",)
    validation: bool = False


def read_suite(path: Path) -> Suite:
    """Read a suite's file; raises UserError naming file and key. What its names stand for is not asked (kilobench.runs.suite)."""
    values = read_mapping(path, "a suite")
    if isinstance(training := values.get("training"), dict):
        values["training"] = ",".join(f"{key}={_written(path, key, value)}" for key, value in training.items())
    values = typed(path, values, Suite)
    for key, value in values.items():
        if value == ():
            raise UserError(f"{path}: {key}: the list is empty")
        if isinstance(value, tuple) and len(set(value)) < len(value):
            twice = next(item for item in value if value.count(item) > 1)
            raise UserError(f"{path}: {key}: {twice!r} is given twice")
    return Suite(**values)


def _written(path: Path, key: str, value: Any) -> str:
    """A value of a training as in ``epochs=40``."""
    if not isinstance(value, bool | int | float | str):
        raise UserError(f"{path}: training: {key}: {value!r} is neither a number nor a text nor true nor false")
    return str(value).lower() if isinstance(value, bool) else str(value)
