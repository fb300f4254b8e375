# SPDX-License-Identifier: Apache-2.0
"""What longer training changes: the study's recipes after the lengths that they were trained for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kilobench.results.budgets import on_own_board
from kilobench.results.contest import CONTEST
from kilobench.results.rows import Row, Rows, enough, grouped
from kilobench.results.stats import Estimate, paired, usual_scatter
from kilobench.results.study import PRUNED, RECIPES, XNOR, labelled

_LENGTH = r"\b(steps|epochs)=[^,]*,?"
"""Of a row's training: the rest has to be the same."""


@dataclass(frozen=True)
class Length:
    """One length of training in a contest: of one task, network and budget."""

    rows: Mapping[str, Row]
    """By recipe, in the order of RECIPES."""
    gains: Mapping[str, Estimate]
    """By recipe, on the length before, over the folds and seeds that both have."""
    xnor: Estimate | None
    """Accuracy of XNOR-Net less that of the pruned network, of the same length."""

    @property
    def row(self) -> Row:
        """Any."""
        return next(iter(self.rows.values()))


@dataclass(frozen=True)
class Lengths:
    """All of one contest, the shortest first."""

    label: str
    lengths: tuple[Length, ...]

    @property
    def recipes(self) -> list[str]:
        """That were trained for one of the lengths, in the order of RECIPES."""
        return [recipe for recipe in RECIPES if any(recipe in length.rows for length in self.lengths)]


def lengths(rows: Rows) -> list[Lengths]:
    """Of every contest with an XNOR-Net that was trained for several lengths, from three seeds or folds."""
    known = [row for row in on_own_board(rows) if row["place"] is not None and row["recipe"] in RECIPES and enough(row)]
    alike = [row | {"trained": re.sub(_LENGTH, "", row["training"]).strip(",")} for row in known]
    found = []
    for _, contests in grouped(alike, "task", "network", "budget", "board", "trained"):
        by_recipe = [{row["recipe"]: row for row in contest} for _, contest in grouped(contests, *CONTEST)]
        of_xnor = {one[XNOR]["steps"]: one for one in by_recipe if XNOR in one}
        if len(of_xnor) > 1:
            found.append(_lengths([of_xnor[steps] for steps in sorted(of_xnor)]))
    return found


def _lengths(by_steps: list[dict[str, Row]]) -> Lengths:
    told: list[Length] = []
    before: dict[str, Row] = {}
    for trained in by_steps:
        here = {recipe: trained[recipe] for recipe in RECIPES if recipe in trained}
        gains = {name: _difference(before[name], row) for name, row in here.items() if name in before}
        usual = usual_scatter([row["results"] for row in here.values()])
        ahead = paired(here[PRUNED]["results"], here[XNOR]["results"], usual) if PRUNED in here else None
        known = {name: gain for name, gain in gains.items() if gain}
        told.append(Length(here, known, ahead.difference if ahead else None))
        before |= here
    return Lengths(labelled(by_steps[0][XNOR]), tuple(told))


def _difference(before: Row, after: Row) -> Estimate | None:
    found = paired(before["results"], after["results"])
    return found.difference if found else None
