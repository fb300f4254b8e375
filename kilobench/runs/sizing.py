# SPDX-License-Identifier: Apache-2.0
"""Points with a budget -> points that say how large their network is, found by building candidates before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from kilobench.contracts import CellError, Cost, UserError
from kilobench.files import read_kept
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical
from kilobench.progress import OverallProgress
from kilobench.runs.executors import Executor
from kilobench.runs.plan import Planner, Point, Sizing
from kilobench.runs.run import Work, execute
from kilobench.runs.units import Costs, Unit, size_unit


@dataclass(frozen=True)
class TooLarge:
    """A point no size of which keeps its budget."""

    point: Point
    sizing: Sizing
    smallest: Cost

    @property
    def reason(self) -> str:
        """For people: what it is, and by how much the smallest size misses the budget."""
        from kilobench.measure.size import Sized
        from kilobench.runs.work import too_large

        point, recipe = self.point, "+".join(map(canonical, self.sizing.methods))
        where = f"on {point.board}, seed {point.seed}, fold {point.fold}"
        found = Sized(0.0, self.smallest, keeps=False)
        return f"{canonical(self.sizing.task)} {recipe} {where}: {too_large(found, self.sizing.budget)}"


def sizes(points: Sequence[Point], registry: Registry) -> dict[Point, Sizing]:
    """The search for every point that has a budget; those of the same recipe and budget have the same."""
    planner = Planner(registry)
    return {point: planner.sizing(point) for point in points if point.budget}


def unknown(searches: dict[Point, Sizing]) -> Work:
    """The searches that have not been made yet."""
    found = {sizing.key: size_unit(point, sizing) for point, sizing in reversed(searches.items())}
    units = {key: unit for key, unit in reversed(found.items()) if read_kept(unit.path) is None}
    return Work([], [], {}, units, Costs())


def search(work: Work, executor: Callable[[dict[str, Unit]], Executor], console: Console) -> None:
    """Make them. Raises CellError where one fails, and UserError where the user can mend it."""
    doing = executor(work.units)
    try:
        with OverallProgress(console, sum(map(work.seconds, work.units.values()))) as progress:
            for key, failed in execute(work, doing, progress):
                if failed is not None:
                    error = CellError if failed.lasting else UserError
                    raise error(f"{work.units[key].label}: {failed.reason}")
    finally:
        doing.close()


def sized(points: Sequence[Point], searches: dict[Point, Sizing]) -> tuple[list[Point], list[TooLarge]]:
    """All points, with the networks that were found, and those no size of which keeps their budget."""
    fitting, too_large = [], []
    for point in points:
        if point not in searches:
            fitting.append(point)
            continue
        sizing = searches[point]
        content = read_kept(size_unit(point, sizing).path)
        assert content is not None
        found = json.loads(content)
        if not found["keeps"]:
            too_large.append(TooLarge(point, sizing, Cost(**found["cost"])))
        elif found["size"]:
            network = replace(sizing.network, width=found["size"])  # type: ignore[call-arg]
            fitting.append(replace(point, network=canonical(network)))
        else:
            fitting.append(replace(point, network=canonical(sizing.network)))
    return fitting, too_large
