# SPDX-License-Identifier: Apache-2.0
"""Units done by a Ray cluster: training asks for CPUs and a GPU, measuring for the board that a host announces.

Hosts share no files: what a unit reads travels with it, and what it makes comes back into the cache of the host that started
the run. A host that has a board is joined by ``ray start --address=... --resources='{"board:nucleo_l476rg": 1}'``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from kilobench.contracts import UserError
from kilobench.files import intact, write_atomically, write_kept
from kilobench.lines import one_line
from kilobench.paths import PLUGINS_VARIABLE, cache_dir
from kilobench.runs.executors import (
    Event,
    Failed,
    Limits,
    Progressed,
    attempt,
    limit_memory,
    log_path,
    logged,
    workshop,
)
from kilobench.runs.units import Unit

_VARIABLES = ("KILOBENCH_ALLOW_PARTIAL", "KILOBENCH_DATA")
"""Of the environment, that the hosts need as well."""
_ATTEMPTS = 3
"""Of a unit whose host dies."""
_IN_FLIGHT = 1000


@dataclass
class _Task:
    """A unit on its way."""

    unit: Unit
    attempts: int
    began: float | None = None
    """When its host began it."""


class RayExecutor:
    """See kilobench.runs.executors.Executor. ``address`` as of ray.init: a cluster's, "auto", or "local" for one of its own.

    ``sources``: where plug-ins are (load_registry), on every host.
    """

    def __init__(self, address: str, limits: Limits, sources: Sequence[str] = ()) -> None:
        try:
            import ray
            from ray.util.queue import Queue
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError:
            raise UserError("--ray needs Ray: pip install 'kilobench[ray]'") from None
        self._ray: Any = ray
        self._limits, self._sources = limits, tuple(sources)
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ} | {PLUGINS_VARIABLE: ""}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": variables})
        except ConnectionError as error:
            raise UserError(f"--ray {address}: {str(error).splitlines()[0]}") from None
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._said = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._tasks: dict[Any, _Task] = {}

    def free(self) -> bool:
        """Ray has a queue of its own."""
        return len(self._tasks) < _IN_FLIGHT

    def submit(self, unit: Unit) -> None:
        """See Executor. Raises UserError where no host announces the board of a unit that needs a real one."""
        self._submit(unit, 1)

    def _submit(self, unit: Unit, attempts: int) -> None:
        there = [name for name in (*unit.inputs, unit.product) if intact(cache_dir() / name)]
        files = {name: (cache_dir() / name).read_bytes() for name in there}
        calls = 1 if unit.plugins else 0  # of a process: it ends after a unit with plug-ins; 0: it lasts
        do = self._ray.remote(max_calls=calls)(_do).options(max_retries=0, **self._resources(unit))
        reference = do.remote(unit, files, self._limits.bytes, self._said, self._sources)
        self._tasks[reference] = _Task(unit, attempts)

    def _resources(self, unit: Unit) -> dict[str, Any]:
        announced = self._ray.cluster_resources()
        if unit.kind == "train":
            return {"num_cpus": min(unit.point.threads, announced["CPU"]), "num_gpus": int("GPU" in announced)}
        board = f"board:{unit.point.board}"
        if unit.kind == "measure" and board in announced:
            return {"num_cpus": 0, "resources": {board: 1}}
        if unit.on_real_board:
            raise UserError(f"no host of the Ray cluster announces {board}; it has {_boards(announced)}")
        return {"num_cpus": 1}

    def events(self) -> list[Event]:
        """See Executor."""
        done, _ = self._ray.wait(list(self._tasks), timeout=0.5)
        events: list[Event] = [event for reference in done for event in self._end(reference)]
        running = {task.unit.key: task for task in self._tasks.values()}
        for said in self._said.get_nowait_batch(self._said.qsize()):
            if (task := running.get(said.key)) is not None:
                task.began = task.began or monotonic()
                events.append(said)
        return events + [event for reference in list(self._tasks) for event in self._overdue(reference)]

    def _end(self, reference: Any) -> list[Event]:
        """What a task came to; it is begun again, on another host, if its own has died."""
        errors = self._ray.exceptions
        task = self._tasks.pop(reference)
        try:
            event, files = self._ray.get(reference)
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError):
            if task.attempts < _ATTEMPTS:
                self._submit(task.unit, task.attempts + 1)
                return []
            return [Failed(task.unit.key, f"its host died {_ATTEMPTS} times", lasting=False)]
        except errors.WorkerCrashedError:
            return [Failed(task.unit.key, "the worker process ended", lasting=True)]
        except errors.RayError as error:
            return [Failed(task.unit.key, f"Ray: {one_line(str(error).splitlines()[-1])}", lasting=False)]
        for name, content in files.items():
            (write_kept if name == task.unit.product else write_atomically)(cache_dir() / name, content)
        return [event]

    def _overdue(self, reference: Any) -> list[Event]:
        task = self._tasks[reference]
        if task.began is None or monotonic() - task.began < self._limits.seconds:
            return []
        del self._tasks[reference]
        self._ray.cancel(reference, force=True)
        return [self._limits.exceeded(task.unit)]

    def close(self) -> None:
        """See Executor."""
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _boards(announced: dict[str, float]) -> str:
    return ", ".join(sorted(name for name in announced if name.startswith("board:"))) or "no boards"


def _do(
    unit: Unit, files: dict[str, bytes], memory: int, said: Any, sources: tuple[str, ...]
) -> tuple[Event, dict[str, bytes]]:
    """On a host: put what the unit reads into its cache, do it, and give back what it made, or wrote before it failed."""
    say: Callable[[Progressed], None] = said.put
    say(Progressed(unit.key, f"on {socket.gethostname()}", 0.0, 1.0))
    limit_memory(memory)
    for name, content in files.items():
        if not intact(cache_dir() / name):
            write_kept(cache_dir() / name, content)
    with logged(unit.key):
        event = attempt(unit, partial(workshop, sources, unit.plugins), say)
    made = log_path(unit.key) if isinstance(event, Failed) else unit.path
    return event, {str(made.relative_to(cache_dir())): made.read_bytes()} if made.is_file() else {}
