# SPDX-License-Identifier: Apache-2.0
"""The figures beside authors' claims in docs/methods.md are those of the leaderboard's rows.

``python -m tests.render.test_method_table`` writes them anew; recipe and claim are written by hand.
"""

import csv
import re
from pathlib import Path

from kilobench.results.rows import TOO_FEW, enough
from kilobench.results.store import Store

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods.md"
BOARD, STEPS = "nucleo_l476rg", "1170"
COLUMNS = [(task, budget) for task in ("spoken-words", "fsdd", "cifar10") for budget in ("32KiB", "64KiB")]
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|.*\|$", re.MULTILINE)


def section(text: str) -> str:
    """From the heading of the claims to the next one, or the end."""
    return "\n## What their authors claim" + text.partition("\n## What their authors claim")[2].partition("\n## ")[0]


def size(budget: str) -> str:
    """As in ``64KiB``, of a budget of flash."""
    return budget.removeprefix("flash=").partition(",")[0]


def rows() -> dict[tuple[str, str, str], dict[str, str]]:
    """By recipe, task and budget; empty where no size keeps it."""
    with (ROOT / "leaderboard" / "rows.csv").open(newline="") as file:
        measured = {
            (row["recipe"], row["task"], size(row["budget"])): row
            for row in csv.DictReader(file)
            if (row["board"], row["steps"]) == (BOARD, STEPS)
        }
    large = Store(ROOT / "leaderboard" / "records").read_too_large()
    return {(row.recipe, row.task, size(row.budget)): {} for row in large} | measured


def figure(row: dict[str, str] | None) -> str:
    if not row:
        return "none yet" if row is None else "too large"
    few = "" if enough({name: int(row[name]) for name in ("seeds", "folds")}) else TOO_FEW.strip()
    if row["recipe"] == row["reference"]:
        return f"{100 * float(row['accuracy']):.1f} %{few}"
    points, low, high = (100 * float(row[name]) for name in ("difference", "difference_low", "difference_high"))
    return f"{points:+.1f} ({low:+.1f} to {high:+.1f}){few}, {1 / float(row['cycles_ratio']):.1f}x"


def written(text: str) -> str:
    """The page with today's figures."""
    found = rows()

    def line(match: re.Match[str]) -> str:
        recipe, claim = match.groups()
        return (
            f"| `{recipe}` | {claim} | " + " | ".join(figure(found.get((recipe, *column))) for column in COLUMNS) + " |"
        )

    old = section(text)
    return text.replace(old, ROW.sub(line, old))


def test_figures_are_those_of_the_rows() -> None:
    text = PAGE.read_text("utf-8")
    assert len(ROW.findall(section(text))) > 10
    assert written(text) == text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
