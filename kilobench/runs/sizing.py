# SPDX-License-Identifier: Apache-2.0
"""Points with a budget -> points that say how large their network is, found by building candidates before anything is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, cast

from rich.console import Console

from kilobench import record
from kilobench.contracts import CellError, Cost, UserError
from kilobench.files import read_kept
from kilobench.measuring.fitting import smallest_text
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, without_width
from kilobench.progress import OverallProgress
from kilobench.runs.executors import Executor, Failed
from kilobench.runs.plan import Planner, Point, Sizing
from kilobench.runs.run import Work, execute
from kilobench.runs.units import Costs, Unit, size_unit
from kilobench.runs.unsuited import NotSuited
from kilobench.toolchain import toolchain_name


@dataclass(frozen=True)
class TooLarge:
    """A point no size of which keeps its budget."""

    point: Point
    sizing: Sizing
    smallest: Cost

    @property
    def line(self) -> str:
        """What, and how large the smallest is."""
        what = f"{canonical(self.sizing.task)} {self._recipe}: no size keeps {self.point.budget}"
        return f"{what}; {smallest_text(self.smallest)}"

    @property
    def _recipe(self) -> str:
        return "+".join(map(canonical, self.sizing.methods))

    def row(self) -> record.TooLarge:
        """For the pages."""
        point, small = self.point, self.smallest
        return record.TooLarge(
            task=canonical(self.sizing.task),
            network=without_width(canonical(self.sizing.network)),
            training_changes=point.training,
            recipe=self._recipe,
            effort=point.effort,
            budget=point.budget,
            board=point.board,
            link=cast(Literal["emulator", "serial"], point.link.partition(":")[0]),
            toolchain=toolchain_name(point.toolchain),
            flash_bytes=small.flash_bytes,
            ram_bytes=small.ram_bytes,
            latency_ms=small.latency_ms if math.isfinite(small.latency_ms) else None,
        )


def sizes(points: Sequence[Point], registry: Registry) -> dict[Point, Sizing]:
    """The search for every point that has a budget; those of the same recipe and budget have the same."""
    planner = Planner(registry)
    return {point: planner.sizing(point) for point in points if point.budget}


def unknown(searches: dict[Point, Sizing]) -> Work:
    """The searches that have not been made yet."""
    found = {sizing.key: size_unit(point, sizing) for point, sizing in reversed(searches.items())}
    units = {key: unit for key, unit in reversed(found.items()) if read_kept(unit.path) is None}
    return Work([], [], {}, units, Costs())


def search(work: Work, executor: Callable[[dict[str, Unit]], Executor], console: Console) -> dict[str, str]:
    """Make them; returns, by key, why a method does not suit the network. Raises CellError where one fails, and UserError where
    the user can mend it."""
    unsuited: dict[str, str] = {}
    with closing(attempts(work, executor, console)) as ends:
        for key, failed in ends:
            if failed is not None and failed.unsuited:
                unsuited[key] = failed.reason
            elif failed is not None:
                error = CellError if failed.lasting else UserError
                raise error(f"{work.units[key].label}: {failed.reason}")
    return unsuited


def attempts(
    work: Work, executor: Callable[[dict[str, Unit]], Executor], console: Console
) -> Generator[tuple[str, Failed | None]]:
    """Make them; yields the end of each."""
    doing = executor(work.units)
    try:
        with OverallProgress(console, sum(map(work.seconds, work.units.values()))) as progress:
            yield from execute(work, doing, progress)
    finally:
        doing.close()


def sized(
    points: Sequence[Point], searches: dict[Point, Sizing], unsuited: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Point], list[TooLarge], list[NotSuited]]:
    """All points, with the networks that were found; those no size of which keeps their budget, and those whose methods do not
    suit the network, as ``search`` has found."""
    fitting, too_large, others = [], [], []
    for point in points:
        if point not in searches:
            fitting.append(point)
            continue
        sizing = searches[point]
        if reason := unsuited.get(sizing.key):
            others.append(NotSuited(sizing.key, point, sizing.task, sizing.network, sizing.methods, reason))
            continue
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
    return fitting, too_large, others
