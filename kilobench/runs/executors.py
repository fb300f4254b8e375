# SPDX-License-Identifier: Apache-2.0
"""Where units are done: in this process, or in worker processes that may loop, leak or crash without harm to the run."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import connection, get_context
from time import monotonic
from typing import Any, Protocol

from kilobench.contracts import CellError, PassingError, Unsuited, UserError
from kilobench.files import DISK_FULL, NO_MEMORY, lacking, waited
from kilobench.lines import one_line, reason
from kilobench.paths import log_path
from kilobench.plugins.registry import load_registry
from kilobench.runs.units import Unit
from kilobench.scratch import disks, process_folder

GIB = 1 << 30
_SAY_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1
_OWN_CRASHES = ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
"""Signals by which a process dies of itself; by others it is killed, or its disk was full (SIGBUS, of mapped files)."""


class Step(Protocol):
    """What processes do: a unit of a run, or other work that says as much of itself."""

    @property
    def key(self) -> str:
        """Tells it from others."""
        ...

    @property
    def plugins(self) -> tuple[str, ...]:
        """Modules from outside this project that it needs."""
        ...

    @property
    def on_real_board(self) -> bool:
        """Whether it needs one, which may be unplugged, or in use."""
        ...


@dataclass(frozen=True)
class Limits:
    """What one unit may take."""

    seconds: float = 12 * 3600.0
    bytes: int = 0
    """Of data memory of a worker process; 0 for all that the machine has."""

    def exceeded(self, unit: Step) -> Failed:
        """How a unit ends that takes too long."""
        return Failed(unit.key, f"it took longer than {self.seconds:g} s (--time-limit)", lasting=True)

    def died(self, unit: Step, code: int) -> Failed:
        """How a unit ends whose process does; ``code`` as of multiprocessing, negative for a signal.

        Who kills it (the system, where memory is short, or a person) says nothing of the unit: that passes. A crash of its own is
        tried once more as well, but lasts.
        """
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"it exited with {code}"
        if code == -signal.SIGKILL:
            how += " from outside, as for want of memory"
        elif self.bytes:
            how += " (--memory-limit?)"
        lasting = code >= 0 or signal.Signals(-code).name in _OWN_CRASHES
        return Failed(unit.key, f"the worker process ended: {how}", lasting, passing=code < 0)


@dataclass(frozen=True)
class Progressed:
    """How far a unit is: a text, and ``done`` of ``total``."""

    key: str
    text: str
    done: float
    total: float
    waits: bool = False
    """For another process, that makes the same or has the board: this is no time of its own."""


@dataclass(frozen=True)
class Finished:
    """A unit's product is there."""

    key: str
    line: str | None
    """For people; None if there was nothing to do."""
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A unit ended without product."""

    key: str
    reason: str
    lasting: bool
    """Whether it would end so again: not, where the user can mend it (no data, no toolchain, no board)."""
    passing: bool = False
    """Whether it may end otherwise at once: the run tries it once more."""
    unsuited: bool = False
    """Whether a method has said that it does not suit the network."""
    recipes: Mapping[str, str] = field(default_factory=dict)
    """Of those that need a first training, the ones that do not suit the network, with why; others fail for ``reason``."""

    def of(self, recipe: str) -> Failed:
        """The same for one recipe."""
        why = self.recipes.get(recipe)
        return replace(self, reason=why or self.reason, unsuited=why is not None) if self.recipes else self


Event = Progressed | Finished | Failed


class Clock:
    """Seconds that a unit has taken, without those in which it waits for others."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = monotonic()

    def heard(self, event: Progressed) -> None:
        """Stand still while it waits."""
        self._before, self._since = self.seconds, None if event.waits else monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + (0.0 if self._since is None else monotonic() - self._since)


class Executor(Protocol):
    """Does units whose needs are done."""

    def free(self) -> bool:
        """Whether one more unit would be begun at once."""
        ...

    def submit(self, unit: Unit) -> None:
        """Begin a unit, while free."""
        ...

    def events(self) -> list[Event]:
        """What has happened; waits for something to happen, up to a second."""
        ...

    def close(self) -> None:
        """Stop everything at once."""
        ...


@cache
def workshop(sources: tuple[str, ...], plugins: tuple[str, ...]) -> Any:
    """What does units in this process: nothing but ``plugins`` is imported of what there is in ``sources`` (load_registry)."""
    from kilobench.runs.work import Workshop

    return Workshop(load_registry(sources, plugins))


def attempt(unit: Step, made: Callable[[], Any], say: Any) -> Finished | Failed:
    """Do a unit in the workshop that is made for it; every exception becomes a Failed. ``say`` gets a Progressed now and then."""
    start, said = monotonic(), -1.0

    def progress(text: str, done: float, total: float) -> None:
        nonlocal said
        if monotonic() - said > _SAY_SECONDS:
            said = monotonic()
            say(Progressed(unit.key, one_line(text), float(done), float(total)))

    def tell(waits: bool) -> None:
        say(Progressed(unit.key, "waiting for another worker or run" if waits else "", 0.0, 1.0, waits))

    try:
        with waited(tell):
            return Finished(unit.key, made().do(unit, progress), monotonic() - start)
    except Unsuited as error:
        recipes = {recipe: one_line(why) for recipe, why in error.recipes.items()}
        return Failed(unit.key, one_line(str(error)), lasting=not recipes, unsuited=True, recipes=recipes)
    except UserError as error:
        return Failed(unit.key, one_line(str(error)), lasting=False, passing=isinstance(error, PassingError))
    except CellError as error:
        return Failed(unit.key, one_line(str(error)), lasting=not unit.on_real_board)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in's mistake must not take the other cells with it
        if not isinstance(error, OSError | MemoryError):
            traceback.print_exc()
        return _ended(unit, error)


def _ended(unit: Step, error: BaseException) -> Failed:
    """How a unit ends that raises what it should not; PyTorch has errors of its own where memory or disk are short."""
    short = isinstance(error, MemoryError)
    lacked = NO_MEMORY if short else lacking(error if isinstance(error, OSError) else reason(error))
    if lacked == NO_MEMORY and _is_limited():
        return Failed(unit.key, f"{NO_MEMORY} (--memory-limit)", lasting=True)
    if lacked:
        where = getattr(error, "filename", None) or (disks() if lacked == DISK_FULL else reason(error))
        return Failed(unit.key, f"{lacked}: {where}", lasting=False, passing=True)
    return Failed(unit.key, reason(error), lasting=not isinstance(error, OSError))


def attempt_logged(unit: Step, made: Callable[[], Any], say: Any) -> Finished | Failed:
    """``attempt``, and what is written meanwhile goes to the unit's log."""
    try:
        with logged(unit.key):
            return attempt(unit, made, say)
    except KeyboardInterrupt as error:  # of a plug-in's
        return Failed(unit.key, reason(error), lasting=True)
    except OSError as error:  # of the log
        lacked = lacking(error)
        return Failed(unit.key, f"{lacked or error.strerror}: {error.filename}", lasting=False, passing=bool(lacked))


class InProcess:
    """One unit at a time in this process: for a debugger. Nothing is contained, so that it is not for units with plug-ins."""

    def __init__(self, workshop: Any) -> None:
        """``workshop``: what does units, as kilobench.runs.work.Workshop."""
        self._workshop = workshop
        self._next: Step | None = None

    def free(self) -> bool:
        """See Executor."""
        return self._next is None

    def submit(self, unit: Step) -> None:
        """See Executor."""
        self._next = unit

    def events(self) -> list[Event]:
        """Does the unit."""
        unit, self._next = self._next, None
        events: list[Event] = []
        if unit is not None:
            events.append(attempt(unit, lambda: self._workshop, events.append))
        return events

    def close(self) -> None:
        """See Executor."""


class Processes:
    """Some worker processes on this machine, each with a pipe of its own: one that is killed takes nothing with it.

    (Pools that share a queue among workers share its lock, which a killed worker never gives back.) A unit with plug-ins gets a
    process of its own, since their code may change whatever it likes in it; the others share those that last.
    """

    def __init__(
        self, count: int, limits: Limits, sources: Sequence[str] = (), made: Callable[..., Any] = workshop
    ) -> None:
        """``count`` units at a time; ``sources``: where plug-ins are (load_registry). Raises UserError without Linux.

        ``made``: a function of a module, as ``workshop``, that makes what does units in a worker.
        """
        if sys.platform != "linux":
            raise UserError("worker processes need Linux; --workers 0 does all in this one")
        self._count, self._limits, self._made = count, limits, partial(made, tuple(sources))
        self._workers: list[_Worker] = []

    def free(self) -> bool:
        """See Executor."""
        return sum(worker.unit is not None for worker in self._workers) < self._count

    def submit(self, unit: Step) -> None:
        """See Executor."""
        worker = next((worker for worker in self._workers if worker.unit is None), None)
        if worker is None or unit.plugins:
            worker = _Worker(self._limits, self._made)
            self._workers.append(worker)
        worker.begin(unit)

    def events(self) -> list[Event]:
        """See Executor."""
        busy = {worker.pipe: worker for worker in self._workers if worker.unit is not None}
        ready = connection.wait(list(busy), timeout=1.0)
        events = [event for pipe in ready for event in busy[pipe].receive()]
        events += [event for worker in self._workers for event in worker.overdue()]
        for worker in [worker for worker in self._workers if worker.spent]:
            worker.stop()
            self._workers.remove(worker)
        return events

    def close(self) -> None:
        """See Executor."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    """One process, started when it is first needed, and again after it has died."""

    def __init__(self, limits: Limits, made: Callable[..., Any]) -> None:
        self.unit: Step | None = None
        self.pipe: Any = None
        self._process: Any = None
        self._limits, self._made = limits, made
        self._clock = Clock()
        self._plugins = False

    @property
    def spent(self) -> bool:
        """Whether it has done a unit with plug-ins, and is good for nothing else."""
        return self._plugins and self.unit is None

    def begin(self, unit: Step) -> None:
        """Raises PassingError where the machine has no room for one more process."""
        if self._process is None:
            self._start()
        self.unit, self._clock, self._plugins = unit, Clock(), bool(unit.plugins)
        with suppress(OSError):  # a process that died meanwhile is noticed by receive()
            self.pipe.send(unit)

    def _start(self) -> None:
        """With Ctrl-C held back: it is for the parent, which is to know of the process by then."""
        context = get_context("spawn")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self.pipe, theirs = context.Pipe()
            arguments = theirs, os.getpid(), self._limits.bytes, self._made
            process = context.Process(target=_serve, args=arguments, daemon=False)
            process.start()
            theirs.close()
            self._process = process
        except OSError as error:
            raise PassingError(f"no worker process can be started: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def receive(self) -> list[Event]:
        """One message, or the end of the process."""
        assert self.unit is not None
        try:
            event: Event = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code, unit = self._process.exitcode, self.unit
            self.stop()
            return [self._limits.died(unit, code)]
        if isinstance(event, Progressed):
            self._clock.heard(event)
        else:
            self.unit = None
        if isinstance(event, Failed):
            self.stop()  # whatever it has left behind in the process goes with it
        return [event]

    def overdue(self) -> list[Event]:
        """Stops the process if its unit takes too long."""
        if self.unit is None or self._clock.seconds < self._limits.seconds:
            return []
        unit = self.unit
        self.stop()
        return [self._limits.exceeded(unit)]

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started
            self._process.kill()
            self._process.join()
            self.pipe.close()
        self._process, self.unit = None, None


def _serve(pipe: Any, parent: int, memory: int, made: Callable[..., Any]) -> None:
    """A worker process: units come in, events go out. It ends with its parent, however that ends."""
    os.setsid()  # a group of its own, which ends with it; and Ctrl-C is for the parent
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    settle()
    limit_memory(memory)
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt_logged(unit, partial(made, unit.plugins), pipe.send))


def settle() -> None:
    """Let a process that does units write any text to its log, and have its temporary files go when it ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    tempfile.tempdir = os.environ["TMPDIR"] = str(process_folder())


def _is_limited() -> bool:
    """Whether this process has a limit of memory."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def limit_memory(size: int) -> None:
    """Let this process have so many bytes of data memory; 0 for no limit."""
    if size:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


@contextmanager
def logged(key: str) -> Iterator[None]:
    """Everything written to standard output and error meanwhile, by C as well, goes to the unit's log."""
    path = log_path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = [os.dup(1), os.dup(2)]
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # code of plug-ins may have put anything there
                stream.flush()
        for number, handle in enumerate(saved, 1):
            os.dup2(handle, number)
            os.close(handle)
        os.close(log)
        with suppress(FileNotFoundError):  # another run that waited for the same unit has put the empty log away
            if not path.stat().st_size:
                path.unlink()
