# SPDX-License-Identifier: Apache-2.0
"""A survey: cycles of every operator over a grid of shapes, and which layers cost more than others of their kind.

    python -m benchmarks.speed.survey [OPERATOR ...] [--board B] [--toolchain T] [--points N] [--output FILE] [--against FILE]

Cycles are measured in the firmware on an emulated board, many layers in one program, and every output is held to the simulation.
A layer is compared with those of its operator that have about as many products, or else values read, per output. One that takes
more than twice their median per product, or value read, has a reason below, or is a cliff. The exit code is 1 if there is one, or
a wrong output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import log2, prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kilobench.contracts import CellError, UserError
from kilobench.plugins.operators import operator_files
from kilobench.plugins.spec import nearest

if TYPE_CHECKING:
    from benchmarks.speed.points import Point
    from kilobench.boards import Board
    from kilobench.toolchain import Toolchain

LIMIT = 2.0
"""Times the median that a layer may cost without a reason."""
LEAST_PEERS = 8
"""Layers that a median is of, at least."""
IMAGE = 64
"""Layers in a firmware image."""
SHOWN, WORST = 3, 10
"""Rows of an operator without a cliff, and of all."""
FEW_CYCLES = 1000
"""Of a layer that is little more than a call."""
_HEAD = ("cycles each", "median", "times", "layer", "reason")


@dataclass(frozen=True)
class Measured:
    """A point: shapes [h, w, c] of what it reads first and makes, ``taps`` products or values read per output value."""

    operator: str
    text: str
    read: tuple[int, int, int]
    made: tuple[int, int, int]
    taps: float
    macs: int
    cycles: int

    @property
    def each(self) -> float:
        """Cycles per product, or per output value where there are none."""
        return self.cycles / (self.macs or prod(self.made))

    @property
    def rate(self) -> float:
        """Cycles per product or value read."""
        return self.cycles / (self.taps * prod(self.made))


def _broadcasts(text: str) -> bool:
    """Whether it reads maps of several shapes to combine them."""
    return "axis" not in text and len(set(text.split(" ")[0].split("+"))) > 1


REASONS: list[tuple[str, Callable[[Measured], bool], str]] = [
    ("", lambda one: one.cycles < FEW_CYCLES, "the call itself: few values"),
    ("conv2d bit", lambda one: one.made[2] < 16, "a word has 32 outputs, however few there are"),
    ("conv2d", lambda one: one.made[2] < 4, "four outputs are made together, however few there are"),
    ("depthwise", lambda one: one.made[2] < 4, "four channels are made together, however few there are"),
    ("conv2d int8", lambda one: one.read[2] < 4 and one.taps < 16, "an output costs as much as a dozen taps"),
    ("conv2d int8", lambda one: 4 < one.made[2] < 8, "outputs are made in fours, some of them twice"),
    ("depthwise_conv2d int8", lambda one: 4 < one.made[2] < 8, "channels are made in fours, some of them twice"),
    ("conv2d float32", lambda one: max(one.made[:2]) < 4, "pixels are made four at a time, of larger maps"),
    ("depthwise_conv2d float32", lambda one: max(one.made[:2]) < 4, "pixels are made four at a time, of larger maps"),
    ("depthwise_conv2d float32", lambda one: one.made[2] % 4 > 0, "channels are made four and one at a time"),
    ("conv2d bit", lambda one: one.read[2] < 8, "a word has 32 inputs, however few there are"),
    ("conv2d int16", lambda one: one.made[1] < 4, "four pixels of a row are made together, however few there are"),
    ("max_pool bit", lambda one: one.made[2] < 16, "a word has 32 channels, however few there are"),
    ("max_pool int8", lambda one: one.made[2] % 4 > 0, "channels are made sixteen, four and one at a time"),
    ("concat", lambda one: "axis=2" in one.text and one.made[2] < 32, "pieces of few values are copied one by one"),
    ("", lambda one: _broadcasts(one.text), "of a map that repeats, values are read one by one"),
    ("", lambda one: one.macs == 0 and one.made[2] < 8, "few channels share what a pixel costs"),
]
"""Operators (how their names begin), which of their layers, and why these may cost more than twice what others do."""


@dataclass(frozen=True)
class Judged:
    """A layer beside the median rate of its peers."""

    layer: Measured
    peers: float

    @property
    def times(self) -> float:
        """How many times that median it costs."""
        return self.layer.rate / self.peers

    @property
    def reason(self) -> str:
        """Why it may."""
        found = (why for name, holds, why in REASONS if self.layer.operator.startswith(name) and holds(self.layer))
        return next(found, "")

    @property
    def is_cliff(self) -> bool:
        """Whether nothing explains it."""
        return self.times > LIMIT and not self.reason

    def row(self) -> tuple[str, str, str, str, str]:
        """For people."""
        why = "" if self.times <= LIMIT else self.reason or "NONE"
        each = self.layer.each
        return f"{each:.2f}", f"{each / self.times:.2f}", f"{self.times:.1f}", self.layer.text, why


def judge(layers: list[Measured]) -> list[Judged]:
    """Worst first. Peers are layers of the operator whose taps are within a factor of two, and LEAST_PEERS that are nearest."""
    judged = []
    for layer in layers:
        alike = [other for other in layers if other.operator == layer.operator]
        far = sorted((abs(log2(other.taps / layer.taps)), other.rate) for other in alike)
        near = [rate for place, (distance, rate) in enumerate(far) if distance <= 1 or place < LEAST_PEERS]
        judged.append(Judged(layer, median(near)))
    return sorted(judged, key=lambda one: -one.times)


def measure(
    points: list[Point], board: Board, toolchain: Toolchain, progress: Callable[[str, float, float], None]
) -> Iterator[Measured]:
    """Every point; raises CellError for one whose output is not the simulation's."""
    from benchmarks.speed.layers import cycles

    for first in range(0, len(points), IMAGE):
        progress(f"compiling {points[first].operator}", first, len(points))
        part = points[first : first + IMAGE]
        spent_by = cycles([point.case for point in part], board, toolchain)
        for number, (point, spent) in enumerate(zip(part, spent_by, strict=True)):
            bound = point.bound
            shapes = bound.source.shape, bound.output.shape
            yield Measured(point.operator, point.text, *shapes, point.taps, bound.macs(), spent)
            progress(point.operator, first + number + 1, len(points))


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="survey", description="cycles of every operator over a grid of shapes")
    parser.add_argument(
        "operators", nargs="*", metavar="OPERATOR", help="of kilobench/compile/ops; all if none is given"
    )
    parser.add_argument("--board", default="nucleo_l476rg", help="an emulated one")
    parser.add_argument("--toolchain", choices=("zig", "gcc"), default="zig")
    parser.add_argument("--points", type=int, default=64, metavar="N", help="of the grid for each pair of types")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what is measured there, as JSON")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an output of before, to compare with")
    try:
        return _run(parser.parse_args(arguments))
    except (UserError, CellError) as error:
        print(f"survey: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def _run(options: argparse.Namespace) -> int:
    known = sorted(path.stem for path in operator_files())
    for name in options.operators:
        if name not in known:
            raise UserError(f"there is no operator {name!r}{nearest(name, known)}")
    if options.points < 0:
        raise UserError(f"--points {options.points}: give a number from 0 on")
    if options.output and not options.output.parent.is_dir():
        raise UserError(f"--output {options.output}: there is no folder {options.output.parent}")
    before = _read(options.against) if options.against else None

    from rich.console import Console

    from benchmarks.speed.points import survey
    from kilobench.plugins.boards import require_emulated
    from kilobench.plugins.registry import load_registry
    from kilobench.progress import shown

    board: Board = load_registry().get("boards", options.board)
    require_emulated(board)
    points = survey(set(options.operators or known), options.points)
    with shown("survey", Console(stderr=True)) as progress:
        layers = list(measure(points, board, options.toolchain, progress))
    if options.output:
        whole = {"board": board.name, "toolchain": options.toolchain, "layers": [vars(layer) for layer in layers]}
        options.output.write_text(json.dumps(whole, indent=0))
    judged = judge(layers)
    print(f"# Survey: {len(layers)} layers on {board.name}, emulated, {options.toolchain}\n")
    _print_operators(judged)
    if before:
        print(f"# Before: {before['board']}, {before['toolchain']} ({options.against})\n")
        _print_changes(judge([Measured(**fields) for fields in before["layers"]]), judged)
    return int(any(one.is_cliff for one in judged))


def _read(path: Path) -> dict[str, Any]:
    """An output; raises UserError for what is none."""
    try:
        whole: dict[str, Any] = json.loads(path.read_text())
        [Measured(**fields) for fields in whole["layers"]]
        return whole
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--against {path}: this is no output of a survey ({type(error).__name__})") from None


def _print_operators(judged: list[Judged]) -> None:
    for name in sorted({one.layer.operator for one in judged}):
        mine = [one for one in judged if one.layer.operator == name]
        unit = "product" if mine[0].layer.macs else "value"
        middle = median(one.layer.each for one in mine)
        cliffs = [one for one in mine if one.is_cliff]
        print(f"## {name}: median {middle:.2f} cycles per {unit} of {len(mine)} layers, {len(cliffs)} cliffs\n")
        cliffs_end = max((place + 1 for place, one in enumerate(mine) if one.is_cliff), default=0)
        _print_table(_HEAD, [one.row() for one in mine[: max(SHOWN, cliffs_end)]])
    cliffs = [one for one in judged if one.is_cliff]
    print(f"## The worst of {len(cliffs)} layers above {LIMIT:g} times the median without a reason\n")
    _print_table(("operator", *_HEAD[:-1]), [(one.layer.operator, *one.row()[:-1]) for one in cliffs[:WORST]])


def _print_changes(before: list[Judged], after: list[Judged]) -> None:
    """By operator, and the worst of both without a reason, side by side."""
    then, now = ({(one.layer.operator, one.layer.text): one for one in side} for side in (before, after))
    ratios = {key: now[key].layer.cycles / one.layer.cycles for key, one in then.items() if key in now}
    by_operator: dict[str, list[float]] = {}
    for (operator, _), ratio in sorted(ratios.items()):
        by_operator.setdefault(operator, []).append(ratio)
    rows = [(name, len(all_), *(f"{of(all_):.3f}" for of in (min, median, max))) for name, all_ in by_operator.items()]
    print("## Cycles of now over those of before\n")
    _print_table(("operator", "layers", "least", "median", "most"), rows)
    for title, side in (("before", then), ("now", now)):
        unexplained = [key for key in ratios if not side[key].reason]
        worst = sorted(unexplained, key=lambda key: -side[key].times)[:WORST]
        print(f"## The worst ten {title}\n")
        numbers = [
            (then[key].layer.each, now[key].layer.each, ratios[key], then[key].times, now[key].times) for key in worst
        ]
        rows = [(*key, *(f"{number:.2f}" for number in row)) for key, row in zip(worst, numbers, strict=True)]
        _print_table(
            ("operator", "layer", "cycles each before", "now", "ratio", "times the median before", "now"), rows
        )


def _print_table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    from tabulate import tabulate

    print(tabulate(rows, heads, "github", disable_numparse=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
