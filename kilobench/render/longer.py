# SPDX-License-Identifier: Apache-2.0
"""What longer training changes, on the page of the study's claims and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kilobench.results.longer import Length, Lengths
from kilobench.results.stats import Estimate
from kilobench.results.study import PRUNED, XNOR
from kilobench.results.table import slug

_NOT_RUN = "not run"
"""In a cell of a recipe that a length lacks."""


def lines(found: Sequence[Lengths]) -> list[dict[str, str]]:
    """Of a table: one for every length of every contest, with a column for every recipe."""
    recipes = dict.fromkeys(recipe for one in found for recipe in one.recipes)
    return [
        {
            "Contest": f"[{one.label}](tasks/{slug(length.row['task'])}.md)",
            "Steps": f"{length.row['steps']:.0f}",
            **{f"`{recipe}` %": _reached(length, recipe) for recipe in recipes},
            f"`{XNOR}` less `{PRUNED}`": _NOT_RUN if length.xnor is None else _points(length.xnor),
        }
        for one in found
        for length in one.lengths
    ]


def panels(found: Sequence[Lengths]) -> dict[str, list[dict[str, Any]]]:
    """By contest the points of its curves: ``label``, the recipe, ``steps``, and in % ``accuracy``, ``low`` and ``high``."""
    return {
        one.label: [
            {
                "label": recipe,
                "steps": row["steps"],
                **{name: round(100 * row[name], 2) for name in ("accuracy", "low", "high")},
            }
            for length in one.lengths
            for recipe, row in length.rows.items()
        ]
        for one in found
    }


def _reached(length: Length, recipe: str) -> str:
    if recipe not in length.rows:
        return _NOT_RUN
    reached = f"{100 * length.rows[recipe]['accuracy']:.1f}"
    return f"{reached}; {_points(length.gains[recipe])}" if recipe in length.gains else reached


def _points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
