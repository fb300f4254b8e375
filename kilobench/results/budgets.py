# SPDX-License-Identifier: Apache-2.0
"""Rows -> who wins at which budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kilobench.plugins.budget import parse_budget
from kilobench.record import TooLarge
from kilobench.results.contest import shown_budget

CONTESTS = ["task", "network", "training", "effort", "link", "toolchain", "board"]
"""What the columns of one table of budgets have in common."""


@dataclass(frozen=True)
class Entry:
    """A recipe as large as a budget allows, on the board of that budget."""

    recipe: str
    place: int | None
    """None where it cannot be ranked."""
    accuracy: float
    low: float
    high: float
    latency_ms: float
    cycles: float
    size: str


@dataclass(frozen=True)
class Budgeted:
    """All recipes at one budget, best first."""

    budget: str
    title: str
    """For people, as in ``64 KiB``."""
    entries: tuple[Entry, ...]
    too_large: tuple[TooLarge, ...]

    @property
    def winners(self) -> tuple[Entry, ...]:
        """The most accurate, and those that tests cannot tell from it."""
        return tuple(entry for entry in self.entries if entry.place == 1)

    @property
    def sentence(self) -> str:
        """Who wins, and what it takes beside the next."""
        if not self.winners:
            return ""
        first, *ties = self.winners
        others = [entry for entry in self.entries if entry.place and entry is not first]
        if ties:
            names = ", ".join(f"`{entry.recipe}` {100 * entry.accuracy:.1f} %" for entry in self.winners)
            said = f"At {self.title} tests cannot tell {names}"
        else:
            said = f"At {self.title} `{first.recipe}` wins with {100 * first.accuracy:.1f} %"
        if others and not math.isnan(first.cycles + others[0].cycles):
            other = others[0]
            whose = f"`{first.recipe}` takes" if ties else "it takes"
            rival = f"`{other.recipe}`" + ("" if ties else f" ({100 * other.accuracy:.1f} %)")
            said += f"; {whose} {first.cycles / other.cycles:.2f} times the cycles of {rival}"
        return said + "."


@dataclass(frozen=True)
class BudgetTable:
    """One task on one board, all networks of one family and effort: a column for every budget."""

    task: str
    board: str
    network: str
    training: str
    effort: float
    steps: float
    folds: int
    seeds: int
    columns: tuple[Budgeted, ...]


def budget_tables(rows: pd.DataFrame, too_large: Sequence[TooLarge] = ()) -> list[BudgetTable]:
    """Of the ranked rows of ``table.frame`` that were made for a budget of their own board."""
    ranked = on_own_board(rows[(rows["budget"] != "") & (rows["unequal"] == "")])
    tables: list[BudgetTable] = []
    for key, group in ranked.groupby(CONTESTS) if len(ranked) else ():
        known = dict(zip(CONTESTS, key, strict=True))
        missing = [one for one in too_large if all(_value(one, name) == known[name] for name in CONTESTS)]
        budgets = sorted({*group["budget"], *(one.budget for one in missing)}, key=order)
        columns = tuple(_column(budget, known["board"], group, missing) for budget in budgets)
        first = group.iloc[0]
        shown: dict[str, Any] = {name: known[name] for name in ("task", "board", "network", "training", "effort")}
        counts: dict[str, Any] = {name: int(first[name]) for name in ("folds", "seeds")}
        tables.append(BudgetTable(**shown, **counts, steps=float(first["steps"]), columns=columns))
    return tables


def on_own_board(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without a budget, and those on the board that theirs is on: elsewhere sizes are not equal."""
    budgets = zip(rows["budget"], rows["board"], strict=True)
    own = [not budget or parse_budget(budget, "").board == board for budget, board in budgets]
    return rows[pd.Series(own, index=rows.index, dtype=bool)]


def _value(one: TooLarge, name: str) -> object:
    return one.training_changes if name == "training" else getattr(one, name)


def order(budget: str) -> tuple[float, float, float]:
    """Small budgets first."""
    limits = parse_budget(budget, "")
    return limits.flash_bytes, limits.ram_bytes, limits.latency_ms


def _column(budget: str, board: str, group: pd.DataFrame, missing: Sequence[TooLarge]) -> Budgeted:
    contest = group[group["budget"] == budget].sort_values(
        ["place", "accuracy"], ascending=[True, False], kind="stable"
    )
    entries = tuple(
        Entry(
            recipe=row["recipe"],
            place=None if pd.isna(row["place"]) else int(row["place"]),
            **{name: row[name] for name in ("accuracy", "low", "high", "latency_ms", "cycles", "size")},
        )
        for row in contest.to_dict("records")
    )
    there = tuple(one for one in missing if one.budget == budget)
    return Budgeted(budget, shown_budget(budget, board), entries, there)
