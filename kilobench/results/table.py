# SPDX-License-Identifier: Apache-2.0
"""Records -> one row per contest, board and recipe; folds and seeds are pooled."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kilobench.plugins.spec import without_width
from kilobench.record import NOT_RUN, TRUST, Record
from kilobench.results.contest import CONTEST, SAME_STEPS, contest_of, newest_versions, shown_budget, steps_of, unequal
from kilobench.results.stats import Estimate, Results, paired, pareto, places, pooled, results

if TYPE_CHECKING:
    from rich.console import Group

SIZES = ["task", "family", "training", "effort", "link", "toolchain"]
"""What rows have in common that differ in their size: ``family`` is the network without its width."""
REFERENCES = ("int8", "full")
"""The trained network itself, with all the effort: what others are compared with, the second where no budget says a size."""
DIFFERENCE = ["difference", "difference_low", "difference_high"]
"""Columns: accuracy less that of the reference of the same contest, and its 95 % interval (``stats.paired``)."""
PLACES = (
    "place: 1 + how many recipes of the table are significantly more accurate (paired tests, Holm's correction); "
    "equal places are ties, – has not all folds"
)
"""What the column means, under every table."""


def slug(text: str) -> str:
    """A specification as a file name: ``spoken-words[classes=10]`` becomes ``spoken-words-classes=10``."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "-", text.replace("]", ""))


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """All rows, best place first within a board of a contest, then best accuracy.

    Accuracies are shares of 1 with 95 % intervals over folds and seeds (``stats.pooled``). ``effort`` is 0 where records state
    none. ``claimed`` records make rows of their own, so that they can hide no others. ``unequal`` says why a row is not ranked:
    it is claimed, its effort, or a version that has been followed by another. ``place``:
    ``stats.places`` of the ranked rows of one board that CONTEST does not tell apart. ``pareto``: it is ranked and fits, and no
    other such of the same SIZES and board, as large as it may be, is at least as good in accuracy, flash and cycles and better in
    one. ``cycles`` and ``latency_ms`` are NaN where a program is too large to run.
    """
    keys = [*CONTEST, "board", "recipe", "built", "claimed"]
    groups: dict[tuple[str | float, ...], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.task, r.network, r.board, r.recipe, r.seed, r.fold)):
        apart = record.network, record.trust == "claimed"
        groups.setdefault((*contest_of(record), record.board, record.recipe, *apart), []).append(record)
    pools: dict[object, tuple[Results, Estimate]] = {}
    newest = newest_versions(records)
    rows = pd.DataFrame(
        [dict(zip(keys, key, strict=True)) | _figures(group, pools, newest) for key, group in groups.items()]
    )
    _compare(rows)
    by = [*CONTEST, "board", "place", "accuracy", "flash_bytes"]
    rows = rows.sort_values(by, ascending=[name != "accuracy" for name in by], kind="stable")
    return rows.reset_index(drop=True)


def _pool(group: list[Record], pools: dict[object, tuple[Results, Estimate]]) -> tuple[Results, Estimate]:
    """Results of a row and their pool; the same objects for the same model, which is right about the same samples everywhere."""
    key = tuple((r.data_digest, r.fold, r.seed, r.accuracy.total, r.accuracy.bitmap) for r in group)
    if key not in pools:
        correct = results(group)
        pools[key] = correct, pooled(correct)
    return pools[key]


def _figures(
    group: list[Record], pools: dict[object, tuple[Results, Estimate]], newest: Mapping[str, int]
) -> dict[str, object]:
    seeds = len({record.seed for record in group})
    correct, estimate = _pool(group, pools)
    cycles = fmean([float("nan") if record.cycles is None else record.cycles for record in group])
    worst = max(group, key=lambda record: record.over_flash_bytes + record.over_ram_bytes)
    return {
        "accuracy": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "family": without_width(group[0].network),
        "size": group[0].size,
        "steps": fmean(map(steps_of, group)),
        "stages": group[0].steps,
        "unequal": unequal(group, newest),
        "samples": sum({part: len(right) for (part, _), right in correct.items()}.values()),
        "crops": _mean_of_crops(group),
        "partial": max(record.partial for record in group),
        "flash_bytes": fmean([record.flash_bytes for record in group]),
        "ram_bytes": fmean([record.ram_bytes for record in group]),
        "cycles": cycles,
        "latency_ms": 1000 * cycles / group[0].clock_hz,
        "energy_uj": _mean_energy(group),
        "board_flash_bytes": group[0].board_flash_bytes,
        "board_ram_bytes": group[0].board_ram_bytes,
        "clock_hz": group[0].clock_hz,
        "timing": group[0].timing,
        "conditions": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in group[0].conditions.items()),
        "macs": group[0].macs,
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


def _mean_energy(group: list[Record]) -> float:
    """Per inference, in microjoules; NaN where it was not measured throughout."""
    return fmean([float("nan") if record.energy_uj is None else record.energy_uj for record in group])


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


def _compare(rows: pd.DataFrame) -> None:
    """Add the columns that need other rows: unequal, place, pareto, reference, flash_ratio, cycles_ratio, DIFFERENCE."""
    place: list[int | None] = [None] * len(rows)
    on_front = np.zeros(len(rows), dtype=bool)
    ratios = np.full((len(rows), 2), np.nan)
    differences = np.full((len(rows), 3), np.nan)
    costs = rows[["flash_bytes", "cycles"]].to_numpy(dtype=float)
    accuracy, fits = rows["accuracy"].to_numpy(), rows["fits"].to_numpy()
    recipes, tested = list(rows["recipe"]), list(rows["results"])
    references = [""] * len(rows)
    reasons = _of_other_steps(rows)
    ranked = np.array([not why for why in reasons], dtype=bool)
    # Results are the same objects on every board (see _pool), so that everything is tested once.
    known: dict[tuple[int, ...], list[int | None]] = {}
    tests: dict[tuple[int, int], tuple[float, float, float]] = {}
    for everyone in rows.groupby([*CONTEST, "board"]).indices.values():
        board = everyone[ranked[everyone]]
        same = tuple(id(tested[i]) for i in board)
        known[same] = known.get(same) or places([tested[i] for i in board])
        for i, found in zip(board, known[same], strict=True):
            place[i] = found
        wanted = REFERENCES if rows["budget"].iloc[everyone[0]] else REFERENCES[::-1]
        there = [i for name in wanted for i in board if recipes[i] == name]
        if there:
            reference = there[0]
            ratios[board] = costs[reference] / costs[board]
            differences[board] = [_difference(tested[reference], tested[i], tests) for i in board]
            for i in board:
                references[i] = recipes[reference]
    for everyone in rows.groupby([*SIZES, "board"]).indices.values():
        fitting = everyone[ranked[everyone] & fits[everyone]]
        on_front[fitting[list(pareto([(accuracy[i], *costs[i]) for i in fitting]))]] = True
    rows["place"], rows["pareto"] = pd.array(place, dtype="Int64"), on_front
    rows["unequal"], rows["reference"] = reasons, references
    rows[["flash_ratio", "cycles_ratio"]], rows[DIFFERENCE] = ratios, differences


def _of_other_steps(rows: pd.DataFrame) -> list[str]:
    """``unequal`` of all rows, those told too whose steps differ from what most of their contest have."""
    reasons = list(rows["unequal"])
    steps = rows["steps"].to_numpy()
    for contest in rows.groupby([*CONTEST, "board"]).indices.values():
        usual = float(np.median([steps[i] for i in contest if not reasons[i]] or [0.0]))
        for i in contest:
            if not reasons[i] and abs(steps[i] - usual) > SAME_STEPS * usual:
                reasons[i] = f"unequal effort: {steps[i]:.0f} steps, not {usual:.0f}"
    return reasons


def _difference(
    full: Results, other: Results, tests: dict[tuple[int, int], tuple[float, float, float]]
) -> tuple[float, float, float]:
    """DIFFERENCE of a recipe to the reference; NaN where they have no samples in common."""
    key = (id(full), id(other))
    if key not in tests:
        test = paired(full, other)
        found = test and (test.difference.mean, test.difference.low, test.difference.high)
        tests[key] = found or (np.nan, np.nan, np.nan)
    return tests[key]


def methods(recipe: str) -> list[str]:
    """Names of the methods of a recipe, without their parameters."""
    return [part.partition("[")[0] for part in re.split(r"\+(?![^\[]*\])", recipe)]


CURVE = ["network", "training", "effort", "budget"]
"""What the points of a curve have in common, beside their steps."""
_ENOUGH = 3
"""Seeds or folds that a point of a curve is made of, at least."""


def families(rows: pd.DataFrame) -> list[str]:
    """Data sets that were measured with several numbers of classes by one network, training, effort and budget."""
    known = rows[~rows["claimed"]]
    counts = known.groupby([known["task"].map(_family), *CURVE])["classes"].nunique()
    return sorted({str(key[0]) for key, count in counts.items() if count > 1})


def class_curves(rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """A row per CURVE, number of classes and recipe: accuracy, low, high, cycles, the place among these, and ``joined``.

    A model's accuracy is the same on every board, so that boards are not told apart: the one with the most results counts.
    ``joined`` are points that make a line: of as many steps as most, from three seeds or folds (and all that there are), where
    the reference was measured as well.
    """
    chosen = rows[(rows["task"].map(_family) == family) & ~rows["claimed"]]
    chosen = chosen.sort_values("seeds", ascending=False, kind="stable")
    several = chosen.groupby(CURVE)["classes"].transform("nunique") > 1
    chosen = chosen[several].drop_duplicates([*CURVE, "classes", "recipe"])
    curves = chosen.sort_values([*CURVE, "classes", "recipe"]).reset_index(drop=True)
    curves["joined"] = False
    for _, points in curves.groupby(CURVE):
        usual = points["steps"].mode().iloc[0]
        for _, contest in points.groupby("classes"):
            ranked = contest[contest["unequal"] == ""]
            curves.loc[ranked.index, "place"] = pd.array(places(list(ranked["results"])), dtype="Int64")
            enough = (ranked["seeds"] >= _ENOUGH) | (ranked["folds"] >= _ENOUGH)
            same = abs(ranked["steps"] - usual) <= SAME_STEPS * usual
            whole = (ranked["folds"] == ranked["folds"].max()) & (ranked["reference"] != "")
            curves.loc[ranked.index, "joined"] = enough & same & whole
    return curves[
        [*CURVE, "classes", "recipe", "accuracy", "low", "high", "cycles", "steps", "seeds", "place", "joined"]
    ]


def joined_first(curves: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    """The rows of every CURVE with its values; those that have a line come first."""
    return sorted(curves.groupby(CURVE), key=lambda item: not item[1]["joined"].any())


@dataclass(frozen=True)
class Leader:
    """The most accurate recipe at a number of classes."""

    classes: int
    recipe: str
    ties: tuple[str, ...]
    """Others that share its place: its lead may be chance."""
    changed: bool
    """Another recipe leads at the next smaller number of classes."""
    new: bool
    """And this one was not measured there."""


def leaders(curve: pd.DataFrame) -> list[Leader]:
    """By number of classes, of one CURVE in ``class_curves``; only points that are joined lead."""
    found: list[Leader] = []
    before: set[str] = set()
    for classes, contest in curve[curve["joined"] & curve["place"].notna()].groupby("classes"):
        ranked = contest.sort_values(["place", "accuracy", "recipe"], ascending=[True, False, True])
        first, *others = ranked[ranked["place"] == ranked["place"].iloc[0]]["recipe"]
        changed = bool(found) and found[-1].recipe != first
        found.append(Leader(int(str(classes)), first, tuple(others), changed, changed and first not in before))
        before = set(contest["recipe"])
    return found


def _family(task: str) -> str:
    """A task without its number of classes."""
    return re.sub(r"\[\]|,(?=\])", "", re.sub(r"\bclasses=[^,\]]*,?", "", task))


def misses(row: Mapping[Hashable, Any]) -> str:
    """ "yes", or by how much a row exceeds its board, and the operator that needs the most RAM."""
    if row["fits"]:
        return "yes"
    over = [(name, row[f"over_{name.lower()}_bytes"]) for name in ("flash", "RAM")]
    at = f" at {row['peak']}" if row["over_ram_bytes"] else ""
    return "no: " + ", ".join(f"{name} +{size / 1024:.1f} KiB" for name, size in over if size) + at


def place(row: Mapping[Hashable, Any]) -> str:
    """A number, or a dash for a row that has none."""
    return "–" if pd.isna(row["place"]) else str(row["place"])


def figure(value: float, digits: int) -> str:
    """Of cycles or time, or why there is none."""
    return NOT_RUN if np.isnan(value) else f"{value:.{digits}f}"


def effort(row: Mapping[Hashable, Any]) -> str:
    """What every recipe of a contest was trained, or that it was not the same."""
    if not row["effort"]:
        return "unequal effort"
    return f"{row['steps']:.0f} steps each ({row['effort']:g} trainings)"


def energy(row: Mapping[Hashable, Any]) -> str:
    """Microjoules per inference, or nothing where it was not measured."""
    return "" if np.isnan(row["energy_uj"]) else f"{row['energy_uj']:.1f}"


def _title(rows: pd.DataFrame, everything: pd.DataFrame) -> str:
    """Task and board, and what else tells the contest from others of this task and board."""
    first = rows.iloc[0]
    others = everything[(everything["task"] == first["task"]) & (everything["board"] == first["board"])]
    told = [
        first[name]
        for name in ("network", "training", "link", "toolchain")
        if others[name].nunique() > 1 and first[name]
    ]
    size = [f"at {shown_budget(first['budget'], first['board'])}"] if first["budget"] else []
    return ", ".join([f"{first['task']} on {first['board']}", *told, *size, effort(first)])


def terminal(records: Sequence[Record]) -> Group:
    """Compact tables for the end of a run, one per contest and board, fit for 80 columns."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = [Text()]
    everything = frame(records)
    for _, rows in everything.groupby([*CONTEST, "board"], sort=False):
        table = Table(title=escape(_title(rows, everything)), title_justify="left", title_style="bold")
        table.box, table.pad_edge = None, False
        table.add_column("place", min_width=16)
        for name, width in (("accuracy %", 13), ("flash KiB", 9), ("RAM KiB", 7), ("Mcycles", 7), ("ms", 7)):
            table.add_column(name, justify="right", min_width=width, no_wrap=True)
        measured = not rows["energy_uj"].isna().all()
        if measured:
            table.add_column("µJ", justify="right", min_width=7)
        sized = rows["size"].any()
        if sized:
            table.add_column("size")
        table.add_column("fits")
        for row in rows.to_dict("records"):
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
    note = (
        f"◆ fits, and none that fits, of any size, is better in accuracy, flash and cycles at once; cycles are {labels}"
    )
    return Group(*parts, Text(f"{PLACES}\n{note}", style="dim"))
