# SPDX-License-Identifier: Apache-2.0
"""Suites whose names and parameters are those of contributions that there are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS, STREAMING
from kilobench.learn.effort import spans
from kilobench.plugins.budget import parse_budget
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, change_training, nearest, parse_recipe
from kilobench.plugins.suites import ModelSuite, Suite, read_suite


def check(suite: Suite | ModelSuite, registry: Registry) -> None:
    """Raises UserError for the first name or parameter that does not exist, or an impossible order of methods."""
    if isinstance(suite, ModelSuite):
        _check_models(suite, registry)
        return
    for task in suite.tasks:
        built = registry.get("tasks", task)
        change_training(built, suite.training)
        registry.get("networks", built.network if suite.network is None else suite.network)
    for seed in suite.seeds:
        if not 0 <= seed < 1 << 32:
            raise UserError(f"a seed is from 0 to {(1 << 32) - 1}, not {seed}")
    for board in suite.boards:
        registry.find("boards", board)
    for budget in suite.budgets:
        if budget != "none":
            registry.find("boards", parse_budget(budget, suite.boards[0]).board)
    for recipe in suite.recipes:
        if not recipe:
            raise UserError("a recipe is empty; that of the network as it is trained is full")
        methods = [registry.get("methods", str(spec)) for spec in parse_recipe(recipe)]
        for before, after in pairwise(methods):
            if before.order >= after.order:
                raise UserError(f"recipe {recipe!r}: {canonical(after)} cannot follow {canonical(before)}")
        spans(methods, suite.effort)


def _check_models(suite: ModelSuite, registry: Registry) -> None:
    for board in suite.boards:
        registry.find("boards", board)
    for name, model in suite.models.items():
        if model.benchmark not in (known := {*BENCHMARKS, STREAMING}):
            hint = nearest(model.benchmark, known)
            raise UserError(f"models.{name}: benchmark: MLPerf Tiny has no {model.benchmark!r}{hint}")


def load_suite(path: Path, registry: Registry) -> Suite | ModelSuite:
    """Read and check a suite; raises UserError naming the file and what is wrong."""
    suite = read_suite(path)
    try:
        check(suite, registry)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return suite
