# SPDX-License-Identifier: Apache-2.0
"""Rows -> Markdown."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from kilobench.record import NOT_RUN, TRUST, Record, TooLarge
from kilobench.results.budgets import Budgeted, BudgetTable, Entry, budget_tables, on_own_board, order
from kilobench.results.contest import CONTEST, shown_budget
from kilobench.results.headline import Spread, headlines
from kilobench.results.table import (
    CURVE,
    PLACES,
    Leader,
    class_curves,
    effort,
    energy,
    families,
    figure,
    joined_first,
    leaders,
    methods,
    misses,
    place,
    slug,
)

Row = Mapping[Hashable, Any]
_MOST_TIES = 3
_LEFT = {
    "Task",
    "Board",
    "Method",
    "Recipe",
    "Network",
    "Fits",
    "Most accurate",
    "Smallest as good",
    "Uncompressed: full",
    "Size",
    "Not ranked",
    "Budget",
    "Against",
    "Trust",
}


def pages(
    rows: pd.DataFrame, records: Sequence[Record], too_large: Sequence[TooLarge] = (), *, site: bool = False
) -> dict[str, str]:
    """Text by file name: README.md, tasks/TASK.md, boards/BOARD.md, methods/METHOD.md and, if there are curves, classes.md.

    For the ``site``, <div>s for interactive plots and tables stand where pages have images and tables of recipes.
    """
    environment = Environment(
        loader=PackageLoader("kilobench.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(slug=slug, site=site, places=PLACES, **_origin(records))
    shown = rows.drop(columns="results").assign(methods=rows["recipe"].map(methods))
    shown["cells"] = [_cells(row) for row in shown.to_dict("records")]

    def text(template: str, **values: object) -> str:
        up = "" if template in ("index", "classes") else "../"
        return environment.get_template(f"{template}.md.j2").render(up=up, **values)

    by_method = shown.explode("methods")
    boards = {str(name): _board(group) for name, group in shown.groupby("board")}
    known = {str(name): _method(str(name), group) for name, group in by_method.groupby("methods")}
    names = families(rows)
    budgets = budget_tables(rows, too_large)
    facts: dict[str, object] = {"winners": _winners(budgets), "summary": _summary(shown), "headline": _headline(rows)}
    facts["unequal"] = int((rows["unequal"] != "").sum())
    facts["trust"] = {word: int((rows["trust"] == word).sum()) for word in reversed(TRUST)}
    files = {"README.md": text("index", **facts, boards=boards, methods=known, families=names)}
    if names:
        files["classes.md"] = text("classes", families={name: _classes(class_curves(rows, name)) for name in names})
    for name, task in shown.groupby("task"):
        own = [_budgets(table) for table in budgets if table.task == name]
        files[f"tasks/{slug(str(name))}.md"] = text("task", name=name, budgets=own, **_task(task))
    for board, values in boards.items():
        files[f"boards/{slug(board)}.md"] = text("board", name=board, **values)
    for method, values in known.items():
        files[f"methods/{slug(method)}.md"] = text("method", name=method, **values)
    return files


def _origin(records: Sequence[Record]) -> dict[str, Any]:
    """Where the records come from, for the foot of every page."""
    newest = max(records, key=lambda record: (record.times.created, record.git_commit))
    return {
        "commits": sorted({record.git_commit for record in records}),
        "toolchains": sorted({record.toolchain for record in records}),
        "newest": newest.times.created[:10],
        "cited": newest.git_commit,
    }


def _winners(tables: Sequence[BudgetTable]) -> str:
    """Per task and board, a column for every budget: who wins there."""
    columns = sorted((column for table in tables for column in table.columns), key=lambda one: order(one.budget))
    titles = list(dict.fromkeys(column.title for column in columns))
    lines = []
    for table in tables:
        changed = f", {table.training}" if table.training else ""
        line = {
            "Task": f"[{table.task}](tasks/{slug(table.task)}.md){changed}",
            "Board": f"[{table.board}](boards/{slug(table.board)}.md)",
            "Steps": f"{table.steps:.0f}",
        }
        won = {column.title: _won(column) for column in table.columns}
        lines.append(line | {f"at {title}": won.get(title, "") for title in titles})
    return _markdown(lines) if lines else ""


def _headline(rows: pd.DataFrame) -> str:
    """A line per kind of contest and recipe over all tasks (kilobench.results.headline)."""
    ranked = on_own_board(rows[(rows["unequal"] == "") & (rows["recipe"] != rows["reference"])])
    lines = []
    for budget, group in sorted(ranked.groupby("budget"), key=lambda item: order(item[0]) if item[0] else (-1.0,)):
        title = shown_budget(str(budget), "") if budget else "none"
        for one in headlines(group):
            lines.append(
                {
                    "Budget": title,
                    "Recipe": f"`{one.recipe}`",
                    "Against": ", ".join(f"`{name}`" for name in sorted(group["reference"].unique()) if name),
                    "Tasks": f"{one.tasks}",
                    "smaller": _times(one.flash_ratio),
                    "faster": _times(one.cycles_ratio),
                    "Accuracy, points": _points(one.difference_points),
                }
            )
    return _markdown(lines) if lines else ""


def _times(spread: Spread) -> str:
    """A geometric mean and its geometric standard deviation."""
    deviation = "" if np.isnan(spread.deviation) else f" ×÷ {spread.deviation:.2f}"
    return "" if np.isnan(spread.mean) else f"{spread.mean:.2f}x{deviation}"


def _points(spread: Spread) -> str:
    """A mean and its standard deviation."""
    deviation = "" if np.isnan(spread.deviation) else f" ± {spread.deviation:.1f}"
    return "" if np.isnan(spread.mean) else f"{spread.mean:+.1f}{deviation}"


def _won(column: Budgeted) -> str:
    """The winners of one task at one budget; of equal ones the most accurate first."""
    if not column.winners:
        return "none"
    names = " = ".join(f"`{entry.recipe}`" for entry in column.winners[:_MOST_TIES])
    more = len(column.winners) - _MOST_TIES
    others = f" = {more} more" if more > 0 else ""
    return f"{names}{others} **{100 * column.winners[0].accuracy:.1f} %**"


def _budgets(table: BudgetTable) -> dict[str, Any]:
    """One table of budgets: recipes by budgets, best at the largest first, and a sentence for every budget."""
    recipes = dict.fromkeys(entry.recipe for column in reversed(table.columns) for entry in column.entries)
    recipes |= dict.fromkeys(one.recipe for column in table.columns for one in column.too_large)
    lines = []
    for recipe in recipes:
        line = {"Recipe": f"`{recipe}`"}
        for column in table.columns:
            entry = next((one for one in column.entries if one.recipe == recipe), None)
            smallest = next((one.flash_bytes for one in column.too_large if one.recipe == recipe), None)
            too_large = "" if smallest is None else f"too large: at least {smallest / 1024:.1f} KiB"
            line[column.title] = too_large if entry is None else _entry(entry)
        lines.append(line)
    return {"about": table, "table": _markdown(lines), "sentences": [column.sentence for column in table.columns]}


def _entry(entry: Entry) -> str:
    """Place, accuracy, time and size in a cell."""
    place = "–" if entry.place is None else f"**{entry.place}**" if entry.place == 1 else str(entry.place)
    spread = f"{100 * entry.accuracy:.1f} % ({100 * entry.low:.1f}-{100 * entry.high:.1f})"
    time = NOT_RUN if np.isnan(entry.latency_ms) else f"{entry.latency_ms:.{0 if entry.latency_ms >= 100 else 1}f} ms"
    return f"{place}. {spread}, {time}, {entry.size}"


def _summary(rows: pd.DataFrame) -> str:
    """Per task and board, of the ranked rows measured on the most samples: who wins, what ties with it, and the reference."""
    table = []
    for (task, board), group in rows[(rows["unequal"] == "") & (rows["budget"] == "")].groupby(["task", "board"]):
        fitting = group[group["fits"]]
        synthetic = ", *synthetic*" if group["synthetic"].any() else ""
        line = {
            "Task": f"[{task}](tasks/{slug(task)}.md){synthetic}",
            "Board": f"[{board}](boards/{slug(board)}.md)",
        }
        if len(fitting):
            fitting = fitting[fitting["samples"] == fitting["samples"].max()]
            best = fitting.loc[fitting["accuracy"].idxmax()]
            contest = group[(group[CONTEST] == best[CONTEST]).all(axis=1)]
            ties = contest[contest["fits"] & (contest["place"] == best["place"])]
            smallest = ties.loc[ties["flash_bytes"].idxmin()] if len(ties) else best
            same = smallest["recipe"] == best["recipe"]
            line |= {"Most accurate": _costs(best), "Smallest as good": "the same" if same else _costs(smallest)}
            full = contest[contest["recipe"] == contest["reference"]]
            line["Uncompressed: full"] = _full(full.iloc[0], best) if len(full) else ""
        else:
            line["Most accurate"] = "none fits"
        table.append(line)
    return _markdown(table) if table else ""


def _costs(row: Row) -> str:
    """Recipe, accuracy and costs in a cell."""
    training = f" ({row['training']})" if row["training"] else ""
    return f"`{row['recipe']}`{training} **{100 * row['accuracy']:.1f} %**, {_size(row['flash_bytes'])}, {_time(row)}"


def _full(row: Row, best: Row) -> str:
    if row["recipe"] == best["recipe"]:
        return "the same"
    fits = "" if row["fits"] else ", does not fit"
    return f"{100 * row['accuracy']:.1f} %, {_size(row['flash_bytes'])}, {_time(row)}{fits}"


def _size(count: float) -> str:
    return f"{count / 1024:.0f} KiB"


def _time(row: Row) -> str:
    if pd.isna(row["latency_ms"]):
        return NOT_RUN
    return f"{row['latency_ms']:.{0 if row['latency_ms'] >= 100 else 1}f} ms"


def _task(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "synthetic": bool(rows["synthetic"].any()),
        "classes": int(rows["classes"].iloc[0]),
        "contests": [_contest(contest) for _, contest in rows.groupby(CONTEST)],
        "commands": list(dict.fromkeys(command for commands in rows["commands"] for command in commands)),
    }


def _contest(rows: pd.DataFrame) -> dict[str, Any]:
    """What rows that CONTEST does not tell apart have in common, and a table for every board."""
    first = rows.iloc[0]
    boards = []
    for board, group in rows.groupby("board"):
        table = _markdown([_placed(row) for row in group.to_dict("records")])
        budget = shown_budget(first["budget"], str(board)) if first["budget"] else ""
        boards.append({"name": board, "table": table, "at": budget, **_timing(group.iloc[0])})
    return {
        **{name: first[name] for name in [*CONTEST, "folds", "seeds", "samples", "verified", "partial"]},
        "terms": effort(first),
        "boards": boards,
        "crops": not rows["crops"].isna().all(),
        "energy": not rows["energy_uj"].isna().all(),
    }


def _placed(row: Row) -> dict[str, str]:
    """Cells of a row, with its place, or why it has none."""
    why = {"Not ranked": row["unequal"]} if row["unequal"] and row["unequal"] != "unequal effort" else {}
    return {"Place": place(row), **row["cells"], **why}


def _timing(row: pd.Series) -> dict[str, str]:
    """How cycles of a board came about."""
    return {"timing": row["timing"], "mhz": f"{row['clock_hz'] / 1e6:g}", "conditions": row["conditions"]}


def _board(rows: pd.DataFrame) -> dict[str, Any]:
    """What records say about a board, and per task how every recipe fits it."""
    first = rows.iloc[0]
    links = rows.drop_duplicates(["link", "timing", "clock_hz", "conditions"])
    contests = [
        {
            **contest.iloc[0][CONTEST].to_dict(),
            "at": shown_budget(contest.iloc[0]["budget"], str(first["board"])) if contest.iloc[0]["budget"] else "",
            "terms": effort(contest.iloc[0]),
            "table": _markdown([{"Place": place(row), **_headroom(row)} for row in contest.to_dict("records")]),
        }
        for _, contest in rows.groupby(CONTEST)
    ]
    return {
        "flash": _size(first["board_flash_bytes"]),
        "ram": _size(first["board_ram_bytes"]),
        "links": [{"link": row["link"], **_timing(row)} for _, row in links.iterrows()],
        "contests": contests,
        "tasks": rows["task"].nunique(),
        "fitting": int(rows["fits"].sum()),
        "rows": len(rows),
    }


def _headroom(row: Row) -> dict[str, str]:
    """Cells of a row, and how much of the board's memory it takes."""
    cells = row["cells"]
    share = {name: 100 * row[f"{name}_bytes"] / row[f"board_{name}_bytes"] for name in ("flash", "ram")}
    kept = {name: cells[name] for name in ("Recipe", "Accuracy % (95 %)")}
    costs = {name: cells[name] for name in ("Mcycles", "Latency ms", "Energy µJ") if name in cells}
    memory = {
        "Flash KiB": cells["Flash KiB"],
        "% of flash": f"{share['flash']:.0f}",
        "RAM KiB": cells["RAM KiB"],
        "% of RAM": f"{share['ram']:.0f}",
    }
    return {**kept, **memory, **costs, **{name: cells[name] for name in ("Fits", "Trust")}}


def _method(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Every recipe with a method, compared with the reference, per task."""
    tasks = {}
    for task, group in rows.groupby("task"):
        several = [name for name in CONTEST[1:] if group[name].nunique() > 1]
        tasks[str(task)] = _markdown([_compared(row, several) for row in group.to_dict("records")])
    return {
        "tasks": tasks,
        "recipes": sorted(rows["recipe"].unique()),
        "boards": rows["board"].nunique(),
        "gains": _gains(
            rows[rows["recipe"] != rows["reference"]].dropna(subset=["difference", "flash_ratio", "cycles_ratio"])
        ),
    }


def _compared(row: Row, several: Sequence[str]) -> dict[str, str]:
    """A row beside its reference; ``several``: what else tells rows of the table apart."""
    cells, points = row["cells"], [100 * row[name] for name in ("difference", "difference_low", "difference_high")]
    told = (
        ""
        if pd.isna(points[0]) or row["recipe"] == row["reference"]
        else "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)
    )
    return {
        "Recipe": cells["Recipe"],
        "Board": row["board"],
        **{name.capitalize(): f"{row[name]:g}" if name == "effort" else row[name] for name in several},
        "Accuracy % (95 %)": cells["Accuracy % (95 %)"],
        "To reference, points (95 %)": told,
        **{name: cells[name] for name in ("Flash KiB", "smaller", "Mcycles", "faster", "Fits", "Trust")},
    }


def _gains(rows: pd.DataFrame) -> dict[str, Any]:
    """Of rows that can be compared with a reference: medians of costs, the span of differences, and how many are told apart."""
    if rows.empty:
        return {}
    models = rows.drop_duplicates([*CONTEST, "recipe"])  # accuracy is the same on every board
    worse, better = int((models["difference_high"] < 0).sum()), int((models["difference_low"] > 0).sum())
    return {
        "rows": len(rows),
        "smaller": f"{median(rows['flash_ratio']):.1f}x",
        "faster": f"{median(rows['cycles_ratio']):.1f}x",
        "lowest": f"{100 * models['difference'].min():+.1f}",
        "highest": f"{100 * models['difference'].max():+.1f}",
        "models": len(models),
        "worse": worse,
        "better": better,
        "alike": len(models) - worse - better,
    }


def _cells(row: Row) -> dict[str, str]:
    """One row as people read it."""

    def ratio(value: float) -> str:
        return "" if pd.isna(value) else f"{value:.1f}x"

    macs = " + ".join(f"{count / 1e6:.2f} M {kind}" for kind, count in row["macs"].items() if count)
    crops = {} if pd.isna(row["crops"]) else {"10 crops %": f"{100 * row['crops']:.1f}"}
    return {
        "Recipe": f"`{row['recipe']}`{' ◆' if row['pareto'] else ''}",
        "Accuracy % (95 %)": f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f}-{100 * row['high']:.1f})",
        **crops,
        **({"Size": row["size"]} if row["size"] else {}),
        "Flash KiB": f"{row['flash_bytes'] / 1024:.1f}",
        "smaller": ratio(row["flash_ratio"]),
        "RAM KiB": f"{row['ram_bytes'] / 1024:.1f}",
        "Mcycles": figure(row["cycles"] / 1e6, 2),
        "faster": ratio(row["cycles_ratio"]),
        "Latency ms": figure(row["latency_ms"], 1),
        **({"Energy µJ": energy(row)} if energy(row) else {}),
        "Fits": misses(row),
        "Trust": row["trust"],
        "MACs (counted)": macs,
    }


def _classes(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """Per CURVE: who leads, and accuracy and cycles by recipe and number of classes."""
    contests = []
    for key, curve in joined_first(curves):
        found = leaders(curve)
        counts = sorted(curve["classes"].unique())
        table = []
        for recipe, line in curve.groupby("recipe"):
            cells = {
                r.classes: f"{100 * r.accuracy:.1f} ({100 * r.low:.1f}-{100 * r.high:.1f}), {r.cycles / 1e6:.2f} M"
                + ("" if r.joined else " °")
                for r in line.itertuples()
            }
            table.append({"Recipe": f"`{recipe}`", **{f"{count} classes": cells.get(count, "") for count in counts}})
        led = {one.classes: f"`{one.recipe}`{' (tie)' if one.ties else ''}" for one in found}
        table.append({"Recipe": "**leader**", **{f"{count} classes": led.get(count, "") for count in counts}})
        sentence = ", ".join(map(_leader, found))
        first = curve.iloc[0]
        about = {
            **dict(zip(CURVE, key, strict=True)),
            "terms": effort(first) if curve["joined"].any() else "unequal effort, or too few folds and seeds",
            "at": shown_budget(first["budget"], "") if first["budget"] else "",
        }
        contests.append({**about, "leaders": sentence, "table": _markdown(table)})
    return contests


def _leader(one: Leader) -> str:
    """As in ``**50 classes `full`** (tie with `int8`)``, bold where the leader changes."""
    bold = "**" if one.changed else ""
    ties = [f"tie with {', '.join(f'`{name}`' for name in one.ties)}"] if one.ties else ["significant"]
    new = ["not measured with fewer"] if one.new else []
    return f"{bold}{one.classes} classes `{one.recipe}`{bold} ({'; '.join(ties + new)})"


def _markdown(lines: Sequence[Mapping[str, str]]) -> str:
    table = pd.DataFrame(lines).fillna("")
    align = ["left" if name in _LEFT else "right" for name in table.columns]
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
