# SPDX-License-Identifier: Apache-2.0
"""Rows -> who wins at which budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kilobench.plugins.budget import parse_budget
from kilobench.record import TooLarge
from kilobench.results.contest import shown_budget
from kilobench.results.rows import TOO_FEW, Rows, distinct, enough, grouped

CONTESTS = ["task", "network", "training", "effort", "link", "toolchain", "board"]
"""What the columns of one table of budgets have in common."""
_NAMED = 5
"""Winners that a sentence names."""


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
    enough: bool
    """Of as many seeds or folds as ``rows.enough`` asks for."""

    @property
    def share(self) -> str:
        """The accuracy, as text."""
        return f"{100 * self.accuracy:.1f} %{'' if self.enough else TOO_FEW}"


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
            names = ", ".join(f"`{entry.recipe}` {entry.share}" for entry in self.winners[:_NAMED])
            more = len(self.winners) - _NAMED
            names += f" and {more} more" if more > 0 else ""
            said = f"At {self.title} tests cannot tell {names}"
        else:
            said = f"At {self.title} `{first.recipe}` wins with {first.share}"
        if others and not math.isnan(first.cycles + others[0].cycles):
            other = others[0]
            whose = f"`{first.recipe}` takes" if ties else "it takes"
            rival = f"`{other.recipe}`" + ("" if ties else f" ({other.share})")
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


def budget_tables(rows: Rows, too_large: Sequence[TooLarge] = ()) -> list[BudgetTable]:
    """Of the ranked rows of ``table.rows_of`` that were made for a budget of their own board.

    By task, those that were trained for longest first.
    """
    ranked = on_own_board([row for row in rows if row["budget"] and not row["unequal"]])
    tables: list[BudgetTable] = []
    for key, group in grouped(ranked, *CONTESTS):
        known = dict(zip(CONTESTS, key, strict=True))
        missing = [one for one in too_large if all(_value(one, name) == known[name] for name in CONTESTS)]
        budgets = sorted({*distinct(group, "budget"), *(one.budget for one in missing)}, key=order)
        columns = tuple(_column(budget, known["board"], group, missing) for budget in budgets)
        first = group[0]
        shown: dict[str, Any] = {name: known[name] for name in ("task", "board", "network", "training", "effort")}
        counts: dict[str, Any] = {name: int(first[name]) for name in ("folds", "seeds")}
        tables.append(BudgetTable(**shown, **counts, steps=float(first["steps"]), columns=columns))
    return sorted(tables, key=lambda table: (table.task, -table.steps))


def on_own_board(rows: Rows) -> Rows:
    """Rows without a budget, and those on the board that theirs is on: elsewhere sizes are not equal."""
    return [row for row in rows if not row["budget"] or parse_budget(row["budget"], "").board == row["board"]]


def smallest(one: TooLarge) -> str:
    """What a recipe takes at least that keeps no budget: of flash, RAM and, where that has a limit, time."""
    budget = parse_budget(one.budget, one.board)
    latency = math.inf if one.latency_ms is None else one.latency_ms
    takes = f"too large: at least {one.flash_bytes / 1024:.1f} KiB of flash, {one.ram_bytes / 1024:.1f} of RAM"
    if math.isfinite(budget.latency_ms) and math.isfinite(latency):
        takes += f", {latency:.1f} ms"
    over = one.flash_bytes > budget.flash_bytes or one.ram_bytes > budget.ram_bytes or latency > budget.latency_ms
    return takes if over else f"{takes}, more than the board's memory holds"


def _value(one: TooLarge, name: str) -> object:
    return one.training_changes if name == "training" else getattr(one, name)


def order(budget: str) -> tuple[float, float, float]:
    """Small budgets first."""
    limits = parse_budget(budget, "")
    return limits.flash_bytes, limits.ram_bytes, limits.latency_ms


def _column(budget: str, board: str, group: Rows, missing: Sequence[TooLarge]) -> Budgeted:
    contest = [row for row in group if row["budget"] == budget]
    contest.sort(key=lambda row: (row["place"] is None, row["place"], -row["accuracy"]))
    entries = tuple(
        Entry(
            recipe=row["recipe"],
            enough=enough(row),
            **{name: row[name] for name in ("place", "accuracy", "low", "high", "latency_ms", "cycles", "size")},
        )
        for row in contest
    )
    there = tuple(one for one in missing if one.budget == budget)
    return Budgeted(budget, shown_budget(budget, board), entries, there)
