"""One overall progress bar with an ETA; plain lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class OverallProgress:
    """Counts weighted steps; a step in progress may say how far it is (it is a kilobench.api.Progress)."""

    def __init__(self, console: Console, total: float) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)
        self._done = 0.0
        self._weight = 0.0
        self._label = ""

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
        self._label, self._weight = label, weight
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
        self._bar.update(self._task, description=f"{self._label}: {text}", completed=self._done + self._weight * share)
