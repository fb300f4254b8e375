# SPDX-License-Identifier: Apache-2.0
"""How many times smaller and faster programs are, beside what the study claims: counted, in flash, and in cycles of every core.

What a program takes does not depend on how long its network was trained, so that a network and its XNOR-Net are compared whatever
their training. What pruning leaves does, and the same space is a budget: pruning is compared within contests (``study``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from kilobench.results.claims import Ratio
from kilobench.results.contest import CONTEST
from kilobench.results.rows import Row, Rows, grouped, in_order, is_missing
from kilobench.results.study import (
    DOES_NOT,
    FULL,
    HOLDS,
    INT8,
    NOT_MEASURED,
    ONLY,
    XNOR,
    Duel,
    Verdict,
    is_xnor,
    labelled,
)

REACHED = 0.75
"""The share of a claimed ratio that reaches it: "58 times" are 46 to 61 in the study's own counts."""
BINARY_AT_ONCE = 64
"""Binary operations that the study counts as one."""
_NAMED = 1
"""Networks or contests that a verdict names at most."""
BY_THE_STUDY, BY_ITS_RULE = "as the study counts", "counted by its rule"
WEIGHTS, PROGRAM = "flash of weights", "program"

Levels = Mapping[str, Sequence[tuple[str, float]]]
"""By what is counted or measured: of which network or contest, and how many times."""
Cycles = Mapping[tuple[object, ...], Mapping[str, tuple[str, float]]]
"""By ``terms`` and board: the core, and cycles on it."""


def ratio_verdict(claim: Ratio, levels: Levels, lacking: str) -> Verdict:
    """By which of its levels, and of which networks, a ratio is reached; ``levels`` holds what was measured or counted here."""
    if not any(levels.values()):
        return Verdict(NOT_MEASURED, lacking)
    everything = {BY_THE_STUDY: list(claim.counted.items()), **levels}
    reached = {
        level: [label for label, times in found if times >= REACHED * claim.times]
        for level, found in everything.items()
        if found
    }
    whole = [level for level, labels in reached.items() if len(labels) == len(everything[level])]
    if len(whole) == len(reached):
        return Verdict(HOLDS, ", ".join(whole))
    parts = [
        _part(level, labels, len(everything[level]))
        for level, labels in reached.items()
        if labels and level not in whole
    ]
    never = f"; never {', '.join(none)}" if (none := [level for level, labels in reached.items() if not labels]) else ""
    if not (whole or parts):
        return Verdict(DOES_NOT, ", ".join(reached))
    return Verdict(ONLY, "; ".join([*whole, *parts]) + never)


def _part(level: str, labels: Sequence[str], count: int) -> str:
    """Of how many a level reaches a ratio, and of which, where they are few."""
    named = f" ({', '.join(labels)})" if len(labels) <= _NAMED else ""
    return f"{level} in {len(labels)} of {count}{named}"


def same_network(rows: Rows, recipe: str = "") -> list[tuple[Row, Row]]:
    """The network in full precision, and its XNOR-Nets or what ``recipe`` makes of it, on one board of every core."""
    known = [row for row in rows if not row["unequal"] or row["unequal"].startswith("unequal effort")]
    pairs: dict[tuple[str, ...], tuple[Row, Row]] = {}
    for (task, built, *_), group in grouped(known, "task", "built", "link", "toolchain"):
        for _, board in in_order(group, "board"):
            whole = [row for row in board if row["recipe"] == FULL][:1]
            small = [row for row in board if (row["recipe"] == recipe if recipe else is_xnor(row))]
            for full, row in product(whole, small):
                pairs.setdefault((task, built, row["recipe"], core(row)), (full, row))
    return list(pairs.values())


def core(row: Row) -> str:
    """That its cycles are of."""
    return str(row["timing"].split()[-1])


def cores(rows: Iterable[Row]) -> dict[str, str]:
    """All that cycles of rows are of, and what each is called: the same, and whether they are estimated."""
    found = {core(row): row["timing"].startswith("estimated") for row in rows if not is_missing(row["cycles"])}
    return {name: f"{name} (estimated)" if found[name] else name for name in sorted(found)}


def operations(row: Row) -> float:
    """As the study counts them, but for the layers that stay in higher precision, which count here."""
    binary = row["macs"].get("binary", 0)
    return work(row) - binary + binary / BINARY_AT_ONCE


def memory_levels(pairs: Iterable[tuple[Row, Row]]) -> Levels:
    """How many times smaller: the weights in flash, and the program, each network once."""
    first = list({network(small): (full, small) for full, small in reversed(list(pairs))}.items())
    return {
        WEIGHTS: [(name, full["weights_bytes"] / small["weights_bytes"]) for name, (full, small) in first],
        PROGRAM: [(name, full["flash_bytes"] / small["flash_bytes"]) for name, (full, small) in first],
    }


def computation_levels(
    pairs: Sequence[tuple[Row, Row]], contests: Iterable[Rows] = (), everywhere: Sequence[Row] = ()
) -> Levels:
    """How many times fewer operations as the study counts them, and cycles on every core.

    And of ``contests`` at equal flash, whose networks are not of one width, how many times fewer of them an operation takes.
    """
    counted = {network(small): operations(full) / operations(small) for full, small in pairs}
    counted |= {name: work(xnor) / operations(xnor) for name, _, xnor in at_equal_flash(contests)}
    levels: dict[str, Sequence[tuple[str, float]]] = {BY_ITS_RULE: list(counted.items())}
    cycles = cycles_by_board(everywhere)
    for name, title in cores([*everywhere, *(row for pair in pairs for row in pair)]).items():
        found = {network(small): full["cycles"] / small["cycles"] for full, small in pairs if core(small) == name}
        found |= _per_operation(contests, cycles, name)
        levels[title] = [(label, times) for label, times in found.items() if not math.isnan(times)]
    return levels


def _per_operation(contests: Iterable[Rows], cycles: Cycles, name: str) -> dict[str, float]:
    """Cycles of a multiply-accumulate of fp32 divided by those of one of the XNOR-Net, by contest, on a core."""
    return {
        label: work(xnor) / work(full) * _ratio(full, xnor, cycles, name)
        for label, full, xnor in at_equal_flash(contests)
    }


def at_equal_flash(contests: Iterable[Rows]) -> list[tuple[str, Row, Row]]:
    """Of every contest that has both, what it is called, the network in full precision and the XNOR-Net."""
    found = []
    for contest in contests:
        by_recipe = {row["recipe"]: row for row in contest if row["budget"]}
        if FULL in by_recipe and XNOR in by_recipe:
            found.append((per_operation(by_recipe[XNOR]), by_recipe[FULL], by_recipe[XNOR]))
    return found


def work(row: Row) -> float:
    """Multiply-accumulates, of whatever precision."""
    return float(sum(row["macs"].values()))


def per_operation(row: Row) -> str:
    """A contest, in which an operation is compared."""
    return f"{labelled(row)} (per operation)"


def network(row: Row) -> str:
    """A network on a task, as another recipe of XNOR than the usual one makes it."""
    other = "" if row["recipe"] in (XNOR, INT8) else f", {row['recipe']}"
    return f"{row['built']} on {row['task']}{other}"


def eight_levels(duels: Sequence[Duel], everywhere: Rows) -> Levels:
    """How many times the operations and, on every core, cycles of the XNOR-Net the other takes."""
    levels: dict[str, Sequence[tuple[str, float]]] = {
        BY_ITS_RULE: [(duel.label, operations(duel.other) / operations(duel.xnor)) for duel in duels if duel.main]
    }
    cycles = cycles_by_board(everywhere)
    for name, title in cores(everywhere).items():
        found = [(duel.label, _ratio(duel.other, duel.xnor, cycles, name)) for duel in duels if duel.main]
        levels[title] = [(label, times) for label, times in found if not math.isnan(times)]
    return levels


def too_large(compared: Iterable[tuple[str, Row, Row]], everywhere: Rows) -> set[tuple[str, str]]:
    """Of which networks or contests, and on which core, one program is known to fit none of the boards that were tried.

    ``compared`` are what each is called, and its two rows; cores are as of ``cores``.
    """
    large = {(terms(row), core(row)) for row in everywhere if is_missing(row["cycles"]) and not row["fits"]}
    titles = cores(everywhere)
    return {
        (label, title)
        for label, *both in compared
        for name, title in titles.items()
        if any((terms(row), name) in large for row in both)
    }


def terms(row: Row) -> tuple[object, ...]:
    """What makes a row that of one recipe of one contest, whatever the board."""
    return *(row[name] for name in CONTEST), row["recipe"], row["built"]


def cycles_by_board(rows: Iterable[Row]) -> Cycles:
    """Of rows on boards, and of those that only their models were run for."""
    found: dict[tuple[object, ...], dict[str, tuple[str, float]]] = {}
    for row in rows:
        if not is_missing(row["cycles"]):
            found.setdefault(terms(row), {})[row["board"]] = core(row), row["cycles"]
    return found


def _ratio(one: Row, other: Row, cycles: Cycles, name: str) -> float:
    """Of their cycles on the first board of a core that both were run for; NaN where there is none."""
    others = cycles.get(terms(other), {})
    for board, (found, count) in cycles.get(terms(one), {}).items():
        if found == name and board in others:
            return count / others[board][1]
    return math.nan
