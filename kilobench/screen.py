# SPDX-License-Identifier: Apache-2.0
"""What is printed for people: as wide as their terminal, and nothing cut off."""

from __future__ import annotations

import sys

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

_MOST_COLUMNS = 10_000


def console(usual: int = 120) -> Console:
    """On standard output; ``usual`` columns where that is no terminal."""
    return Console(width=None if sys.stdout.isatty() else usual)


def show(console: Console, content: RenderableType) -> None:
    """Print tables with long words folded; after a line that says so, if they need more columns than the terminal has, which
    then wraps their lines.
    """
    for part in content.renderables if isinstance(content, Group) else [content]:
        for column in part.columns if isinstance(part, Table) else ():
            column.overflow = "fold"
    options = console.options.update(width=_MOST_COLUMNS)
    columns = Measurement.get(console, options, content).minimum
    if columns > console.width:
        told = f"({columns} columns, wrapped: the terminal has {console.width})"
        console.print(told, style="yellow", highlight=False, soft_wrap=True)
        console = Console(file=console.file, width=columns)
    console.print(content)
