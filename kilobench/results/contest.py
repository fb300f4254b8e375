# SPDX-License-Identifier: Apache-2.0
"""Equal terms: which records may be ranked together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from kilobench.plugins.budget import parse_budget
from kilobench.plugins.spec import without_width
from kilobench.record import Record

CONTEST = ["task", "network", "training", "effort", "budget", "link", "toolchain"]
"""What must be equal for two records to be compared at all; within it, costs are compared per board. Of networks that a budget
made as large as it allows, the width does not count."""
SAME_STEPS = 0.01
"""Efforts are equal that differ by at most this share."""
BY_AUC = "judged by AUC: only accuracies are tested for differences"
"""Why recipes of tasks that reconstruct are not ranked: their scores are no right and wrong answers."""
CLAIMED = "claimed: not measured again"
"""Why what is only said (docs/trust.md) is not ranked."""


def contest_of(record: Record) -> tuple[str | float, ...]:
    """The values of CONTEST; an effort of 0 stands for records that state none."""
    network = without_width(record.network) if record.budget else record.network
    effort = record.effort or 0.0
    return record.task, network, record.training_changes, effort, record.budget, record.link, record.toolchain


def cell_of(record: Record) -> tuple[str | float, ...]:
    """What a leaderboard has one record of: of a contest, a recipe on a board, from a seed on a fold."""
    return *contest_of(record), record.recipe, record.board, record.seed, record.fold


def shown_budget(budget: str, board: str) -> str:
    """As people read it: ``64 KiB``, ``64 KiB of RAM``; with the board that it is on, if that is another than ``board``."""
    words = {"flash": "", "ram": " of RAM", "latency": ""}
    limits = dict(part.split("=", 1) for part in budget.split(","))
    on = limits.pop("board", board)
    parts = [re.sub(r"(?<=\d)(?=[A-Za-z])", " ", value) + words[name] for name, value in limits.items()]
    return ", ".join(parts or ["what it has"]) + (f" on {on}" if on != board else "")


def steps_of(record: Record) -> int:
    """Of the optimiser, in all stages."""
    return sum(record.steps.values())


def newest_versions(records: Iterable[Record]) -> dict[str, int]:
    """The newest version that there is of every task, network, method, and of the kernels."""
    newest: dict[str, int] = {}
    for record in records:
        for name, version in record.contributions.items():
            newest[name] = max(version, newest.get(name, 0))
    return newest


def unequal(group: Sequence[Record], newest: Mapping[str, int]) -> str:
    """Why records of one recipe cannot be ranked, whatever the others are; empty if they can."""
    if any(record.auc for record in group):
        return BY_AUC
    if any(record.effort is None for record in group):
        return "unequal effort"
    if any(record.trust == "claimed" for record in group):
        return CLAIMED
    for record in group:
        if over := over_budget(record):
            return f"exceeds its budget: {over}"
        for name, version in record.contributions.items():
            if version < newest[name]:
                return f"{name}: version {version}, the newest is {newest[name]}"
    return ""


def excesses(record: Record) -> list[tuple[str, float, float]]:
    """What a record takes too much of, how much it takes, and its budget: bytes of flash and RAM, milliseconds of time.

    None where it keeps its budget, or that is on another board.
    """
    if not record.budget or (budget := parse_budget(record.budget, "")).board != record.board:
        return []
    taken = (
        ("flash", record.flash_bytes, budget.flash_bytes),
        ("RAM", record.ram_bytes, budget.ram_bytes),
        ("time", record.latency_ms or math.inf, budget.latency_ms),
    )
    return [(name, value, limit) for name, value, limit in taken if value > limit]


def over_budget(record: Record) -> str:
    """What a record exceeds of the budget that it is for, on the board of that budget; empty where it keeps it."""
    return ", ".join(f"{name} {value:g} of {limit:g}" for name, value, limit in excesses(record))


def incomparable(a: Record, b: Record) -> str:
    """Why two records of one contest cannot be compared; empty if they can."""
    if a.auc or b.auc:
        return BY_AUC
    if a.effort is None or b.effort is None:
        return "unequal effort"
    if "claimed" in (a.trust, b.trust):
        return CLAIMED
    if abs(steps_of(a) - steps_of(b)) > SAME_STEPS * steps_of(a):
        return f"unequal effort: {steps_of(a)} and {steps_of(b)} steps"
    for name in a.contributions.keys() & b.contributions.keys():
        if a.contributions[name] != b.contributions[name]:
            return f"versions {a.contributions[name]} and {b.contributions[name]} of {name}"
    return ""
