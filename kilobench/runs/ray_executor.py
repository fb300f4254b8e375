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
from typing import Any

from kilobench.contracts import UserError
from kilobench.extras import needed
from kilobench.files import intact, write_atomically, write_kept
from kilobench.lines import one_line
from kilobench.paths import PLUGINS_VARIABLE, cache_dir, log_path
from kilobench.runs.executors import (
    Clock,
    Event,
    Failed,
    Limits,
    Progressed,
    attempt_logged,
    limit_memory,
    settle,
    workshop,
)
from kilobench.runs.units import Unit

_VARIABLES = ("KILOBENCH_ALLOW_PARTIAL", "KILOBENCH_DATA")
"""Of the environment, that the hosts need as well."""
_IN_FLIGHT = 1000
_LOCAL = "local"
"""The address of a cluster of one's own, on this machine."""


@dataclass
class _Task:
    """A unit on its way."""

    unit: Unit
    clock: Clock | None = None
    """Since its host began it."""


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
            raise needed("ray", "--ray") from None
        self._ray: Any = ray
        self._limits, self._sources = limits, tuple(sources)
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ} | {PLUGINS_VARIABLE: ""}
        if address == _LOCAL:
            os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: whatever else runs here would come first
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
        """See Executor. Raises UserError where no host has the board or the CPUs that a unit needs."""
        there = [name for name in (*unit.inputs, *unit.files) if intact(cache_dir() / name)]
        files = {name: (cache_dir() / name).read_bytes() for name in there}
        calls = 1 if unit.plugins else 0  # of a process: it ends after a unit with plug-ins; 0: it lasts
        do = self._ray.remote(max_calls=calls)(_do).options(max_retries=0, **self._resources(unit))
        try:
            reference = do.remote(unit, files, self._limits.bytes, self._said, self._sources)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise UserError(_of_ray(error)) from None
        self._tasks[reference] = _Task(unit)

    def _resources(self, unit: Unit) -> dict[str, Any]:
        announced = self._ray.cluster_resources()
        if unit.kind == "train":
            if not announced.get("CPU"):
                raise UserError("no host of the Ray cluster has CPUs")
            return {"num_cpus": min(unit.point.threads, announced["CPU"]), "num_gpus": int("GPU" in announced)}
        board = f"board:{unit.point.board}"
        if unit.kind == "measure" and board in announced:
            return {"num_cpus": 0, "resources": {board: 1}}
        if unit.on_real_board:
            raise UserError(f"no host of the Ray cluster announces {board}; it has {_boards(announced)}")
        return {"num_cpus": 1}

    def events(self) -> list[Event]:
        """See Executor."""
        try:
            return self._events()
        except (self._ray.exceptions.RayError, ConnectionError) as error:  # of the cluster itself
            lost = [Failed(task.unit.key, _of_ray(error), lasting=False) for task in self._tasks.values()]
            self._tasks.clear()
            return list(lost)

    def _events(self) -> list[Event]:
        done, _ = self._ray.wait(list(self._tasks), timeout=0.5)
        events: list[Event] = [event for reference in done for event in self._end(reference)]
        running = {task.unit.key: task for task in self._tasks.values()}
        for said in self._said.get_nowait_batch(self._said.qsize()):
            if (task := running.get(said.key)) is not None:
                task.clock = task.clock or Clock()
                task.clock.heard(said)
                events.append(said)
        return events + [event for reference in list(self._tasks) for event in self._overdue(reference)]

    def _end(self, reference: Any) -> list[Event]:
        """What a task came to."""
        errors = self._ray.exceptions
        task = self._tasks.pop(reference)
        try:
            event, files = self._ray.get(reference)
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError):
            return [Failed(task.unit.key, "its host died", lasting=False, passing=True)]
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            return [Failed(task.unit.key, "the worker process ended", lasting=False, passing=True)]
        except errors.RayError as error:
            return [Failed(task.unit.key, _of_ray(error), lasting=False)]
        for name, content in files.items():
            (write_kept if name in task.unit.files else write_atomically)(cache_dir() / name, content)
        return [event]

    def _overdue(self, reference: Any) -> list[Event]:
        task = self._tasks[reference]
        if task.clock is None or task.clock.seconds < self._limits.seconds:
            return []
        del self._tasks[reference]
        self._ray.cancel(reference, force=True)
        return [self._limits.exceeded(task.unit)]

    def close(self) -> None:
        """See Executor."""
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _of_ray(error: Exception) -> str:
    return f"Ray: {one_line(str(error).splitlines()[-1] if str(error) else type(error).__name__)}"


def _boards(announced: dict[str, float]) -> str:
    return ", ".join(sorted(name for name in announced if name.startswith("board:"))) or "no boards"


def _do(
    unit: Unit, files: dict[str, bytes], memory: int, said: Any, sources: tuple[str, ...]
) -> tuple[Event, dict[str, bytes]]:
    """On a host: put what the unit reads into its cache, do it, and give back what it made, or wrote before it failed."""
    say: Callable[[Progressed], None] = said.put
    say(Progressed(unit.key, f"on {socket.gethostname()}", 0.0, 1.0))
    settle()
    limit_memory(memory)

    def made_ready() -> Any:
        for name, content in files.items():
            if not intact(cache_dir() / name):
                write_kept(cache_dir() / name, content)
        return workshop(sources, unit.plugins)

    event = attempt_logged(unit, made_ready, say)
    log = str(log_path(unit.key).relative_to(cache_dir()))
    made = [name for name in ([log] if isinstance(event, Failed) else unit.files) if (cache_dir() / name).is_file()]
    return event, {name: (cache_dir() / name).read_bytes() for name in made}
