# SPDX-License-Identifier: Apache-2.0
"""What passes is told, tried once more and not remembered: a full disk, want of memory, a worker that is killed."""

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest
from rich.console import Console

from kilobench.contracts import CellError, PassingError, UserError
from kilobench.files import locked, waited, write_atomically
from kilobench.plugins.registry import load_registry
from kilobench.progress import OverallProgress
from kilobench.runs.executors import Clock, Event, Failed, Finished, Limits, Progressed, attempt
from kilobench.runs.plan import plan, points
from kilobench.runs.run import Work, execute, kept_failure
from kilobench.runs.suite import Suite
from kilobench.runs.units import Costs, Unit, units
from kilobench.toolchain import failure


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    suite, registry = Suite(title="t", tasks=("digits",), recipes=("full",), boards=("nucleo_l476rg",)), load_registry()
    return next(iter(units(plan(points(suite, registry, "emulator", "zig"), registry)).values()))


class Scripted:
    """An executor whose attempts end one after the other as they are to."""

    def __init__(self, *ends: Callable[[str], Finished | Failed]) -> None:
        self._ends = list(ends)
        self._begun: list[Unit] = []

    def free(self) -> bool:
        return not self._begun

    def submit(self, unit: Unit) -> None:
        self._begun.append(unit)

    def events(self) -> list[Event]:
        return [self._ends.pop(0)(self._begun.pop().key)]

    def close(self) -> None:
        pass


def passing(key: str) -> Failed:
    return Failed(key, "disk full", lasting=False, passing=True)


def crashed(key: str) -> Failed:
    return Failed(key, "killed by SIGSEGV", lasting=True, passing=True)


def done(key: str) -> Finished:
    return Finished(key, "done", 1.0)


@pytest.mark.parametrize(
    ("ends", "fails", "remembered"),
    [
        ((passing, done), False, False),
        ((crashed, done), False, False),
        ((passing, passing), True, False),
        ((passing, crashed), True, True),
        ((crashed, crashed), True, True),
    ],
)
def test_what_passes_is_tried_once_more(
    ends: tuple[Callable[[str], Finished | Failed], ...], fails: bool, remembered: bool, unit: Unit
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    work = Work([], [], {}, {unit.key: unit}, Costs())
    with OverallProgress(console, 1) as progress:
        ((_, failed),) = execute(work, Scripted(*ends), progress)
    assert (failed is not None) == fails
    assert (kept_failure(unit.key) is not None) == remembered
    assert out.getvalue().count("it is tried once more") == 1


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there")
ENDS: list[tuple[BaseException, str, bool, bool]] = [
    (FULL, "disk full: /there", False, True),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk full: the cache ", False, True),
    (PassingError("disk full: /there"), "disk full: /there", False, True),
    (RuntimeError("DefaultCPUAllocator: Error code 12 (Cannot allocate memory)"), "not enough memory: ", False, True),
    (MemoryError(), "not enough memory: MemoryError", False, True),
    (PermissionError(errno.EACCES, "Permission denied", "/there"), "PermissionError: ", False, False),
    (UserError("no data"), "no data", False, False),
    (CellError("does not compile"), "does not compile", True, False),
    (ValueError("x"), "ValueError: x", True, False),
]


@pytest.mark.parametrize(("error", "reason", "lasting", "passes"), ENDS, ids=lambda value: str(value)[:30])
def test_why_a_unit_ends(error: BaseException, reason: str, lasting: bool, passes: bool, unit: Unit) -> None:
    def fails() -> None:
        raise error

    failed = attempt(unit, fails, lambda event: None)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith(reason)
    assert (failed.lasting, failed.passing) == (lasting, passes)


@pytest.mark.parametrize("code", [*(-number for number in signal.valid_signals() if number < signal.SIGRTMIN), 1, 3])
def test_only_a_crash_of_its_own_lasts(code: int, unit: Unit) -> None:
    died = Limits().died(unit, code)
    own = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
    assert (died.lasting, died.passing) == (code > 0 or -code in own, code < 0)


LOGS = [
    ("x.c:1: error: unknown type\nmore", 1, CellError, "x does not compile: x.c:1: error: unknown type"),
    ("error: unable to write: NoSpaceLeft", 1, PassingError, "x does not compile: disk full: the cache "),
    ("ld.lld: error: failed to write: No space left on device", 1, PassingError, "x does not compile: disk full: "),
    ("*** [.pio/model.o] Error -9", 1, PassingError, "x does not compile: the compiler was killed by a signal"),
    ("", -9, PassingError, "x does not compile: the compiler was killed by SIGKILL"),
    ("some words\nthe last of them\n\n", 1, CellError, "x does not compile: the last of them"),
    ("", 3, CellError, "x does not compile: it ended with exit code 3 and no word"),
    ("Error: see below\n\x1b[31mld: region RAM overflowed by 8\x1b[0m", 1, CellError, "x does not compile: Error: see"),
]


@pytest.mark.parametrize(("log", "code", "kind", "line"), LOGS)
def test_why_a_compiler_fails(log: str, code: int, kind: type[Exception], line: str, unit: Unit) -> None:
    error = failure("x does not compile", log, code)
    assert type(error) is kind and str(error).startswith(line) and str(error).isprintable()


def test_a_full_disk_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PassingError, match=r"^disk full: "):
        write_atomically(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_waiting_is_no_time_of_a_units_own() -> None:
    clock = Clock()
    clock.heard(Progressed("", "waiting", 0.0, 1.0, waits=True))
    stood = clock.seconds
    sleep(0.05)
    assert clock.seconds == stood < 0.05
    clock.heard(Progressed("", "goes on", 0.0, 1.0))
    sleep(0.05)
    assert clock.seconds >= stood + 0.05


HOLDS = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print(flush=True)
    time.sleep(0.5)
"""


def test_who_waits_for_a_lock_says_so(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    told: list[bool] = []
    for _ in range(2):
        with waited(told.append), locked(tmp_path / "lock"):
            assert told == [True, False]
    other.communicate()
