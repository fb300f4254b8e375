# SPDX-License-Identifier: Apache-2.0
"""Rows -> SVG: accuracy against flash and cycles, one panel per board, and against the number of classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import vl_convert

from kilobench.render.colours import COLOURS
from kilobench.render.longer import panels
from kilobench.render.page import Page
from kilobench.render.study import Figure, Point, figures, natural
from kilobench.results.budgets import BudgetTable, budget_tables, order
from kilobench.results.contest import shown_budget
from kilobench.results.longer import Lengths, lengths
from kilobench.results.rows import Row, Rows, distinct, grouped
from kilobench.results.study import RECIPES
from kilobench.results.table import class_curves, families, joined_first, leaders, slug, usual_steps

_AXES = {
    "flash": ("flash_kib", "flash (KiB, logarithmic)"),
    "cycles": ("mcycles", "million cycles per inference (logarithmic)"),
}
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
_OTHERS, _PALE = "others", "#BBBBBB"
_PANEL = 520
"""How wide a panel is, in pixels; what it is along is logarithmic, and goes on beyond both ends by a factor."""
_MARGIN = 1.15
_NAMED = 12
"""Labels that are told apart at most: the ninth has the first colour again, and another shape."""
_PANELS = 6
_CELL_CHARACTERS = 28

Spec = dict[str, Any]
"""Of Vega-Lite, or a part of it."""


def plots(rows: Rows, others: Sequence[Page] = (), elsewhere: Sequence[Row] = ()) -> dict[str, str]:
    """SVG text by file name: ``budgets``, two per task, one per family of tasks with several numbers of classes, and those of the
    study's claims.

    Of a task those rows that are ranked; all where none is, but those that are claimed. And those of pages that come ready-made.
    """
    files = budgets(rows) | claims(rows, elsewhere)
    files |= {f"plots/{page.stem}.svg": _svg({"width": 620, **page.plot}) for page in others}
    for (name,), everything in grouped([row for row in rows if not row["claimed"]], "task"):
        task = pd.DataFrame([row for row in everything if not row["unequal"]] or everything)
        for axis, (column, label) in _AXES.items():
            files[f"plots/{slug(name)}-{axis}.svg"] = _svg(
                _chart(task, column, label, f"{name}: accuracy against {axis}")
            )
    for family in families(rows):
        subtitle = [
            "Above: who leads at every number of classes; dashed where tests tell that another does. Whiskers: 95 % interval.",
            "Joined: equal steps, three seeds or folds at least. Hollow: others, which cannot be ranked.",
        ]
        title: Spec = {
            "text": f"{family}: accuracy against number of classes",
            "subtitle": subtitle,
            "anchor": "start",
            "offset": 16,
        }
        apart = {"scale": {"color": "independent", "shape": "independent"}}
        chart = {"vconcat": class_panels(rows, family), "title": title, "resolve": apart}
        files[f"plots/{slug(family)}-classes.svg"] = _svg(chart)
    return files


def budgets(rows: Rows) -> dict[str, str]:
    """SVG text by file name: who wins at which budget, and all recipes of every table of budgets (``results.budgets``), the most
    accurate at its largest budget first.
    """
    tables = budget_tables(rows)
    files = {"plots/winners.svg": _svg(_winners(tables))} if tables else {}
    numbers = Counter[str]()
    for table in tables:  # counted as the task's page counts them
        numbers[table.task] += 1
        files[f"plots/{slug(table.task)}-budgets-{numbers[table.task]}.svg"] = _svg(_all_recipes(table))
    return files


def _all_recipes(table: BudgetTable) -> Spec:
    """Accuracies at every budget."""
    points = [
        Point(entry.recipe, column.title, 100 * entry.accuracy, 100 * entry.low, 100 * entry.high)
        for column in table.columns
        for entry in column.entries
    ]
    title = f"{table.task} on {table.board}, {table.steps:.0f} steps: accuracy at every budget"
    last = {point.row: point.value for point in points}
    figure = Figure(tuple(points), title, "accuracy in %, 95 % interval", None, False)
    return _marks(figure, sorted(last, key=lambda recipe: -last[recipe]))


def claims(rows: Rows, elsewhere: Sequence[Row] = ()) -> dict[str, str]:
    """The SVG text of what the study claims beside what was measured, by its file's name."""
    found = figures(rows, [*elsewhere]).items()
    longer = lengths(rows)
    return {
        f"plots/study-{name}.svg": _svg(_marks(figure, sorted({point.row for point in figure.points}, key=natural)))
        for name, figure in found
    } | ({"plots/study-longer.svg": _svg(_longer(longer))} if longer else {})


def _marks(figure: Figure, rows: Sequence[str]) -> Spec:
    """Marks, with their intervals where they have some, beside the dashed line of what is claimed."""
    series = list(dict.fromkeys(point.series for point in figure.points))
    values = [{name: value for name, value in asdict(point).items() if value == value} for point in figure.points]
    values = [{**value, "label": value["series"]} for value in values]
    # Intervals would hide each other, marks alone do not.
    apart = not figure.logarithmic and len(series) > 1
    offset = {"yOffset": {"field": "label", "sort": series}} if apart else {}
    y = {
        "field": "row", "type": "nominal", "title": None, "sort": rows,
        "axis": {"labelLimit": 0, "labelFontSize": 12, "grid": True, "ticks": False},
    }  # fmt: skip
    claimed = [] if figure.claimed is None else [figure.claimed]
    x: Spec = {
        "field": "value", "type": "quantitative", "title": figure.axis, "axis": {"tickCount": 8, "format": "~r"},
        "scale": {"zero": False},
    }  # fmt: skip
    if figure.logarithmic:
        ends = [*claimed, *(point.value for point in figure.points)]
        x["scale"] = {"type": "log", "domain": [min(ends) / 1.3, max(ends) * 1.3], "nice": False}
    shared = {"y": y, **offset, **_looks(series, orient="bottom", columns=3)}
    whiskers = {"y": y, **offset, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": shared["color"]}
    return {
        "title": {"text": figure.title, "anchor": "start", "offset": 8},
        "width": 520,
        "height": {"step": 14 if apart else 24},
        "data": {"values": values},
        "layer": [
            {"data": {"values": [{"value": value} for value in claimed]}, "encoding": {"x": x},
             "mark": {"type": "rule", "strokeDash": [5, 4], "color": "#555555"}},
            {"transform": [{"filter": "isValid(datum.low)"}], "mark": {"type": "rule", "opacity": 0.6}, "encoding": whiskers},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1}, "encoding": {"x": x, **shared}},
        ],
    }  # fmt: skip


def _tied(recipes: Sequence[str]) -> str:
    """As many of them as a cell is wide, and how many more."""
    counts = range(len(recipes), 0, -1)
    texts = [f"= {', '.join(recipes[:n])}" + (f" +{len(recipes) - n}" if n < len(recipes) else "") for n in counts]
    return next((text for text in texts if len(text) <= _CELL_CHARACTERS), texts[-1])


def _winners(tables: Sequence[BudgetTable]) -> Spec:
    """A cell for every task and budget, in the colour of the most accurate recipe, with those that tests cannot tell from it."""
    several = len({table.board for table in tables}) > 1
    cells: list[dict[str, Any]] = []
    for table in tables:
        row = f"{table.task}, {table.steps:.0f} steps" + (f", {table.board}" if several else "")
        for column in table.columns:
            if column.winners:
                first, *ties = (entry.recipe for entry in column.winners)
                text = [first, *([_tied(ties)] if ties else []), column.winners[0].share]
                cells.append({"task": row, "budget": column.title, "winner": first, "text": text, "alone": not ties})
    columns = [column for table in tables for column in table.columns]
    budgets = sorted({(order(column.budget), column.title) for column in columns})
    names = sorted({cell["winner"] for cell in cells})
    axis = {"orient": "top", "labelAngle": 0, "labelFontSize": 13, "ticks": False, "domain": False}
    x = {"field": "budget", "type": "nominal", "title": None, "sort": [title for _, title in budgets], "axis": axis}
    y = {
        "field": "task",
        "type": "nominal",
        "title": None,
        "sort": None,
        "axis": {"labelLimit": 0, "labelFontSize": 12},
    }
    scale = {"domain": names, "range": COLOURS[: len(names)]}
    fill = {"field": "winner", "type": "nominal", "legend": None, "scale": scale}
    pale = {"condition": {"test": "datum.alone", "value": 0.5}, "value": 0.2}
    title = {
        "text": "Who wins at which flash?",
        "subtitle": ["The most accurate of equal effort and size. Pale: tests cannot tell some from it (=)."],
        "anchor": "start",
        "offset": 12,
    }
    return {
        "title": title,
        "data": {"values": cells},
        "width": {"step": 170},
        "height": {"step": 58},
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "#ffffff", "strokeWidth": 3},
                "encoding": {"color": fill, "opacity": pale},
            },
            {"mark": {"type": "text", "lineHeight": 14, "dy": -12}, "encoding": {"text": {"field": "text"}}},
        ],
    }


def class_panels(rows: Rows, family: str) -> list[Spec]:
    """Accuracy against the number of classes, a panel for every CURVE."""
    curves = class_curves(rows, family)
    panels = []
    for (network, training, effort, budget), curve in joined_first(curves):
        at = f"at {shown_budget(budget, '')}" if budget else ""
        steps = f"{usual_steps(curve):.0f} steps" if effort else "unequal effort"
        panels.append(_curves(curve, ", ".join(filter(None, (network, at, training, steps)))))
    return panels


def _svg(chart: Spec) -> str:
    # Pages show images, whose text alternative is theirs; without labels of every mark they take half the time and bytes.
    font = "Arial, Liberation Sans, Helvetica, sans-serif"
    config = {"background": "#ffffff", "font": font, "aria": False, "mark": {"aria": False}}
    # On both sides is room for the letters of a browser's font, which may be wider than those measured here.
    chart = {**chart, "config": config, "padding": {"left": 30, "top": 5, "bottom": 5, "right": 60}}
    return vl_convert.vegalite_to_svg(chart) + "\n"


def _labels(task: pd.DataFrame) -> pd.Series:
    """Recipes, told apart by what a task has several of: networks, trainings."""
    labels: pd.Series = task["recipe"]
    network = task["family"].where(task["budget"] != "", task["network"])
    if network.nunique() > 1:
        labels = labels + ", " + network
    if task["effort"].nunique() > 1:
        labels = labels + task["effort"].map(lambda value: f", effort {value:g}")
    if task["training"].nunique() > 1:
        labels = labels + task["training"].map(lambda text: f", {text}" if text else "")
    return labels


def _looks(labels: list[str], crowded: bool = False, **legend: object) -> Spec:
    """Encoding of lines and points: a colour and a shape for every label, and a pale dot for others where it is crowded."""
    shown = {
        "field": "label",
        "type": "nominal",
        "legend": {
            "title": None,
            "labelFontSize": 12,
            "labelLimit": 0,
            "symbolOpacity": 1,
            "columnPadding": 28,
            **legend,
        },
    }
    again = len(COLOURS)
    colours = [COLOURS[i % again] for i in range(len(labels))]
    shapes = [_SHAPES[(i + 3 * (i // again)) % again] for i in range(len(labels))]
    if crowded:
        labels, colours, shapes = [*labels, _OTHERS], [*colours, _PALE], [*shapes, "circle"]
    return {
        "color": {**shown, "scale": {"domain": labels, "range": colours}},
        "shape": {**shown, "scale": {"domain": labels, "range": shapes}},
    }


def _curves(curve: Rows, heading: str) -> Spec:
    """One line per recipe of one CURVE through its joined points, marks alone for others, and above it who leads."""
    best = {recipe: max(row["accuracy"] for row in line) for (recipe,), line in grouped(curve, "recipe")}
    recipes = sorted(sorted(best, key=lambda name: (-best[name], name))[:_NAMED])
    points = [
        {
            "label": row["recipe"],
            "classes": row["classes"],
            "joined": row["joined"],
            **{name: round(100 * row[name], 2) for name in ("accuracy", "low", "high")},
        }
        for row in curve
        if row["recipe"] in recipes
    ]
    panel = _panel(points, "classes", recipes, heading)
    x = panel["layer"][0]["encoding"]["x"]
    return {**panel, "layer": [*panel["layer"], *_leading(curve, x, distinct(curve, "classes"))]}


def _longer(found: Sequence[Lengths]) -> Spec:
    """Accuracy against steps, a panel for every contest."""
    points = panels(found)
    recipes = [recipe for recipe in RECIPES if any(recipe in one.recipes for one in found)]
    title = {
        "text": "Accuracy against steps of training",
        "subtitle": "Whiskers: 95 % interval.",
        "anchor": "start",
        "offset": 16,
    }
    drawn = [_panel([{**one, "joined": True} for one in points[label]], "steps", recipes, label) for label in points]
    return {"vconcat": drawn, "title": title}


def _panel(points: list[dict[str, Any]], along: str, recipes: list[str], heading: str) -> Spec:
    """A line per recipe through its ``joined`` points, which have their value of ``along``, and marks alone for others."""
    values = sorted({point[along] for point in points})
    # Side by side, so that whiskers can be told apart.
    beside = {name: 1.018 ** (i - (len(recipes) - 1) / 2) for i, name in enumerate(recipes)}
    points = [{**point, "at": point[along] * beside[point["label"]]} for point in points]
    domain = [min(p["low"] for p in points) - 2, max(p["high"] for p in points) + 1]
    scale = {"domain": [max(0, domain[0]), min(100, domain[1])], "zero": False, "nice": False}
    y = {"field": "accuracy", "type": "quantitative", "title": "accuracy (%)", "scale": scale}
    x = {
        "field": "at", "type": "quantitative", "title": f"{along} (logarithmic)", "axis": {"values": values, "grid": False},
        "scale": {"type": "log", "domain": [values[0] / _MARGIN, values[-1] * _MARGIN], "nice": False},
    }  # fmt: skip
    looks = _looks(recipes, orient="right")
    layers = [
        {"mark": {"type": "rule", "opacity": 0.6}, "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": "line", "encoding": {"y": y}, "transform": [{"filter": "datum.joined"}]},
        {
            "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
            "encoding": {"y": y, "shape": looks["shape"]},
            "transform": [{"filter": "datum.joined"}],
        },
        {
            "mark": {"type": "point", "size": 70, "filled": False, "opacity": 0.8},
            "encoding": {"y": y, "shape": looks["shape"]},
            "transform": [{"filter": "!datum.joined"}],
        },
    ]
    return {
        "title": {"text": heading, "anchor": "start", "fontSize": 12, "offset": 8},
        "width": _PANEL,
        "height": 260,
        "layer": [{"data": {"values": points}, "encoding": {"x": x, "color": looks["color"]}, "layer": layers}],
    }


def _leading(curve: Rows, x: Spec, counts: list[int]) -> list[Spec]:
    """Who leads at every number of classes, above the panel; a dashed line where it changes.

    Where it would cover the one before, as letters of 6 pixels, it is a line higher.
    """
    found: list[dict[str, Any]] = []
    reach = math.log(counts[-1] / counts[0] * _MARGIN**2)
    ends = [-math.inf, -math.inf]
    for one in leaders(curve):
        text = [one.recipe, _tie(one.ties)]
        align, before = {counts[0]: ("left", 0.0), counts[-1]: ("right", 1.0)}.get(one.classes, ("center", 0.5))
        wide = 6 * max(map(len, text))
        start = _PANEL * math.log(one.classes / counts[0] * _MARGIN) / reach - before * wide
        higher = start < ends[0]
        ends[higher] = start + wide
        found.append({"at": one.classes, "text": text, "changed": one.changed, "align": align, "higher": higher})
    changes = [{"at": one["at"]} for one in found if one["changed"]]
    texts: list[Spec] = [
        {
            "data": {"values": [one]},
            "mark": {"type": "text", "align": one["align"], "baseline": "bottom", "fontSize": 11, "lineHeight": 13,
                     "fontWeight": "bold" if one["changed"] else "normal"},
            "encoding": {"x": x, "y": {"value": -49 if one["higher"] else -19}, "text": {"field": "text"}},
        }
        for one in found
    ]  # fmt: skip
    dashed = {"type": "rule", "strokeDash": [4, 4], "color": "#555555"}
    return texts + ([{"data": {"values": changes}, "mark": dashed, "encoding": {"x": x}}] if changes else [])


def _tie(ties: tuple[str, ...]) -> str:
    if len(ties) > 1:
        return f"ties with {len(ties)} others"
    return f"ties with {ties[0]}" if ties else "alone"


def _named(points: pd.DataFrame) -> list[str]:
    """The labels that get a colour: all if there are few, else those of full and of the most Pareto fronts."""
    ranked = points.groupby("label").agg(
        front=("pareto", "sum"), accuracy=("accuracy", "max"), recipe=("recipe", "first")
    )
    ranked["full"] = ranked["recipe"] == "full"
    ranked = ranked.sort_index().sort_values(["full", "front", "accuracy"], ascending=False, kind="stable")
    return sorted(ranked.index[:_NAMED])


def _chart(task: pd.DataFrame, column: str, title: str, heading: str) -> Spec:
    """A panel for every board; boards and recipes beyond what can be told apart are left out or pale."""
    boards = task["board"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    points = task[task["board"].isin(boards[:_PANELS])][
        ["board", "recipe", "fits", "pareto", "budget"]
    ].assign(
        label=_labels(task), flash_kib=task["flash_bytes"] / 1024, mcycles=task["cycles"] / 1e6,
        **{name: (100 * task[name]).round(6) for name in ("accuracy", "low", "high")},
    ).dropna(subset=[column])  # fmt: skip
    labels = _named(points)
    crowded = points["label"].nunique() > len(labels)
    points.loc[~points["label"].isin(labels), "label"] = _OTHERS
    domain = [points[column].min() / 1.5, points[column].max() * 1.5] if len(points) else [1, 10]
    x = {
        "field": column, "type": "quantitative", "title": title,
        "axis": {"tickCount": 5, "format": "~r", "labelOverlap": True},
        "scale": {"type": "log", "domain": domain, "nice": False},
    }  # fmt: skip
    shares = [max(0, points["low"].min() - 2), min(100, points["high"].max() + 2)] if len(points) else [0, 100]
    scale = {"domain": shares, "zero": False}
    y = {"field": "accuracy", "type": "quantitative", "title": "accuracy (%)", "scale": scale}
    looks = _looks(labels, orient="bottom", columns=3, crowded=crowded)
    size = {"condition": {"test": f"datum.label == '{_OTHERS}'", "value": 30}, "value": 80}
    pale = {"condition": {"test": "datum.fits", "value": 1}, "value": 0.35}
    dots = {
        "mark": {"type": "point", "filled": True},
        "encoding": {"x": x, "y": y, "opacity": pale, "size": size, **looks},
    }
    whiskers = {
        "transform": [{"filter": f"datum.label != '{_OTHERS}'"}],
        "mark": {"type": "rule", "opacity": 0.6},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": looks["color"]},
    }
    lines = {
        "transform": [{"filter": f"datum.budget != '' && datum.label != '{_OTHERS}'"}],
        "mark": {"type": "line", "opacity": 0.6},
        "encoding": {"x": x, "y": y, "color": looks["color"]},
    }
    subtitle = ["Whiskers: 95 % interval. Pale: does not fit the board."]
    if (points["budget"] != "").any():
        subtitle.append("Lines: a recipe as large as each budget allows.")
    if (task["unequal"] != "").any():
        subtitle.append("Unequal effort: who was trained for longer may lead for that alone.")
    if len(boards) > _PANELS:
        subtitle.append(f"{_PANELS} of {len(boards)} boards; the tables have all.")
    values = points[["board", "label", "fits", "budget", "accuracy", "low", "high", column]].to_dict("records")
    return {
        "data": {"values": values[::-1] if crowded else values},
        "title": {"text": heading, "subtitle": subtitle, "anchor": "start"},
        "facet": {"field": "board", "type": "nominal", "title": None, "header": {"labelFontSize": 12}},
        "columns": 2 if points["board"].nunique() == 4 else 3,
        "spec": {"width": 260, "height": 220, "layer": [lines, whiskers, dots]},
    }
