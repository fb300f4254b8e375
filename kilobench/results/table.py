# SPDX-License-Identifier: Apache-2.0
"""Records -> one row per task, network, recipe, board, link and toolchain; folds and seeds are pooled."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kilobench.record import NOT_RUN, Record
from kilobench.results.stats import Estimate, Results, paired, pareto, places, pooled, results

if TYPE_CHECKING:
    from rich.console import Group

CONTEST = ["task", "network", "training", "link", "toolchain"]
"""What must be equal for two rows to be compared at all; within it, costs are compared per board."""
DIFFERENCE = ["difference", "difference_low", "difference_high"]
"""Columns: accuracy less that of ``full`` of the same contest, and its 95 % interval (``stats.paired``)."""
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

    Accuracies are shares of 1 with 95 % intervals over folds and seeds (``stats.pooled``). ``place``: ``stats.places`` of the
    rows of one board that CONTEST does not tell apart. ``pareto``: it fits, and no other that fits its board is at least as good
    in accuracy, flash and cycles and better in one. ``cycles`` and ``latency_ms`` are NaN where a program is too large to run.
    """
    keys = [*CONTEST, "board", "recipe"]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.task, r.network, r.board, r.recipe, r.seed, r.fold)):
        training = record.training_changes
        key = (record.task, record.network, training, record.link, record.toolchain, record.board, record.recipe)
        groups.setdefault(key, []).append(record)
    pools: dict[object, tuple[Results, Estimate]] = {}
    rows = pd.DataFrame([dict(zip(keys, key, strict=True)) | _figures(group, pools) for key, group in groups.items()])
    _compare(rows)
    rows = rows.sort_values(
        [*CONTEST, "board", "place", "accuracy", "flash_bytes"], ascending=[True] * 7 + [False, True], kind="stable"
    )
    return rows.reset_index(drop=True)


def _pool(group: list[Record], pools: dict[object, tuple[Results, Estimate]]) -> tuple[Results, Estimate]:
    """Results of a row and their pool; the same objects for the same model, which is right about the same samples everywhere."""
    key = tuple((r.data_digest, r.fold, r.seed, r.accuracy.total, r.accuracy.bitmap) for r in group)
    if key not in pools:
        correct = results(group)
        pools[key] = correct, pooled(correct)
    return pools[key]


def _figures(group: list[Record], pools: dict[object, tuple[Results, Estimate]]) -> dict[str, object]:
    seeds = len({record.seed for record in group})
    correct, estimate = _pool(group, pools)
    cycles = fmean([float("nan") if record.cycles is None else record.cycles for record in group])
    worst = max(group, key=lambda record: record.over_flash_bytes + record.over_ram_bytes)
    return {
        "accuracy": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
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
    """Add the columns that need other rows: place, pareto, flash_ratio, cycles_ratio, DIFFERENCE."""
    place: list[int | None] = [None] * len(rows)
    on_front = np.zeros(len(rows), dtype=bool)
    ratios = np.full((len(rows), 2), np.nan)
    differences = np.full((len(rows), 3), np.nan)
    costs = rows[["flash_bytes", "cycles"]].to_numpy(dtype=float)
    accuracy, fits = rows["accuracy"].to_numpy(), rows["fits"].to_numpy()
    recipes, tested = list(rows["recipe"]), list(rows["results"])
    # Results are the same objects on every board (see _pool), so that everything is tested once.
    known: dict[tuple[int, ...], list[int | None]] = {}
    tests: dict[tuple[int, int], tuple[float, float, float]] = {}
    for board in rows.groupby([*CONTEST, "board"]).indices.values():
        same = tuple(id(tested[i]) for i in board)
        known[same] = known.get(same) or places([tested[i] for i in board])
        for i, found in zip(board, known[same], strict=True):
            place[i] = found
        fitting = board[fits[board]]
        front = pareto([(accuracy[i], *costs[i]) for i in fitting])
        on_front[fitting[list(front)]] = True
        full = next((i for i in board if recipes[i] == "full"), None)
        if full is not None:
            ratios[board] = costs[full] / costs[board]
            differences[board] = [_difference(tested[full], tested[i], tests) for i in board]
    rows["place"], rows["pareto"] = pd.array(place, dtype="Int64"), on_front
    rows[["flash_ratio", "cycles_ratio"]], rows[DIFFERENCE] = ratios, differences


def _difference(
    full: Results, other: Results, tests: dict[tuple[int, int], tuple[float, float, float]]
) -> tuple[float, float, float]:
    """DIFFERENCE of a recipe to ``full``; NaN where they have no samples in common."""
    key = (id(full), id(other))
    if key not in tests:
        test = paired(full, other)
        found = test and (test.difference.mean, test.difference.low, test.difference.high)
        tests[key] = found or (np.nan, np.nan, np.nan)
    return tests[key]


def methods(recipe: str) -> list[str]:
    """Names of the methods of a recipe, without their parameters."""
    return [part.partition("[")[0] for part in re.split(r"\+(?![^\[]*\])", recipe)]


def families(rows: pd.DataFrame) -> list[str]:
    """Data sets that were measured with several numbers of classes by one network and training."""
    counts = rows.groupby([rows["task"].map(_family), "network", "training"])["classes"].nunique()
    return sorted({str(key[0]) for key, count in counts.items() if count > 1})


def class_curves(rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """A row per network, training, number of classes and recipe, with accuracy, low, high and place at that number of classes.

    A model's accuracy is the same on every board, so that boards are not told apart: the one with the most results counts.
    """
    chosen = rows[rows["task"].map(_family) == family].sort_values("seeds", ascending=False, kind="stable")
    several = chosen.groupby(["network", "training"])["classes"].transform("nunique") > 1
    chosen = chosen[several].drop_duplicates(["network", "training", "classes", "recipe"])
    curves = chosen.sort_values(["network", "training", "classes", "recipe"]).reset_index(drop=True)
    for _, contest in curves.groupby(["network", "training", "classes"]):
        curves.loc[contest.index, "place"] = pd.array(places(list(contest["results"])), dtype="Int64")
    return curves[["network", "training", "classes", "recipe", "accuracy", "low", "high", "place"]]


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
    """By number of classes, of one network and training in ``class_curves``; only recipes that have all folds lead."""
    found: list[Leader] = []
    before: set[str] = set()
    for classes, contest in curve[curve["place"].notna()].groupby("classes"):
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


def energy(row: Mapping[Hashable, Any]) -> str:
    """Microjoules per inference, or nothing where it was not measured."""
    return "" if np.isnan(row["energy_uj"]) else f"{row['energy_uj']:.1f}"


def _title(rows: pd.DataFrame, everything: pd.DataFrame) -> str:
    """Task and board, and what else tells the contest from others of this task and board."""
    first = rows.iloc[0]
    others = everything[(everything["task"] == first["task"]) & (everything["board"] == first["board"])]
    told = [first[name] for name in CONTEST[1:] if others[name].nunique() > 1 and first[name]]
    return ", ".join([f"{first['task']} on {first['board']}", *told])


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
            table.add_column(name, justify="right", min_width=width)
        measured = not rows["energy_uj"].isna().all()
        if measured:
            table.add_column("µJ", justify="right", min_width=7)
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
                misses(row),
            )
        parts += [table, Text()]
    labels = " and ".join(sorted({record.timing.split()[0] for record in records}))
    note = f"◆ fits, and none that fits is better in accuracy, flash and cycles at once; cycles are {labels}"
    return Group(*parts, Text(f"{PLACES}\n{note}", style="dim"))
