"""One overall progress bar with an ETA; plain lines where there is no terminal."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text


class _Remaining(ProgressColumn):
    """Time left if all goes on at the average pace so far; steps are long, so that the pace of the last seconds misleads."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished or not task.completed or task.elapsed is None:
            return Text("ETA -:--", style="progress.remaining")
        left = task.elapsed * task.remaining / task.completed if task.remaining else 0.0
        return Text(f"ETA {_clock(left)}", "progress.remaining")


def _clock(duration: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


_QUIET_SECONDS = 60.0
"""Without a terminal a step in progress says this often how far it is."""


class OverallProgress:
    """Counts weighted steps; a step in progress may say how far it is (it is a kilobench.api.Progress)."""

    def __init__(self, console: Console, total: float) -> None:
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
        self._task = self._bar.add_task("", total=total)
        self._done = 0.0
        self._weight = 0.0
        self._label = ""
        self._began = self._said = monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, label: str, weight: float) -> None:
        """A step starts; the one before it is over."""
        self._done += self._weight
        self._label, self._weight, self._began = label, weight, monotonic()
        self._bar.update(self._task, description=label, completed=self._done)

    def end(self, text: str) -> None:
        """The step is over; leave a line about it."""
        self._done += self._weight
        self._weight = 0.0
        self._bar.update(self._task, completed=self._done)
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def skip(self, weight: float) -> None:
        """Steps that need not be done."""
        self._done += weight
        self._bar.update(self._task, completed=self._done)

    def __call__(self, text: str, done: float, total: float) -> None:
        """How far the step in progress is."""
        share = min(done / total, 1.0) if total else 0.0
        if not self._console.is_terminal and monotonic() - self._said > _QUIET_SECONDS:
            self._said = monotonic()
            eta = f", ETA {_clock((self._said - self._began) * (1 - share) / share)}" if share else ""
            line = f"{self._label}: {text} ({100 * share:.0f} %{eta})"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._bar.update(self._task, description=f"{self._label}: {text}", completed=self._done + self._weight * share)
