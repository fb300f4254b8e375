# SPDX-License-Identifier: Apache-2.0
"""An executor for one work after another that has to be over by a deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from kilobench.runs.executors import Event, Executor, Finished
from kilobench.runs.space import Candidate
from kilobench.runs.units import Unit


class OutOfTime(Exception):
    """The moment has come at which a search ends."""


class SharedExecutor:
    """An executor (kilobench.runs.executors) for one work after another, until a deadline; it tells of measured cells alone."""

    def __init__(self, make: Callable[[dict[str, Unit]], Executor], workers: int, seconds: float) -> None:
        """``make``: an executor for some units, the first that there are to do. ``seconds``: from now to the deadline."""
        self._make, self.workers = make, max(1, workers)
        self._deadline = monotonic() + seconds
        self.reserved = 0.0
        """Seconds before the deadline that are for something else."""
        self._inner: Executor | None = None
        self._units: dict[str, Unit] = {}

    @property
    def left(self) -> float:
        """Seconds until the deadline, without those that are reserved."""
        return max(0.0, self._deadline - self.reserved - monotonic())

    def reserve(self, seconds: float) -> None:
        """Keep so many free at the end, in place of those before; none where there are not so many."""
        self.reserved = 0.0
        self.reserved = seconds if self.left >= seconds else 0.0

    def of(self, units: dict[str, Unit]) -> Executor:
        """The executor, made where there is something to do."""
        if units and self._inner is None:
            self._inner = self._make(units)
        return self

    def free(self) -> bool:
        """See Executor."""
        assert self._inner is not None
        return self._inner.free()

    def submit(self, unit: Unit) -> None:
        """See Executor."""
        assert self._inner is not None
        self._units[unit.key] = unit
        self._inner.submit(unit)

    def events(self) -> list[Event]:
        """See Executor. Raises OutOfTime after the deadline."""
        assert self._inner is not None
        if not self.left:
            raise OutOfTime
        return [self._told(event) if isinstance(event, Finished) else event for event in self._inner.events()]

    def close(self) -> None:
        """See Executor: but there is more work to come."""

    def stop(self) -> None:
        """Stop everything at once; trainings that are cut go on from their checkpoints another time."""
        if self._inner is not None:
            self._inner.close()

    def _told(self, event: Finished) -> Finished:
        unit = self._units.pop(event.key)
        if event.line is None:
            return event
        tried = Candidate(unit.point.network or "", unit.point.recipe).label
        return replace(event, line=f"  {tried}: {event.line.rpartition(': ')[2]}" if unit.kind == "measure" else "")
