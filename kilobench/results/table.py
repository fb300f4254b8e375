# SPDX-License-Identifier: Apache-2.0
"""Records -> one row per contest, board and recipe; folds and seeds are pooled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, multimode
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kilobench.plugins.spec import split, without_width
from kilobench.record import NOT_RUN, TRUST, Record
from kilobench.results import energy as energies
from kilobench.results.contest import CONTEST, SAME_STEPS, contest_of, newest_versions, shown_budget, steps_of, unequal
from kilobench.results.rows import Row, Rows, distinct, enough, first_of_each, grouped, in_order, is_missing
from kilobench.results.stats import Estimate, Results, estimated, paired, pareto, places, results, usual_scatter

if TYPE_CHECKING:
    from rich.console import Group

SIZES = ["task", "family", "training", "effort", "link", "toolchain"]
"""What rows have in common that differ in their size: ``family`` is the network without its width."""
REFERENCES = ("int8", "full")
"""The trained network itself, with all the effort: what others are compared with, the second where no budget says a size."""
DIFFERENCE = ["difference", "difference_low", "difference_high"]
"""Columns: accuracy less that of the reference of the same contest, and its 95 % interval (``stats.paired``)."""
_COSTS = {"flash": "flash_bytes", "cycles": "cycles"}
"""Columns of what a row has a ratio of."""
PLACES = (
    "place: 1 + how many recipes of the table are significantly more accurate (paired tests, Holm's correction); "
    "equal places are ties, – has not all folds"
)
"""What the column means, under every table."""


def slug(text: str) -> str:
    """A specification as a file name: ``spoken-words[classes=10]`` becomes ``spoken-words-classes=10``."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "-", text.replace("]", ""))


def rows_of(records: Sequence[Record], boards: energies.Boards = MappingProxyType({})) -> Rows:
    """All rows, best place first within a board of a contest, then best accuracy; energy is estimated for ``boards``.

    Accuracies are shares of 1 with 95 % intervals over folds and seeds (``stats.estimated``); AUCs stand in their place where
    ``measure`` says so. ``effort`` is 0 where records state
    none. ``claimed`` records make rows of their own, so that they can hide no others. ``unequal`` says why a row is not ranked:
    it is claimed, its effort, or a version that has been followed by another. ``place``:
    ``stats.places`` of the ranked rows of one board that CONTEST does not tell apart. ``pareto``: it is ranked and fits, and no
    other such of the same SIZES and board, as large as it may be, is at least as good in accuracy, flash and cycles and better in
    one. ``cycles`` and ``latency_ms`` are NaN where a program is too large to run, ``place`` is None where there is none.
    """
    keys = [*CONTEST, "board", "recipe", "built", "claimed"]
    groups: dict[tuple[str | float, ...], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.task, r.network, r.board, r.recipe, r.seed, r.fold)):
        apart = record.network, record.trust == "claimed"
        groups.setdefault((*contest_of(record), record.board, record.recipe, *apart), []).append(record)
    pools: dict[object, tuple[Results, Estimate]] = {}
    newest = newest_versions(records)
    rows = [dict(zip(keys, key, strict=True)) | _figures(group, pools, newest, boards) for key, group in groups.items()]
    _compare(rows)
    return sorted(rows, key=_rank)


def _expected(record: Record) -> tuple[float, float]:
    return record.expected_ms or (float("nan"), float("nan"))


def _rank(row: Row) -> tuple[Any, ...]:
    """What rows are in the order of."""
    place = math.inf if row["place"] is None else row["place"]
    return *(row[name] for name in [*CONTEST, "board"]), place, -row["accuracy"], row["flash_bytes"]


def _pool(group: list[Record], pools: dict[object, tuple[Results, Estimate]]) -> tuple[Results, Estimate]:
    """Results of a row and their pool; the same objects for the same model, which is right about the same samples everywhere."""
    key = tuple((r.data_digest, r.fold, r.seed, r.quality) for r in group)
    if key not in pools:
        pools[key] = results(group), estimated(group)
    return pools[key]


def _figures(
    group: list[Record],
    pools: dict[object, tuple[Results, Estimate]],
    newest: Mapping[str, int],
    boards: energies.Boards,
) -> dict[str, object]:
    seeds = len({record.seed for record in group})
    correct, estimate = _pool(group, pools)
    cycles = fmean([float("nan") if record.cycles is None else record.cycles for record in group])
    worst = max(group, key=lambda record: record.over_flash_bytes + record.over_ram_bytes)
    return {
        "measure": group[0].measure,
        "model": group[0].model_digest,
        "accuracy": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "family": without_width(group[0].network),
        "size": group[0].size,
        "steps": fmean(map(steps_of, group)),
        "stages": group[0].steps,
        "unequal": unequal(group, newest),
        "samples": sum({(r.data_digest, r.fold): r.quality.total for r in group}.values()),
        "crops": _mean_of_crops(group),
        "partial": max(record.partial for record in group),
        "transcoded": max(record.transcoded for record in group),
        "flash_bytes": fmean([record.flash_bytes for record in group]),
        "weights_bytes": fmean([record.flash.weights for record in group]),
        "ram_bytes": fmean([record.ram_bytes for record in group]),
        "cycles": cycles,
        "latency_ms": fmean([record.latency_ms or float("nan") for record in group]),
        "expected_low_ms": fmean([ends[0] for ends in map(_expected, group)]),
        "expected_high_ms": fmean([ends[1] for ends in map(_expected, group)]),
        "cycles_flash": fmean([record.cycles_flash or float("nan") for record in group]),
        "energy_uj": energies.measured_uj(group),
        "energy_estimated_uj": energies.estimated_uj(group, boards),
        "run_current": energies.source(group[0], boards),
        "board_flash_bytes": group[0].board_flash_bytes,
        "board_ram_bytes": group[0].board_ram_bytes,
        "clock_hz": group[0].clock_hz,
        "timing": group[0].timing,
        "conditions": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in group[0].conditions.items()),
        "macs": group[0].macs,
        "ran": True,
        "fits": all(record.fits for record in group),
        "over_flash_bytes": worst.over_flash_bytes,
        "over_ram_bytes": worst.over_ram_bytes,
        "peak": worst.ram.peak,
        "synthetic": group[0].synthetic,
        "classes": group[0].classes,
        "seeds": seeds,
        "folds": len({record.fold for record in group}),
        "verified": min(record.verified_inputs for record in group),
        "trust": min((record.trust for record in group), key=TRUST.index),
        "commands": commands(group),
        "results": correct,
    }


def _mean_of_crops(group: list[Record]) -> float:
    """The accuracy over 10 windows of all folds and seeds; NaN where it was not measured."""
    crops = [record.accuracy_10_crops for record in group if record.accuracy_10_crops is not None]
    if len(crops) < len(group):
        return float("nan")
    return sum(accuracy.correct for accuracy in crops) / sum(accuracy.total for accuracy in crops)


def commands(group: list[Record]) -> tuple[str, ...]:
    """Those that repeat a row, one for all folds of a seed where there are several."""
    commands = [record.command for record in group]
    if len({record.fold for record in group}) > 1:
        commands = [re.sub(r"--fold \d+", "--fold all", command) for command in commands]
    return tuple(dict.fromkeys(commands))


class _Tested:
    """The tests of a contest."""

    def __init__(self, contest: Sequence[Results]) -> None:
        self.places, self._usual = places(contest), usual_scatter(contest)
        self._differences: dict[tuple[int, int], tuple[float, float, float]] = {}

    def difference(self, reference: Results, other: Results) -> tuple[float, float, float]:
        """DIFFERENCE of a recipe to the reference; NaN where they have no samples in common."""
        key = (id(reference), id(other))
        if key not in self._differences:
            test = paired(reference, other, self._usual)
            found = test and (test.difference.mean, test.difference.low, test.difference.high)
            self._differences[key] = found or (math.nan, math.nan, math.nan)
        return self._differences[key]


def _compare(rows: Rows) -> None:
    """Add the columns that need other rows: unequal, place, pareto, reference, flash_ratio, cycles_ratio, DIFFERENCE."""
    _tell_other_steps(rows)
    # Results are the same objects on every board (see _pool), so that everything is tested once.
    known: dict[tuple[int, ...], _Tested] = {}
    for _, everyone in in_order(rows, *CONTEST, "board"):
        board = [row for row in everyone if not row["unequal"]]
        same = tuple(id(row["results"]) for row in board)
        tested = known[same] = known.get(same) or _Tested([row["results"] for row in board])
        found = dict(zip(map(id, board), tested.places, strict=True))
        wanted = REFERENCES if everyone[0]["budget"] else REFERENCES[::-1]
        reference = next((row for name in wanted for row in board if row["recipe"] == name), None)
        for row in everyone:
            row |= {"place": found.get(id(row)), "pareto": False} | _beside(reference, row, tested)
    mark_pareto(rows)


def mark_pareto(rows: Rows) -> None:
    """Say in ``pareto`` of which rows none of the same SIZES and board is better in everything (``rows_of``)."""
    for _, everyone in in_order(rows, *SIZES, "board"):
        fitting = [row for row in everyone if not row["unequal"] and row["fits"]]
        for index in pareto([(row["accuracy"], row["flash_bytes"], row["cycles"]) for row in fitting]):
            fitting[index]["pareto"] = True


def _beside(reference: Row | None, row: Row, tested: _Tested) -> Row:
    """Columns of a row that compare it with its reference; NaN where it has none."""
    if reference is None or row["unequal"]:
        return {"reference": ""} | dict.fromkeys(["flash_ratio", "cycles_ratio", *DIFFERENCE], math.nan)
    ratios = {f"{name}_ratio": reference[cost] / row[cost] for name, cost in _COSTS.items()}
    difference = tested.difference(reference["results"], row["results"])
    return {"reference": reference["recipe"]} | ratios | dict(zip(DIFFERENCE, difference, strict=True))


def _tell_other_steps(rows: Rows) -> None:
    """Say in ``unequal`` whose steps differ from what most of their contest have."""
    for _, contest in in_order(rows, *CONTEST, "board"):
        ranked = [row for row in contest if not row["unequal"]]
        usual = median([row["steps"] for row in ranked] or [0.0])
        for row in ranked:
            if abs(row["steps"] - usual) > SAME_STEPS * usual:
                row["unequal"] = f"unequal effort: {row['steps']:.0f} steps, not {usual:.0f}"


def methods(recipe: str) -> list[str]:
    """Names of the methods of a recipe, without their parameters."""
    return [part.partition("[")[0] for part in split(recipe, "+")]


CURVE = ["network", "training", "effort", "budget"]
"""What the points of a curve have in common, beside their steps."""


def families(rows: Rows) -> list[str]:
    """Data sets that were measured with several numbers of classes by one network, training, effort and budget."""
    return sorted({family for family in {family_of(row["task"]) for row in rows} if _with_curves(rows, family)})


def _with_curves(rows: Rows, family: str) -> Rows:
    """The rows of a data set that nobody only claims, of every CURVE with several numbers of classes."""
    known = _by_steps([row for row in rows if family_of(row["task"]) == family and not row["claimed"]])
    return [row for _, curve in in_order(known, *CURVE) if len(distinct(curve, "classes")) > 1 for row in curve]


def _by_steps(rows: Rows) -> Rows:
    """With the training of a task's own length called by its steps, where others ask for as many: it is the same."""
    asked = {row["training"] for row in rows}

    def training(row: Row) -> str:
        steps = f"steps={row['steps'] / row['effort']:.0f}" if row["effort"] else ""
        return steps if not row["training"] and steps in asked else str(row["training"])

    return [{**row, "training": training(row)} for row in rows]


def class_curves(rows: Rows, family: str) -> Rows:
    """A row per CURVE, number of classes and recipe: accuracy, low, high, cycles, the place among these, and ``joined``.

    A model's accuracy is the same on every board, so that boards are not told apart: the one with the most results counts.
    ``joined`` are points that make a line: of as many steps as most, from three seeds or folds (and all that there are), where
    the reference was measured as well.
    """
    most_first = sorted(_with_curves(rows, family), key=lambda row: -row["seeds"])
    points = [{**row, "joined": False} for row in first_of_each(most_first, *CURVE, "classes", "recipe")]
    for _, curve in grouped(points, *CURVE):
        usual = usual_steps(curve)
        for _, contest in in_order(curve, "classes"):
            ranked = [row for row in contest if not row["unequal"]]
            folds = max((row["folds"] for row in ranked), default=0)
            for row, place in zip(ranked, places([row["results"] for row in ranked]), strict=True):
                same = abs(row["steps"] - usual) <= SAME_STEPS * usual
                row["place"], row["joined"] = (
                    place,
                    enough(row) and same and row["folds"] == folds and bool(row["reference"]),
                )
    return sorted(points, key=lambda row: tuple(row[name] for name in [*CURVE, "classes", "recipe"]))


def usual_steps(curve: Rows) -> float:
    """Of most rows."""
    return min(multimode(row["steps"] for row in curve))


def joined_first(curves: Rows) -> list[tuple[tuple[Any, ...], Rows]]:
    """The rows of every CURVE with its values; those that have a line come first."""
    return sorted(grouped(curves, *CURVE), key=lambda item: not any(row["joined"] for row in item[1]))


@dataclass(frozen=True)
class Leader:
    """The most accurate recipe at a number of classes."""

    classes: int
    recipe: str
    ties: tuple[str, ...]
    """Others that share its place: its lead may be chance."""
    changed: bool
    """Neither this one nor any that ties with it led, or tied, at the next smaller number of classes."""
    new: bool
    """And this one was not measured there."""


def leaders(curve: Rows) -> list[Leader]:
    """By number of classes, of one CURVE in ``class_curves``; only points that are joined lead."""
    found: list[Leader] = []
    before: set[str] = set()
    for (classes,), contest in grouped([row for row in curve if row["joined"] and row["place"]], "classes"):
        ranked = sorted(contest, key=lambda row: (row["place"], -row["accuracy"], row["recipe"]))
        first, *others = (row["recipe"] for row in ranked if row["place"] == ranked[0]["place"])
        changed = bool(found) and not {first, *others} & {found[-1].recipe, *found[-1].ties}
        found.append(Leader(classes, first, tuple(others), changed, changed and first not in before))
        before = {row["recipe"] for row in contest}
    return found


def family_of(task: str) -> str:
    """The data set of a task: its name without the number of classes."""
    return re.sub(r"\[\]|,(?=\])", "", re.sub(r"\bclasses=[^,\]]*,?", "", task))


def misses(row: Row) -> str:
    """ "yes", or by how much a row exceeds its board, and the operator that needs the most RAM."""
    if row["fits"]:
        return "yes"
    over = [(name, row[f"over_{name.lower()}_bytes"]) for name in ("flash", "RAM")]
    at = f" at {row['peak']}" if row["over_ram_bytes"] else ""
    return "no: " + ", ".join(f"{name} +{size / 1024:.1f} KiB" for name, size in over if size) + at


def place(row: Row) -> str:
    """A number, or a dash for a row that has none."""
    return "–" if row["place"] is None else str(row["place"])


def figure(value: float, digits: int) -> str:
    """Of cycles or time, or why there is none."""
    return NOT_RUN if math.isnan(value) else f"{value:.{digits}f}"


def effort(row: Row) -> str:
    """What every recipe of a contest was trained, or that it was not the same."""
    if not row["effort"]:
        return "unequal effort"
    return f"{row['steps']:.0f} steps each ({row['effort']:g} trainings)"


def energy(row: Row, column: str = "energy_uj") -> str:
    """Microjoules per inference, or nothing where it was not measured, or cannot be estimated."""
    return "" if math.isnan(row[column]) else f"{row[column]:.1f}"


def _title(rows: Rows, everything: Rows) -> str:
    """Task and board, and what else tells the contest from others of this task and board."""
    first = rows[0]
    others = [row for row in everything if (row["task"], row["board"]) == (first["task"], first["board"])]
    apart = [name for name in ("network", "training", "link", "toolchain") if len(distinct(others, name)) > 1]
    told = [first[name] for name in apart if first[name]]
    size = [f"at {shown_budget(first['budget'], first['board'])}"] if first["budget"] else []
    return ", ".join([f"{first['task']} on {first['board']}", *told, *size, effort(first)])


def terminal(records: Sequence[Record]) -> Group:
    """Compact tables for the end of a run, one per contest and board, fit for 80 columns."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = [Text()]
    everything = rows_of(records)
    for _, rows in in_order(everything, *CONTEST, "board"):
        table = Table(title=escape(_title(rows, everything)), title_justify="left", title_style="bold")
        table.box, table.pad_edge = None, False
        table.add_column("place", min_width=16)
        for name, width in (
            (f"{rows[0]['measure']} %", 13),
            ("flash KiB", 9),
            ("RAM KiB", 7),
            ("Mcycles", 7),
            ("ms", 7),
        ):
            table.add_column(name, justify="right", min_width=width, no_wrap=True)
        measured = not all(is_missing(row["energy_uj"]) for row in rows)
        if measured:
            table.add_column("µJ", justify="right", min_width=7)
        sized = any(row["size"] for row in rows)
        if sized:
            table.add_column("size")
        table.add_column("fits")
        for row in rows:
            table.add_row(
                f"{place(row)} {'◆' if row['pareto'] else ' '} {escape(row['recipe'])}",
                f"{100 * row['accuracy']:.1f} ({100 * row['low']:.0f}-{100 * row['high']:.0f})",
                f"{row['flash_bytes'] / 1024:.1f}",
                f"{row['ram_bytes'] / 1024:.1f}",
                figure(row["cycles"] / 1e6, 2),
                figure(row["latency_ms"], 1),
                *([energy(row)] if measured else []),
                *([row["size"]] if sized else []),
                misses(row),
            )
        parts += [table, Text()]
    labels = " and ".join(sorted({record.timing.split()[0] for record in records}))
    flash = ", ms with the board's flash (estimated)" if all(record.cycles_flash for record in records) else ""
    note = (
        f"◆ fits, and none that fits, of any size, is better in accuracy, flash and cycles at once; "
        f"cycles are {labels}{flash}"
    )
    return Group(*parts, Text(f"{PLACES}\n{note}", style="dim"))
