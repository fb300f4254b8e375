# SPDX-License-Identifier: Apache-2.0
"""What is printed for people: as wide as their terminal, and nothing cut off."""

from __future__ import annotations

import sys

from rich.console import Console, RenderableType
from rich.measure import Measurement

_MOST_COLUMNS = 10_000


def console(usual: int = 120) -> Console:
    """On standard output; ``usual`` columns where that is no terminal."""
    return Console(width=None if sys.stdout.isatty() else usual)


def show(console: Console, content: RenderableType) -> None:
    """Print tables; those that do not fit the terminal as they must be, after a line that says so: the terminal wraps them."""
    options = console.options.update(width=_MOST_COLUMNS)
    columns = Measurement.get(console, options, content).minimum
    if columns > console.width:
        told = f"({columns} columns, wrapped: the terminal has {console.width})"
        console.print(told, style="yellow", highlight=False, soft_wrap=True)
        console = Console(file=console.file, width=columns)
    console.print(content)
