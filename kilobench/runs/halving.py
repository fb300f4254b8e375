# SPDX-License-Identifier: Apache-2.0
"""Successive halving over candidates, on held-out training data: all are trained for a short while, the best of them for longer.

Jamieson and Talwalkar, arXiv 1502.07943; the rungs are those of Hyperband (Li et al., arXiv 1603.06560, section 3) with eta = 3.
Candidates come in batches, and the best third of all that a rung has seen goes on to the next, which is the rule of ASHA (Li et
al., arXiv 1810.05934, section 3): so there is an answer after the first batch, which more time makes better. A rung of a batch is
a run like any other (kilobench.runs.run), so that whatever is done is cached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rich.console import Console

from kilobench.contracts import Task, UserError
from kilobench.data.loading import VALIDATION_SHARE
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import change_training
from kilobench.plugins.suites import Suite
from kilobench.progress import clock
from kilobench.record import Record
from kilobench.results.contest import over_budget
from kilobench.runs import sizing
from kilobench.runs.intime import OutOfTime, SharedExecutor
from kilobench.runs.plan import Cell, Planner, Point
from kilobench.runs.run import Work, kept_record, run_cells, work_for
from kilobench.runs.space import Candidate

ETA = 3
"""A third of a rung goes on, to be trained three times as long."""


def lengths(task: Task, changes: str, rungs: int) -> list[str]:
    """Changes to a task's training, as in ``epochs=4``, for every rung; the last has the ``changes`` as they are.

    Each is a third as long as the next, and no shorter than an epoch, or a step; rungs that would be the same are one. It is the
    training that is shortened, whose multiples the effort is: every stage of a recipe keeps its share of the steps.
    """
    whole = change_training(task, changes)
    unit, length = ("steps", whole.steps) if whole.steps else ("epochs", whole.epochs)
    others = [part for part in changes.split(",") if part and part.split("=")[0].strip() not in ("steps", "epochs")]
    short = [max(1, round(length / ETA**exponent)) for exponent in range(rungs - 1, 0, -1)]
    kept = [before for before, after in pairwise([*short, length]) if before < after]
    return [*(",".join([*others, f"{unit}={count}"]) for count in kept), changes]


@dataclass
class Found:
    """What a search has found out so far."""

    rungs: list[dict[Candidate, Record]]
    """By rung, all that were trained so long, kept the budget, and were measured on held-out training data."""
    too_large: dict[Candidate, sizing.TooLarge] = field(default_factory=dict)
    left_out: dict[Candidate, str] = field(default_factory=dict)
    """Why nothing came of them."""
    complete: bool = False
    """Whether there was nothing left to try."""

    @property
    def reached(self) -> int:
        """The last rung that somebody was trained for; -1 if nobody was."""
        return max((index for index, rung in enumerate(self.rungs) if rung), default=-1)

    @property
    def best(self) -> Candidate:
        """Of that rung. Raises UserError where there is none."""
        if self.reached < 0:
            raise UserError("the time was over before any candidate was trained; what is done is kept, give more")
        return ranked(self.rungs[self.reached])[0]


def ranked(rung: dict[Candidate, Record]) -> list[Candidate]:
    """The most accurate first; of these the fastest, then the smallest, then the one that was tried first."""

    def place(candidate: Candidate) -> tuple[float, float, int]:
        record = rung[candidate]
        return -record.quality.mean, record.latency_ms or math.inf, record.flash_bytes

    return sorted(rung, key=place)


class Search:
    """Of candidates for one task, board, budget, seed and fold, which ``suite`` says; until the executor's deadline at most."""

    def __init__(
        self,
        suite: Suite,
        candidates: Sequence[Candidate],
        rungs: Sequence[str],
        registry: Registry,
        point: Callable[[Suite], Point],
        executor: SharedExecutor,
        console: Console,
        retry_failed: bool = False,
    ) -> None:
        """``rungs``: what each changes of the task's training. ``point``: that of a suite of one cell, as it is to be run."""
        self._suite, self._waiting, self._rungs = suite, list(candidates), list(rungs)
        self._registry, self._planner, self._point = registry, Planner(registry), point
        self._executor, self._console, self._retry_failed = executor, console, retry_failed
        self._points: dict[Candidate, Point] = {}
        self.found = Found([{} for _ in rungs])

    def run(self) -> Found:
        """Try them batch by batch until all are done, or the time is over; see Found for what is known then."""
        batch = ETA * math.ceil(self._executor.workers / ETA)
        try:
            while self._waiting:
                self._rung(0, self._fitting(batch))
                for index in range(1, len(self._rungs)):
                    before = ranked(self.found.rungs[index - 1])
                    self._rung(index, before[: math.ceil(len(before) / ETA)])
                if self.found.reached >= 0:
                    self._executor.reserve(whole_seconds(self.found))
            self.found.complete = True
        except OutOfTime:
            pass
        finally:
            self._executor.stop()
        return self.found

    def _fitting(self, count: int) -> list[Candidate]:
        """The next candidates of which some size keeps the budget."""
        fitting: list[Candidate] = []
        while self._waiting and len(fitting) < count:
            wanted = self._waiting[: count - len(fitting)]
            fitting += self._sized(wanted)
            del self._waiting[: len(wanted)]
        return fitting

    def _sized(self, wanted: Sequence[Candidate]) -> list[Candidate]:
        asked = {
            candidate: self._point(
                replace(self._suite, recipes=(candidate.recipe,), network=candidate.network, validation=True)
            )
            for candidate in wanted
        }
        searches = sizing.sizes(list(asked.values()), self._registry)
        work = sizing.unknown(searches)
        self._say(f"sizes of {len(wanted)} candidates", work)
        ends = dict(sizing.attempts(work, self._executor.of, self._console)) if work.units else {}
        failed = {key: failure.reason for key, failure in ends.items() if failure}
        for candidate, point in asked.items():
            if reason := failed.get(searches[point].key):
                self._leave_out(candidate, reason)
                continue
            fitting, too_large, _ = sizing.sized([point], searches)
            if fitting:
                self._points[candidate] = fitting[0]
            else:
                self.found.too_large[candidate] = too_large[0]
        return [candidate for candidate in wanted if candidate in self._points]

    def _rung(self, index: int, candidates: Sequence[Candidate]) -> None:
        """Train those that were not, and measure them on held-out training data."""
        known = self.found.rungs[index].keys() | self.found.left_out.keys()
        cells = {candidate: self._cell(candidate, index) for candidate in candidates if candidate not in known}
        if not cells:
            return
        work = work_for(list(cells.values()), retry_failed=self._retry_failed)
        length = self._rungs[index] or "the whole training"
        self._say(f"rung {index + 1} of {len(self._rungs)}, {length}: {len(cells)} candidates", work)
        try:
            done = run_cells(work, self._executor.of(work.units), None, self._console)
            failed = done.failed | done.skipped
            why = {key: failure.reason for key, (_, failure) in failed.items()}
            why |= {unsuited.key: unsuited.reason for unsuited in done.unsuited}
            reasons = {one: why[cell.key] for one, cell in cells.items() if cell.key in why}
            for candidate, reason in reasons.items():
                self._leave_out(candidate, reason)
            if self.found.reached < 0 and len(reasons) == len(cells) > len(set(reasons.values())) == 1:
                raise UserError(f"all of the first {len(cells)} candidates fail: {next(iter(reasons.values()))}")
        finally:  # of what is done when the time is over, too
            for candidate, cell in cells.items():
                if (record := kept_record(cell)) is None:
                    continue
                self.found.rungs[index][candidate] = record
                if over := _over(record):
                    self._leave_out(candidate, over)

    def _leave_out(self, candidate: Candidate, why: str) -> None:
        """What fails, or is too large, in one rung counts in none."""
        self.found.left_out[candidate] = why
        for rung in self.found.rungs:
            rung.pop(candidate, None)

    def _cell(self, candidate: Candidate, index: int) -> Cell:
        return self._planner.cell(replace(self._points[candidate], training=self._rungs[index]))

    def whole(self, candidate: Candidate) -> Cell:
        """Its run as it is published: trained on all training data, for as long as the task says, and tested on the test fold."""
        return self._planner.cell(replace(self._points[candidate], training=self._suite.training, validation=False))

    def _say(self, what: str, work: Work) -> None:
        to_do = sum(map(work.seconds, work.to_do())) / self._executor.workers
        self._console.print(
            f"{what}, {f'about {clock(to_do)}' if to_do else 'cached'}; {clock(self._executor.left)} left",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def whole_seconds(found: Found) -> float:
    """About how long the best takes when it is trained on all training data for as long as the task says."""
    record = found.rungs[found.reached][found.best]
    longer = ETA ** (len(found.rungs) - 1 - found.reached) / (1 - VALIDATION_SHARE)
    return longer * record.times.train_s + record.times.evaluate_s + record.times.build_s + record.times.run_s


def _over(record: Record) -> str:
    """What a trained model exceeds, though it kept its budget untrained; empty if nothing."""
    over = over_budget(record) if record.fits else "more than the board has"
    return f"trained, it is too large: {over}" if over else ""
