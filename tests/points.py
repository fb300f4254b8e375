# SPDX-License-Identifier: Apache-2.0
"""Published counts of silicon (benchmarks/timing/published.csv) beside ours, and how far the timing tables are off.

    python -m tests.points [FOLDER]

With a FOLDER, programs are counted again by today's tables: those of FOLDER/TABLE/, ELF files for the memory of the board that is
told, which write ``PROGRAM; BUILD: CYCLES`` to the emulator's UART, a line for every count. What changes is written to the file.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from pathlib import Path
from statistics import fmean

from kilobench.boards import Board
from kilobench.closure import digest_of
from kilobench.device import thumb, timing
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry

PUBLISHED = Path(__file__).parents[1] / "benchmarks" / "timing" / "published.csv"
_LEAST = 5
"""Per cent, whatever the points say: networks are other programs than those."""


@dataclass(frozen=True)
class Point:
    """One program on one core."""

    table: str
    program: str
    build: str
    board: str
    cycles: int
    """Of silicon, as published."""
    ours: int
    source: str

    @property
    def error(self) -> float:
        """By how many % ours are more."""
        return 100 * (self.ours / self.cycles - 1)


def read(path: Path = PUBLISHED) -> list[Point]:
    """All points of a file."""
    with path.open(newline="") as file:
        return [Point(**row | {"cycles": int(row["cycles"]), "ours": int(row["ours"])}) for row in csv.DictReader(file)]


def write(points: Iterable[Point], path: Path = PUBLISHED) -> None:
    """Points as a file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Point)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, points))


def bound(points: Sequence[Point]) -> int:
    """Per cent within which nine of ten points lie, rounded up: a core file's ``cycles_error``."""
    errors = sorted(abs(point.error) for point in points)
    return max(_LEAST, ceil(errors[ceil(0.9 * len(errors)) - 1]))


def by_table(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Points by the table that prices them."""
    tables: dict[str, list[Point]] = {}
    for point in points:
        tables.setdefault(point.table, []).append(point)
    return tables


def summary(points: Iterable[Point]) -> list[str]:
    """A row of docs/timing.md for each table: how many, mean and worst, and what is stated."""
    lines = []
    for table, some in sorted(by_table(points).items()):
        mean, worst = fmean(abs(point.error) for point in some), max(some, key=lambda point: abs(point.error))
        lines.append(
            f"| {table} | {len(some)} | {mean:.1f} % | {worst.error:+.1f} % ({worst.program}) | {bound(some)} % |"
        )
    return lines


def digest(table: str) -> str:
    """Of the code that prices by a table: its module, those that it imports of its folder, and the decoder."""
    folder, found = Path(timing.__file__).parent, {Path(thumb.__file__)}
    wanted = [folder / f"{table.replace('-', '_')}.py"]
    while wanted:
        found.add(path := wanted.pop())
        imported = re.findall(r"from kilobench\.device\.timing(?:\.(\w+))? import (\w+)", path.read_text())
        wanted += [folder / f"{module or name}.py" for module, name in imported]
    return digest_of(sorted(found))


def board_of(table: str) -> Board:
    """The first board, by name, whose core has the table."""
    boards = sorted(load_registry().entries["boards"].items())
    return next(board.value for _, board in boards if board.value.core.timing == table)  # type: ignore[union-attr]


def recounted(points: Sequence[Point], folder: Path) -> Iterator[Point]:
    """Points with ours as the programs of a folder count now; those of which none tells as they were."""
    told: dict[tuple[str, str, str], int] = {}
    for path in sorted(folder.glob("*/*.elf")):
        board = board_of(path.parent.name)
        print(f"{path.name} on {board.name}", file=sys.stderr)
        with EmulatedBoard(path, board) as emulated:
            for program, build, cycles in re.findall(r"(.+); (.+): (\d+)", emulated.run().decode()):
                told[path.parent.name, program, build] = int(cycles)
    for point in points:
        yield replace(point, ours=told.get((point.table, point.program, point.build), point.ours))


def main(folder: str = "") -> None:
    """Print what there is, and what a new count changes."""
    points = read()
    print("\n".join(summary(points)))
    if folder:
        counted = list(recounted(points, Path(folder)))
        for old, new in zip(points, counted, strict=True):
            if old != new:
                print(f"{new.table}: {new.program}, {new.build}: {old.error:+.1f} % -> {new.error:+.1f} %")
        write(counted)
        print("\n".join(summary(counted)))


if __name__ == "__main__":
    main(*sys.argv[1:])
