# SPDX-License-Identifier: Apache-2.0
"""One headline per recipe over all tasks: how much smaller and faster than the reference, and how much less accurate.

Ratios have a geometric mean and a geometric standard deviation, as Embench IoT gives (Bennett et al., Embench: A Modern Embedded
Benchmark Suite, embench.org): the mean of ratios is then the ratio of means, so that which recipe is the reference changes no
ranking (Fleming and Wallace, Comm. ACM 29, 1986).
Accuracies are shares of the same samples, not ratios, and their differences have an arithmetic mean.

Tasks are chosen, not drawn: the deviations say how much a recipe's benefit differs from task to task, and are no intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kilobench.results.rows import Rows, distinct, grouped, present


@dataclass(frozen=True)
class Spread:
    """A mean over tasks and the standard deviation around it; NaN where no task has the figure, the latter also for one task."""

    mean: float
    deviation: float
    tasks: int
    """That have the figure."""


@dataclass(frozen=True)
class Headline:
    """A recipe over all tasks, against the reference of each."""

    recipe: str
    flash_ratio: Spread
    """Of the reference's flash to the recipe's, above 1 where the recipe is smaller; geometric mean and standard deviation."""
    cycles_ratio: Spread
    """Likewise of cycles: above 1 where the recipe is faster."""
    difference_points: Spread
    """Accuracy less that of the reference, in percentage points; arithmetic mean and standard deviation."""
    tasks: int
    """Tasks in which the recipe was measured, with or without a reference."""


def headlines(rows: Rows) -> list[Headline]:
    """One per recipe, in the order of their names, over the rows given; the caller chooses those of equal effort.

    ``rows`` are those of ``kilobench.results.table.rows_of``. Each task counts once, with the mean over its rows (boards,
    networks), geometric for ratios; rows without a figure (NaN: no reference, or too large to run) do not count in it.
    """
    return [_headline(recipe, group) for (recipe,), group in grouped(rows, "recipe")]


def _headline(recipe: str, rows: Rows) -> Headline:
    return Headline(
        recipe=recipe,
        flash_ratio=_geometric(rows, "flash_ratio"),
        cycles_ratio=_geometric(rows, "cycles_ratio"),
        difference_points=_spread(_of_tasks(rows, "difference", lambda value: 100 * value)),
        tasks=len(distinct(rows, "task")),
    )


def _of_tasks(rows: Rows, name: str, figure: Callable[[float], float]) -> list[float]:
    """The mean over the rows of every task that has the figure of a column."""
    tasks = [[figure(value) for value in present(group, name)] for _, group in grouped(rows, "task")]
    return [float(np.mean(figures)) for figures in tasks if figures]


def _geometric(rows: Rows, name: str) -> Spread:
    """Geometric mean and standard deviation: those of the logarithms, and their exponentials."""
    logs = _spread(_of_tasks(rows, name, math.log))
    return Spread(math.exp(logs.mean), math.exp(logs.deviation), logs.tasks)


def _spread(figures: Sequence[float]) -> Spread:
    """Mean and standard deviation over the tasks, which are all there are (divisor n)."""
    mean = float(np.mean(figures)) if figures else math.nan
    deviation = float(np.std(figures)) if len(figures) > 1 else math.nan
    return Spread(mean, deviation, len(figures))
