# SPDX-License-Identifier: Apache-2.0
"""What README.md says of the leaderboard is what that says: the answer, and the table of figures.

``python -m tests.render.test_readme`` writes both anew; the first two cells of the table's lines are written by hand.
"""

import csv
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "README.md"
BOARD = "nucleo_l476rg"
ANSWER = re.compile(r"^\*\*To fit a network .*?(?=\n\n)", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"^\| task \| budget, steps \| (.+) \|$", re.MULTILINE)
LINE = re.compile(r"^\| `([^`]+)`([^|]*) \| (\d+) KiB, (\d+) \|.*\|$", re.MULTILINE)


def rows() -> dict[tuple[str, str, str, str], dict[str, str]]:
    """By task, KiB of flash, steps and recipe."""
    with (ROOT / "leaderboard" / "rows.csv").open(newline="") as file:
        return {
            (row["task"], row["budget"].removeprefix("flash=").partition("KiB")[0], row["steps"], row["recipe"]): row
            for row in csv.DictReader(file)
            if row["board"] == BOARD and f"board={BOARD}" in row["budget"]
        }


def cell(row: dict[str, str] | None) -> str:
    """Accuracy in %, bold in the first place, and milliseconds with the flash."""
    if row is None:
        return ""
    accuracy, latency = f"{100 * float(row['accuracy']):.1f}", float(row["latency_ms"])
    return f"{f'**{accuracy}**' if row['place'] == '1' else accuracy}, {latency:.{0 if latency >= 10 else 1}f}"


def written(text: str) -> str:
    """README.md with today's figures."""
    found = rows()
    head = HEAD.search(text)
    assert head
    recipes = re.findall(r"`([^`]+)`", head[1])

    def line(match: re.Match[str]) -> str:
        task, what, flash, steps = match.groups()
        cells = [cell(found.get((task, flash, steps, recipe))) for recipe in recipes]
        return f"| `{task}`{what} | {flash} KiB, {steps} |" + "".join(f" {one} |" if one else " |" for one in cells)

    answer = next(
        line for line in (ROOT / "leaderboard" / "study.md").read_text("utf-8").splitlines() if line[:2] == "**"
    )
    filled = textwrap.fill(answer, 155, break_long_words=False, break_on_hyphens=False)
    return LINE.sub(line, ANSWER.sub(lambda _: filled, text))


def test_it_says_what_the_leaderboard_says() -> None:
    text = PAGE.read_text("utf-8")
    assert len(LINE.findall(text)) >= 5 and ANSWER.search(text)
    assert written(text) == text
    assert all(any(key[:3] == (task, flash, steps) for key in rows()) for task, _, flash, steps in LINE.findall(text))


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
