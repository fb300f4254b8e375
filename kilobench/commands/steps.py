# SPDX-License-Identifier: Apache-2.0
"""Steps for the models of a leaderboard, done in worker processes, with the progress of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from kilobench.plugins.registry import Registry
from kilobench.progress import OverallProgress
from kilobench.results.store import Store
from kilobench.runs import executors
from kilobench.runs.executors import Failed, Finished, InProcess, Limits, Processes, Progressed


class Step(executors.Step, Protocol):
    """What is to be done for a model."""

    @property
    def task(self) -> str:
        """Of the model."""
        ...

    @property
    def label(self) -> str:
        """For people."""
        ...

    @property
    def seconds(self) -> float:
        """That it may take."""
        ...


AnyStep = TypeVar("AnyStep", bound=Step)


def executor_for(
    steps: Sequence[Step],
    store: Store,
    registry: Registry,
    workers: int,
    here: Callable[[Store, Registry], Any],
    there: Callable[..., Any],
) -> InProcess | Processes:
    """What does them, ``workers`` at a time; 0: in this process, where no plug-ins are needed.

    What does a step is made by ``here`` in this process, and by ``there`` in a worker, as kilobench.results.renew has both.
    """
    if workers or any(step.plugins for step in steps):
        return Processes(workers or 1, Limits(), registry.plugins, partial(there, store.folder))
    return InProcess(here(store, registry))


def done(
    steps: Sequence[AnyStep], executor: InProcess | Processes, progress: OverallProgress
) -> Iterator[tuple[AnyStep, Finished | Failed]]:
    """Do all of them, and say how each ended; when the last of a task is done, a line says so."""
    waiting, busy = list(reversed(steps)), dict[str, AnyStep]()
    left = Counter(one.task for one in steps)
    try:
        while waiting or busy:
            if waiting and executor.free():
                one = waiting.pop()
                busy[one.key] = one
                progress.begin(one.key, one.label, one.seconds)
                executor.submit(one)
                continue
            for event in executor.events():
                if isinstance(event, Progressed):
                    progress.update(event.key, event.text, event.done, event.total)
                    continue
                step = busy.pop(event.key)
                yield step, event
                left[step.task] -= 1
                progress.end(event.key, None if left[step.task] else f"{step.task} done")
    finally:
        executor.close()
