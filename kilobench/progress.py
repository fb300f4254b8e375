# SPDX-License-Identifier: Apache-2.0
"""One overall progress bar with an ETA; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from kilobench import contracts


class _Remaining(ProgressColumn):
    """Time left if all goes on at the average pace so far; steps are long, so that the pace of the last seconds misleads."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if (
            task.finished
            or task.elapsed is None
            or task.completed < _TOLD_FROM * (task.total or 0)
            or not task.completed
        ):
            return Text("ETA -:--", style="progress.remaining")
        left = task.elapsed * task.remaining / task.completed if task.remaining else 0.0
        return Text(f"ETA {clock(left)}", "progress.remaining")


def clock(duration: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


_TOLD_FROM = 0.01
"""Share of the work from which what is left can be told."""
_QUIET_SECONDS = 60.0
"""Without a terminal a step in progress says this often how far it is."""


class OverallProgress:
    """Counts steps by their estimated seconds; several may go on at once, each with a line that says how far it is."""

    def __init__(self, console: Console, total: float) -> None:
        """``total``: estimated seconds of all steps."""
        self._console = console
        self._bar = Progress(
            BarColumn(bar_width=12),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            _Remaining(),
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            expand=True,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._total = total
        self._overall = self._bar.add_task("all steps", total=total or None)
        self._done = 0.0
        self._steps: dict[str, _Step] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, key: str, label: str, seconds: float) -> None:
        """A step starts that is estimated to take some seconds."""
        self._steps[key] = _Step(label, seconds, self._bar.add_task(label, total=1.0), monotonic())

    def update(self, key: str, text: str, done: float, total: float) -> None:
        """How far a step is."""
        step = self._steps[key]
        step.share = min(done / total, 1.0) if total else 0.0
        if not self._console.is_terminal and monotonic() - step.said > _QUIET_SECONDS:
            step.said = monotonic()
            eta = (
                f", ETA {clock((step.said - step.began) * (1 - step.share) / step.share)}"
                if step.share >= _TOLD_FROM
                else ""
            )
            self._print(f"{step.label}: {text} ({100 * step.share:.0f} %{eta})")
        self._bar.update(step.bar, description=f"{step.label}: {text}", completed=step.share)
        self._show()

    def end(self, key: str, line: str | None, seconds: float | None = None) -> None:
        """A step is over; leave a line about it, if there is one. ``seconds``: 0 where it is still to be done."""
        step = self._steps.pop(key)
        self._done += step.seconds if seconds is None else seconds
        self._bar.remove_task(step.bar)
        self._show()
        if line:
            self._print(line)

    def _show(self) -> None:
        self._bar.update(self._overall, completed=self._done + sum(s.share * s.seconds for s in self._steps.values()))

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def shown(label: str, console: Console) -> Iterator[contracts.Progress]:
    """A kilobench.api.Progress for one step; its bar goes when the work is done."""
    with OverallProgress(console, 1) as progress:
        progress.begin(label, label, 1)
        yield lambda text, done, total: progress.update(label, text, done, total)


@dataclass
class _Step:
    label: str
    seconds: float
    bar: TaskID
    began: float
    said: float = 0.0
    share: float = 0.0

    def __post_init__(self) -> None:
        self.said = self.began
