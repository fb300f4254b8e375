# SPDX-License-Identifier: Apache-2.0
"""What changed between two reports of one model, as Markdown: the comment of the GitHub Action (action.yml).

    python -m kilobench.report.changes BASE.json HEAD.json

BASE.json may be missing: then the figures stand alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kilobench import start
from kilobench.contracts import UserError
from kilobench.record import NOT_RUN, correctness
from kilobench.report.facts import Facts, Judged, Layer, OnBoard, read_facts
from kilobench.report.text import fit, told_quality

_MOST_LAYERS = 20
_DIGITS = 1, 1, 3, 2
"""Of what ``_figures`` says."""


def changes(base: Facts | None, head: Facts) -> str:
    """A table of boards, and one of the layers whose cycles on the first board changed."""
    lines = [f"### {_cell(head.model)}", "", _summary(base, head), ""]
    if head.judged is not None:
        lines += [_cell(f"{told_quality(head.judged)}.{_judged(base.judged if base else None, head.judged)}"), ""]
    lines += ["| board | flash KiB | RAM KiB | Mcycles | ms | fits |", "|:--|--:|--:|--:|--:|:--|"]
    before = {board.board: board for board in base.boards} if base else {}
    lines += [_row(before.get(board.board), board) for board in head.boards]
    if base is not None and (layers := _layers(base, head)):
        lines += ["", *layers]
    return "\n".join([*lines, ""])


def _summary(base: Facts | None, head: Facts) -> str:
    if base is None:
        return "The base has no such model that could be measured: these are the figures of the head."
    if base.digest == head.digest:
        return "The model is the same as in the base."
    return "The model changed; in brackets: against the base."


def _judged(before: Judged | None, head: Judged) -> str:
    """What differs in answers to the same inputs."""
    if before is None:
        return ""
    if before.digest != head.digest:
        return f" The base was judged by other inputs, {before.inputs}: {told_quality(before)}."
    if before.accuracy is None or head.accuracy is None:
        return f" The base had {before.quality:.4f}."
    then, now = correctness(before.accuracy), correctness(head.accuracy)
    told = f"{(now & ~then).sum()} inputs are right now that were wrong, {(then & ~now).sum()} wrong that were right"
    return f" The base had {100 * before.quality:.2f} %: {told}."


def _row(before: OnBoard | None, board: OnBoard) -> str:
    then = (None,) * len(_DIGITS) if before is None else _figures(before)
    figures = map(_figure, _figures(board), then, _DIGITS)
    return f"| {board.board} | {' | '.join(figures)} | {'yes' if board.fits else _cell(fit(board))} |"


def _figures(board: OnBoard) -> tuple[float | None, ...]:
    """KiB of flash and RAM, millions of cycles, milliseconds."""
    cycles = None if board.cycles is None else board.cycles / 1e6
    return board.flash_bytes / 1024, board.ram_bytes / 1024, cycles, board.latency_ms


def _figure(value: float | None, before: float | None, digits: int) -> str:
    """A figure, and by how much it differs from before."""
    if value is None:
        return NOT_RUN
    text = f"{value:.{digits}f}"
    if before is None or f"{before:.{digits}f}" == text:
        return text
    share = f", {100 * (value - before) / before:+.1f} %" if before else ""
    return f"{text} ({value - before:+.{digits}f}{share})"


def _layers(base: Facts, head: Facts) -> list[str]:
    """Layers of the head whose cycles on its first board are not those that the layer of that name had."""
    board = head.boards[0]
    then = next((one for one in base.boards if one.board == board.board), None)
    if then is None:
        return []
    old = {layer.name: cycles / 1e3 for layer, cycles in zip(base.layers, then.layer_cycles, strict=False)}
    new: list[tuple[Layer, int]] = list(zip(head.layers, board.layer_cycles, strict=False))
    differing = [(layer, cycles) for layer, cycles in new if old.get(layer.name) != cycles / 1e3]
    gone = len(old.keys() - {layer.name for layer in head.layers})
    if not differing and not gone:
        return []
    rows = [
        f"| {_cell(layer.name)} | {layer.kind} | {_figure(cycles / 1e3, old.get(layer.name), 1)} |"
        for layer, cycles in differing[:_MOST_LAYERS]
    ]
    more = [f"{len(differing) - _MOST_LAYERS} more layers changed."] if differing[_MOST_LAYERS:] else []
    more += [f"{gone} layers of the base are gone."] if gone else []
    heading = f"<details><summary>{len(differing)} layers changed on {board.board}</summary>"
    return [heading, "", "| layer | operator | kcycles |", "|:--|:--|--:|", *rows, "", *more, "", "</details>"]


def _cell(text: str) -> str:
    """A text of a file as it may stand in Markdown: names come from whoever made the model."""
    return "".join(char if char.isalnum() or char in " _.,:;()/+-=%" else f"&#{ord(char)};" for char in text)


def main(base: str, head: str) -> int:
    """Print the changes; returns the exit code."""
    try:
        before = read_facts(Path(base)) if Path(base).is_file() else None
        print(changes(before, read_facts(Path(head))))
    except UserError as error:
        start.tell(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
