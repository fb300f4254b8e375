# SPDX-License-Identifier: Apache-2.0
"""What a run will do, shown before it begins: cells, what they share, what is cached, and about how long it takes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from kilobench.plugins.spec import canonical
from kilobench.progress import clock
from kilobench.runs.plan import Cell
from kilobench.runs.run import Work
from kilobench.runs.units import Unit, units

_MOST_LINES = 200


def summary(work: Work, workers: int) -> str:
    """One line."""
    cached = len(work.cached)
    skipped = f", {len(work.skipped)} failed before (--retry-failed)" if work.skipped else ""
    unsuited = f", {len(work.unsuited)} not suited" if work.unsuited else ""
    text = f"{len(work.cells)} cells: {cached} cached{skipped}{unsuited}, {len(work.missing)} to measure"
    if not work.missing:
        return text
    return f"{text} in {len(work.to_do())} steps, {estimate(work, workers)}"


def estimate(work: Work, workers: int) -> str:
    """Of the time that is left, from what such steps took before on this machine."""
    to_do = work.to_do()
    seconds = sum(map(work.seconds, to_do))
    longest = max(map(work.seconds, to_do), default=0.0)
    guessed = sum(not work.costs.known(unit) for unit in to_do)
    text = f"about {clock(max(seconds / max(1, workers), longest))}"
    return f"{text} ({guessed} of them never timed here: guessed)" if guessed else text


def show(work: Work, workers: int, console: Console) -> None:
    """All cells as a tree of what they share."""
    root = Tree(summary(work, workers), guide_style="dim")
    branches: dict[tuple[str, ...], Tree] = {}
    lines = 0
    for cell in work.cells:
        lines += 1
        if lines > _MOST_LINES:
            continue
        model = cell.model
        path: tuple[str, ...] = ()
        head = f"{canonical(model.task)}, {canonical(model.network)}{_changed(cell)}"
        names = [f"{head}, seed {cell.point.seed}, fold {cell.point.fold}", *(stage.key for stage in model.stages)]
        needed = units([cell])
        branch = root
        for name in names:
            path = (*path, name)
            if path not in branches:
                text = Text(name, style="bold") if name not in needed else _line(needed[name], work, _stage(cell, name))
                branches[path] = branch.add(text)
            branch = branches[path]
        branch.add(_cell_line(cell, needed[cell.key], work))
    if lines > _MOST_LINES:
        root.add(f"... and {lines - _MOST_LINES} cells more")
    console.print(root, highlight=False)


def _changed(cell: Cell) -> str:
    return f", {cell.model.training_changes}" if cell.model.training_changes else ""


def _stage(cell: Cell, key: str) -> str:
    return next(stage.label for stage in cell.model.stages if stage.key == key)


def _line(unit: Unit, work: Work, label: str) -> Text:
    if unit.path.is_file():
        return Text.assemble(label, ("  cached", "green"))
    return Text.assemble(label, (f"  {clock(work.costs.seconds(unit))}", "yellow"), _guess(unit, work))


def _cell_line(cell: Cell, unit: Unit, work: Work) -> Text:
    if reason := next((one.reason for one in work.unsuited if one.key == cell.key), ""):
        return Text.assemble(cell.board.name, ("  not suited: " + reason, "yellow"))
    if cell.key in work.skipped:
        return Text.assemble(cell.board.name, ("  failed before: " + work.skipped[cell.key][1].reason, "red"))
    return _line(unit, work, cell.board.name)


def _guess(unit: Unit, work: Work) -> str:
    return "" if work.costs.known(unit) else " guessed"
