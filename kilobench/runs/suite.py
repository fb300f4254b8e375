# SPDX-License-Identifier: Apache-2.0
"""Suites: YAML files naming tasks x recipes x boards x seeds x folds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from kilobench.contracts import UserError
from kilobench.learn.effort import EFFORT, spans
from kilobench.plugins.budget import parse_budget
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, change_training, nearest, parse_recipe
from kilobench.yamlfile import read_mapping


@dataclass(frozen=True)
class Suite:
    """What to run, all as written; ``network`` None means each task's own.

    ``training`` changes the tasks' own, as in ``epochs=40,mix=0.5``. ``effort``: all that a recipe trains, in trainings of its
    task. ``budgets``: every recipe is made as large as each of them allows, as in ``64KiB`` of flash or
    ``ram=16KiB,latency=100ms``, on the first board if they name none; ``none`` stands for networks and methods of the size that
    they say.
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

    def check(self, registry: Registry) -> None:
        """Raises UserError for the first name or parameter that does not exist, or an impossible order of methods."""
        for task in self.tasks:
            built = registry.get("tasks", task)
            change_training(built.training, self.training)
            registry.get("networks", self.network or built.network)
        for seed in self.seeds:
            if not 0 <= seed < 1 << 32:
                raise UserError(f"a seed is from 0 to {(1 << 32) - 1}, not {seed}")
        for board in self.boards:
            registry.find("boards", board)
        for budget in self.budgets:
            if budget != "none":
                registry.find("boards", parse_budget(budget, self.boards[0]).board)
        for recipe in self.recipes:
            if not recipe:
                raise UserError("a recipe is empty; that of the network as it is trained is full")
            methods = [registry.get("methods", str(spec)) for spec in parse_recipe(recipe)]
            for before, after in pairwise(methods):
                if before.order >= after.order:
                    raise UserError(f"recipe {recipe!r}: {canonical(after)} cannot follow {canonical(before)}")
            spans(methods, self.effort)


def load_suite(path: Path, registry: Registry) -> Suite:
    """Read and check a suite; raises UserError naming file and key."""
    values = read_mapping(path, "a suite")
    known = [field.name for field in dataclasses.fields(Suite)]
    for key in values:
        if key not in known:
            raise UserError(f"{path}: no key {key!r}{nearest(str(key), known)}")
    for key in ("title", "tasks", "recipes", "boards"):
        if not values.get(key):
            raise UserError(f"{path}: key {key!r} is missing or empty")
    try:
        suite = Suite(**{key: _typed(key, value) for key, value in values.items()})
        suite.check(registry)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return suite


def _typed(key: str, value: Any) -> Any:
    if key in ("title", "network", "training"):
        return str(value)
    if key == "folds" and value == "all":
        return value
    if key == "effort":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"key 'effort' must be a number of trainings, not {value!r}")
        return float(value)
    if key == "validation":
        if not isinstance(value, bool):
            raise UserError(f"key 'validation' must be true or false, not {value!r}")
        return value
    kind = int if key in ("seeds", "folds") else str
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise UserError(f"key {key!r} must be a list of {'whole numbers' if kind is int else 'names'}")
    return tuple(value)
