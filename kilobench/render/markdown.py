# SPDX-License-Identifier: Apache-2.0
"""Rows -> Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kilobench.record import NOT_RUN, TRUST, Record, TooLarge, Unsuited, span
from kilobench.render import study
from kilobench.render.page import Page
from kilobench.results.budgets import Budgeted, BudgetTable, Entry, budget_tables, on_own_board, order, smallest
from kilobench.results.contest import CONTEST, shown_budget
from kilobench.results.headline import Spread, headlines
from kilobench.results.rows import TOO_FEW, Row, Rows, distinct, enough, first_of_each, grouped, is_missing
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

ESTIMATED = "Energy µJ (estimated)"
"""A column."""
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
    "Benchmark",
    "Engine",
    "By",
    "Core",
    "Why",
    "Claim",
    "The study",
    "Here",
    "Verdict",
    "Contest",
    "Curve",
    "Told",
    "Question",
    "sound",
    "images",
    "Here %",
    "Trained",
}


def markdown_templates(package: str) -> Environment:
    """Those of a package, which leave no traces of their statements, and know no undefined names."""
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def pages(
    rows: Rows,
    records: Sequence[Record],
    too_large: Sequence[TooLarge] = (),
    others: Sequence[Page] = (),
    *,
    unsuited: Sequence[Unsuited] = (),
    elsewhere: Rows | None = None,
    site: bool = False,
    repeat: bool = False,
) -> dict[str, str]:
    """Text by file name: README.md, tasks/TASK.md, boards/BOARD.md, methods/METHOD.md and, if there are curves, classes.md; of
    the study (kilobench.results.study), where there are XNOR-Nets, study.md.

    ``unsuited`` are recipes that came to nothing. ``others`` come ready-made, and README.md leads to them. ``elsewhere`` are rows
    of boards on which nobody ran them (kilobench.results.elsewhere), for the pages of boards. For the ``site``, <div>s for
    interactive plots and tables stand where pages have images and tables of recipes. ``repeat``: the site has a docs/study.md.
    """
    environment = markdown_templates("kilobench.render")
    environment.globals.update(slug=slug, site=site, places=PLACES, **_origin(records))
    rows = [{**row, "cells": _cells(row)} for row in rows]

    def text(template: str, **values: object) -> str:
        up = "" if template in ("index", "classes", "study") else "../"
        return environment.get_template(f"{template}.md.j2").render(up=up, **values)

    by_method = [{**row, "method": method} for row in rows for method in methods(row["recipe"])]
    moved = [{**row, "cells": _cells(row)} for row in elsewhere or []]
    boards = {name: _board(group) for (name,), group in grouped([*rows, *moved], "board")}
    known = {name: _method(group) for (name,), group in grouped(by_method, "method")}
    names = families(rows)
    budgets = budget_tables(rows, too_large)
    facts: dict[str, object] = {"winners": _winners(budgets), "summary": _summary(rows), "headline": _headline(rows)}
    facts["elsewhere"] = bool(elsewhere)
    answers = study.page(rows, elsewhere or [], markdown_table) if "xnor" in known else {}
    facts["answer"] = answers.get("sentence", "")
    facts["unequal"] = sum(row["unequal"] != "" for row in rows)
    facts["trust"] = {word: sum(row["trust"] == word for row in rows) for word in reversed(TRUST)}
    files = {"README.md": text("index", **facts, boards=boards, methods=known, families=names, others=others)}
    files |= {page.name: page.site if site else page.text for page in others}
    if answers:
        files["study.md"] = text("study", repeat=repeat, **answers)
    if names:
        files["classes.md"] = text("classes", families={name: _classes(class_curves(rows, name)) for name in names})
    for (name,), task in grouped(rows, "task"):
        own = [_budgets(table) for table in budgets if table.task == name]
        other = [one for one in unsuited if one.task == name]
        files[f"tasks/{slug(name)}.md"] = text(
            "task", name=name, budgets=own, unsuited=_unsuited(other, task), **_task(task)
        )
    for board, values in boards.items():
        files[f"boards/{slug(board)}.md"] = text("board", name=board, **values)
    for method, values in known.items():
        other = [one for one in unsuited if method in methods(one.recipe)]
        files[f"methods/{slug(method)}.md"] = text("method", name=method, unsuited=_unsuited(other, rows), **values)
    return files


def _unsuited(found: Sequence[Unsuited], rows: Rows) -> str:
    """Recipes that came to nothing, as a method does not suit the network, but for those of which there are rows now."""
    there = {(row["task"], row["recipe"], name) for row in rows for name in (row["network"], row["built"])}
    lines = [
        {"Task": one.task, "Recipe": f"`{one.recipe}`", "Network": f"`{one.network}`", "Why": one.reason}
        for one in found
        if (one.task, one.recipe, one.network) not in there
    ]
    return markdown_table(lines) if lines else ""


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
    return markdown_table(lines) if lines else ""


def _headline(rows: Rows) -> str:
    """A line per kind of contest and recipe over all tasks (kilobench.results.headline)."""
    ranked = on_own_board([row for row in rows if not row["unequal"] and row["recipe"] != row["reference"]])
    lines = []
    groups = [(budget, group) for (budget,), group in grouped(ranked, "budget")]
    for budget, group in sorted(groups, key=lambda item: order(item[0]) if item[0] else (-1.0,)):
        title = shown_budget(budget, "") if budget else "none"
        for one in headlines(group):
            lines.append(
                {
                    "Budget": title,
                    "Recipe": f"`{one.recipe}`",
                    "Against": ", ".join(f"`{name}`" for name in distinct(group, "reference") if name),
                    "Tasks": f"{one.tasks}",
                    "smaller": _times(one.flash_ratio),
                    "faster": _times(one.cycles_ratio),
                    "Accuracy, points": _points(one.difference_points),
                }
            )
    return markdown_table(lines) if lines else ""


def _times(spread: Spread) -> str:
    """A geometric mean and its geometric standard deviation."""
    deviation = "" if math.isnan(spread.deviation) else f" ×÷ {spread.deviation:.2f}"
    return "" if math.isnan(spread.mean) else f"{spread.mean:.2f}x{deviation}"


def _points(spread: Spread) -> str:
    """A mean and its standard deviation."""
    deviation = "" if math.isnan(spread.deviation) else f" ± {spread.deviation:.1f}"
    return "" if math.isnan(spread.mean) else f"{spread.mean:+.1f}{deviation}"


def _won(column: Budgeted) -> str:
    """The winners of one task at one budget; of equal ones the most accurate first."""
    if not column.winners:
        return "none"
    names = " = ".join(f"`{entry.recipe}`" for entry in column.winners[:_MOST_TIES])
    more = len(column.winners) - _MOST_TIES
    others = f" = {more} more" if more > 0 else ""
    return f"{names}{others} **{column.winners[0].share}**"


def _budgets(table: BudgetTable) -> dict[str, Any]:
    """One table of budgets: recipes by budgets, best at the largest first, and a sentence for every budget."""
    recipes = dict.fromkeys(entry.recipe for column in reversed(table.columns) for entry in column.entries)
    recipes |= dict.fromkeys(one.recipe for column in table.columns for one in column.too_large)
    lines = []
    for recipe in recipes:
        line = {"Recipe": f"`{recipe}`"}
        for column in table.columns:
            entry = next((one for one in column.entries if one.recipe == recipe), None)
            too_large = next((smallest(one) for one in column.too_large if one.recipe == recipe), "")
            line[column.title] = too_large if entry is None else _entry(entry)
        lines.append(line)
    return {"about": table, "table": markdown_table(lines), "sentences": [column.sentence for column in table.columns]}


def _entry(entry: Entry) -> str:
    """Place, accuracy, time and size in a cell."""
    place = "–" if entry.place is None else f"**{entry.place}**" if entry.place == 1 else str(entry.place)
    spread = (
        f"{100 * entry.accuracy:.1f} % ({100 * entry.low:.1f}-{100 * entry.high:.1f}){'' if entry.enough else TOO_FEW}"
    )
    time = NOT_RUN if math.isnan(entry.latency_ms) else f"{entry.latency_ms:.{0 if entry.latency_ms >= 100 else 1}f} ms"
    return f"{place}. {spread}, {time}, {entry.size}"


def _summary(rows: Rows) -> str:
    """Per task and board, of the ranked rows measured on the most samples: who wins, what ties with it, and the reference."""
    table = []
    ranked = [row for row in rows if not row["unequal"] and not row["budget"]]
    for (task, board), group in grouped(ranked, "task", "board"):
        fitting = [row for row in group if row["fits"]]
        synthetic = ", *synthetic*" if any(row["synthetic"] for row in group) else ""
        line = {
            "Task": f"[{task}](tasks/{slug(task)}.md){synthetic}",
            "Board": f"[{board}](boards/{slug(board)}.md)",
        }
        if fitting:
            best = max(fitting, key=lambda row: (row["samples"], row["accuracy"]))
            contest = [row for row in group if all(row[name] == best[name] for name in CONTEST)]
            ties = [row for row in contest if row["place"] and row["place"] == best["place"] and row["fits"]]
            smallest = min(ties, key=lambda row: row["flash_bytes"], default=best)
            same = smallest["recipe"] == best["recipe"]
            line |= {"Most accurate": _costs(best), "Smallest as good": "the same" if same else _costs(smallest)}
            full = [row for row in contest if row["recipe"] == row["reference"]]
            line["Uncompressed: full"] = _full(full[0], best) if full else ""
        else:
            line["Most accurate"] = "none fits"
        table.append(line)
    return markdown_table(table) if table else ""


def _costs(row: Row) -> str:
    """Recipe, accuracy and costs in a cell."""
    training = f" ({row['training']})" if row["training"] else ""
    return f"`{row['recipe']}`{training} **{_share(row)}**, {_size(row['flash_bytes'])}, {_time(row)}"


def _full(row: Row, best: Row) -> str:
    if row["recipe"] == best["recipe"]:
        return "the same"
    fits = "" if row["fits"] else ", does not fit"
    return f"{_share(row)}, {_size(row['flash_bytes'])}, {_time(row)}{fits}"


def _share(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f} %{'' if enough(row) else TOO_FEW}"


def _size(count: float) -> str:
    return f"{count / 1024:.0f} KiB"


def _time(row: Row) -> str:
    run = not math.isnan(row["latency_ms"])
    return f"{_latency(row, 0 if row['latency_ms'] >= 100 else 1)} ms" if run else NOT_RUN


def _latency(row: Row, digits: int) -> str:
    """In ms; at least that where it is emulated and nothing is known of what the core waits for the flash."""
    return f"{_least(row)}{figure(row['latency_ms'], digits)}"


def _least(row: Row) -> str:
    """Before what an emulated board takes of which it is not known what the core waits for its flash."""
    unknown = row["link"] == "emulator" and is_missing(row["cycles_flash"]) and not math.isnan(row["latency_ms"])
    return "≥ " if unknown else ""


def _expected(row: Row) -> str:
    """Between which a real board is expected to be."""
    return span(None if is_missing(row["expected_low_ms"]) else (row["expected_low_ms"], row["expected_high_ms"]))


def _task(rows: Rows) -> dict[str, Any]:
    return {
        "synthetic": any(row["synthetic"] for row in rows),
        "classes": rows[0]["classes"],
        "emulated": any(row["link"] == "emulator" for row in rows),
        "contests": [_contest(contest) for _, contest in grouped(rows, *CONTEST)],
        "commands": list(dict.fromkeys(command for row in rows for command in row["commands"])),
    }


def _contest(rows: Rows) -> dict[str, Any]:
    """What rows that CONTEST does not tell apart have in common, and a table for every board."""
    first = rows[0]
    boards = []
    for (board,), group in grouped(rows, "board"):
        table = markdown_table(list(map(_placed, group)))
        budget = shown_budget(first["budget"], board) if first["budget"] else ""
        boards.append({"name": board, "table": table, "at": budget, **_timing(group[0])})
    return {
        **{name: first[name] for name in [*CONTEST, "folds", "seeds", "samples", "verified", "partial", "transcoded"]},
        "terms": effort(first),
        "boards": boards,
        "crops": not all(is_missing(row["crops"]) for row in rows),
        "energy": not all(is_missing(row["energy_uj"]) for row in rows),
    }


def _placed(row: Row) -> dict[str, str]:
    """Cells of a row, with its place, or why it has none."""
    why = {"Not ranked": row["unequal"]} if row["unequal"] and row["unequal"] != "unequal effort" else {}
    return {"Place": place(row), **row["cells"], **why}


def _timing(row: Row) -> dict[str, str]:
    """How cycles of a board came about, and latency."""
    flash = "" if is_missing(row["cycles_flash"]) else ", with its flash (estimated)"
    return {
        "timing": row["timing"],
        "mhz": f"{row['clock_hz'] / 1e6:g}",
        "flash": flash,
        "conditions": row["conditions"],
        "current": row["run_current"],
    }


def _board(rows: Rows) -> dict[str, Any]:
    """What records say about a board, and per task how every recipe fits it."""
    first = rows[0]
    links = first_of_each(rows, "link", "timing", "clock_hz", "conditions")
    contests = [
        {
            **{name: contest[0][name] for name in CONTEST},
            "at": shown_budget(contest[0]["budget"], first["board"]) if contest[0]["budget"] else "",
            "terms": effort(contest[0]),
            "table": markdown_table([{"Place": place(row), **_headroom(row)} for row in contest]),
        }
        for _, contest in grouped(rows, *CONTEST)
    ]
    return {
        "flash": _size(first["board_flash_bytes"]),
        "ram": _size(first["board_ram_bytes"]),
        "links": [{"link": row["link"], **_timing(row)} for row in links],
        "contests": contests,
        "tasks": len(distinct(rows, "task")),
        "fitting": sum(row["fits"] for row in rows),
        "rows": len(rows),
    }


def _headroom(row: Row) -> dict[str, str]:
    """Cells of a row, and how much of the board's memory it takes."""
    cells = row["cells"]
    share = {name: 100 * row[f"{name}_bytes"] / row[f"board_{name}_bytes"] for name in ("flash", "ram")}
    kept = {name: cells[name] for name in ("Recipe", "Accuracy % (95 %)")}
    costs = {name: cells[name] for name in ("Mcycles", "Latency ms", "Energy µJ", ESTIMATED) if name in cells}
    memory = {
        "Flash KiB": cells["Flash KiB"],
        "% of flash": f"{share['flash']:.0f}",
        "RAM KiB": cells["RAM KiB"],
        "% of RAM": f"{share['ram']:.0f}",
    }
    return {**kept, **memory, **costs, **{name: cells[name] for name in ("Fits", "Trust")}}


def _method(rows: Rows) -> dict[str, Any]:
    """Every recipe with a method, compared with the reference, per task."""
    tasks = {}
    for (task,), group in grouped(rows, "task"):
        several = [name for name in CONTEST[1:] if len(distinct(group, name)) > 1]
        tasks[task] = markdown_table([_compared(row, several) for row in group])
    return {
        "tasks": tasks,
        "recipes": distinct(rows, "recipe"),
        "boards": len(distinct(rows, "board")),
        "gains": _gains([row for row in rows if row["recipe"] != row["reference"] and _is_compared(row)]),
    }


def _compared(row: Row, several: Sequence[str]) -> dict[str, str]:
    """A row beside its reference; ``several``: what else tells rows of the table apart."""
    cells, points = row["cells"], [100 * row[name] for name in ("difference", "difference_low", "difference_high")]
    told = (
        ""
        if math.isnan(points[0]) or row["recipe"] == row["reference"]
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


def _is_compared(row: Row) -> bool:
    return not any(is_missing(row[name]) for name in ("difference", "flash_ratio", "cycles_ratio"))


def _gains(rows: Rows) -> dict[str, Any]:
    """Of rows that can be compared with a reference: medians of costs, the span of differences, and how many are told apart."""
    if not rows:
        return {}
    models = first_of_each(rows, *CONTEST, "recipe")  # accuracy is the same on every board
    worse, better = (
        sum(row["difference_high"] < 0 for row in models),
        sum(row["difference_low"] > 0 for row in models),
    )
    return {
        "rows": len(rows),
        "smaller": f"{median(row['flash_ratio'] for row in rows):.1f}x",
        "faster": f"{median(row['cycles_ratio'] for row in rows):.1f}x",
        "lowest": f"{100 * min(row['difference'] for row in models):+.1f}",
        "highest": f"{100 * max(row['difference'] for row in models):+.1f}",
        "models": len(models),
        "worse": worse,
        "better": better,
        "alike": len(models) - worse - better,
    }


def _cells(row: Row) -> dict[str, str]:
    """One row as people read it."""

    def ratio(value: float) -> str:
        return "" if math.isnan(value) else f"{value:.1f}x"

    macs = " + ".join(f"{count / 1e6:.2f} M {kind}" for kind, count in row["macs"].items() if count)
    crops = {} if math.isnan(row["crops"]) else {"10 crops %": f"{100 * row['crops']:.1f}"}
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
        "Latency ms": _latency(row, 1) + _expected(row),
        **({"Energy µJ": energy(row)} if energy(row) else {}),
        **({ESTIMATED: f"{_least(row)}{estimate}"} if (estimate := energy(row, "energy_estimated_uj")) else {}),
        "Fits": misses(row),
        "Trust": row["trust"],
        "MACs (counted)": macs,
    }


def _classes(curves: Rows) -> list[dict[str, Any]]:
    """Per CURVE: who leads, and accuracy and cycles by recipe and number of classes."""
    contests = []
    for key, curve in joined_first(curves):
        found = leaders(curve)
        counts = distinct(curve, "classes")
        table = []
        for (recipe,), line in grouped(curve, "recipe"):
            cells = {row["classes"]: _point(row) for row in line}
            table.append({"Recipe": f"`{recipe}`", **{f"{count} classes": cells.get(count, "") for count in counts}})
        led = {one.classes: f"`{one.recipe}`{' (tie)' if one.ties else ''}" for one in found}
        table.append({"Recipe": "**leader**", **{f"{count} classes": led.get(count, "") for count in counts}})
        sentence = ", ".join(map(_leader, found))
        first = curve[0]
        about = {
            **dict(zip(CURVE, key, strict=True)),
            "terms": effort(first)
            if any(row["joined"] for row in curve)
            else "unequal effort, or too few folds and seeds",
            "at": shown_budget(first["budget"], "") if first["budget"] else "",
        }
        contests.append({**about, "leaders": sentence, "table": markdown_table(table)})
    return contests


def _point(row: Row) -> str:
    """Accuracy and cycles of a point of a curve; a ring where it is not joined."""
    spread = f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f}-{100 * row['high']:.1f})"
    return f"{spread}, {row['cycles'] / 1e6:.2f} M{'' if row['joined'] else ' °'}"


def _leader(one: Leader) -> str:
    """As in ``**50 classes `full`** (tie with `int8`)``, bold where the leader changes."""
    bold = "**" if one.changed else ""
    ties = [f"tie with {', '.join(f'`{name}`' for name in one.ties)}"] if one.ties else ["significant"]
    new = ["not measured with fewer"] if one.new else []
    return f"{bold}{one.classes} classes `{one.recipe}`{bold} ({'; '.join(ties + new)})"


def markdown_table(lines: Sequence[Mapping[str, str]]) -> str:
    """Lines of cells by the names of their columns, in the order in which these come up.

    Not padded to the width of a column: a longer cell would change every line, and the pages of boards be half as large again.
    """
    names = list(dict.fromkeys(name for line in lines for name in line))
    cells = [[line.get(name, "") for name in names] for line in lines]
    align = [":---" if name in _LEFT else "---:" for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, align, *cells))
