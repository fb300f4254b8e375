# SPDX-License-Identifier: Apache-2.0
"""Points whose methods have said that they do not suit the network: rows, no failures."""

from __future__ import annotations

from dataclasses import dataclass

from kilobench import record
from kilobench.contracts import Method, Network, Task
from kilobench.plugins.spec import canonical, without_width
from kilobench.runs.plan import Cell, Point


@dataclass(frozen=True)
class NotSuited:
    """A point one of whose methods does not suit the network, and why."""

    key: str
    """Of its cell, or of the search for its size."""
    point: Point
    task: Task
    network: Network
    methods: tuple[Method, ...]
    reason: str

    @property
    def line(self) -> str:
        """What, and why."""
        return f"not suited: {canonical(self.task)} {self._recipe} ({self._network}): {self.reason}"

    @property
    def _recipe(self) -> str:
        return "+".join(map(canonical, self.methods))

    @property
    def _network(self) -> str:
        name = canonical(self.network)
        return without_width(name) if self.point.budget else name

    def row(self) -> record.Unsuited:
        """For the pages."""
        return record.Unsuited(
            task=canonical(self.task), network=self._network, recipe=self._recipe, reason=self.reason
        )


def not_suited(cell: Cell, reason: str) -> NotSuited:
    """A cell that comes to nothing."""
    model = cell.model
    return NotSuited(cell.key, cell.point, model.task, model.network, model.methods, reason)
