"""Rows -> SVG: accuracy against flash and against cycles, one panel per board."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from kilobench.render.table import class_curves, families, slug

_AXES = {
    "flash": ("flash_kib", "flash (KiB, logarithmic)"),
    "cycles": ("mcycles", "million cycles per inference (emulated, logarithmic)"),
}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
"""Okabe and Ito's palette, told apart by the colour-blind."""


def plots(rows: pd.DataFrame) -> dict[str, str]:
    """SVG text by file name, two per task."""
    files = {}
    for name, task in rows.groupby("task"):
        for axis, (column, title) in _AXES.items():
            chart = _chart(task, column, title, f"{name}: accuracy against {axis}")
            files[f"plots/{slug(str(name))}-{axis}.svg"] = vl_convert.vegalite_to_svg(chart) + "\n"
    for family in families(rows):
        (chart,) = class_panels(rows, family)
        chart["config"] = {"background": "#ffffff", "font": "sans-serif"}
        files[f"plots/{slug(family)}-classes.svg"] = vl_convert.vegalite_to_svg(chart) + "\n"
    return files


def class_panels(rows: pd.DataFrame, family: str) -> list[dict[str, Any]]:
    """Vega-Lite without colours of a page: accuracy against the number of classes."""
    chart = _curves(class_curves(rows, family), f"{family}: accuracy against number of classes")
    del chart["config"]
    return [chart]


def _labels(task: pd.DataFrame) -> pd.Series:
    """Recipes, told apart by what a task has several of: networks, trainings."""
    labels: pd.Series = task["recipe"]
    if task["network"].nunique() > 1:
        labels = labels + ", " + task["network"]
    if task["training"].nunique() > 1:
        labels = labels + task["training"].map(lambda text: f", {text}" if text else "")
    return labels


def _curves(points: pd.DataFrame, heading: str) -> dict[str, Any]:
    """One line per recipe, with a whisker for the 95 % interval at every number of classes."""
    shown = points.assign(**{name: 100 * points[name] for name in ("accuracy", "low", "high")})
    lines = sorted(shown["line"].unique())
    scale = alt.Scale(domain=[max(0, shown["low"].min() - 2), 100], zero=False)
    counts = sorted(int(count) for count in shown["classes"].unique())
    base = alt.Chart(shown).encode(
        x=alt.X("classes:Q", title="classes", axis=alt.Axis(values=counts), scale=alt.Scale(nice=False, padding=20)),
        color=alt.Color("line:N", scale=alt.Scale(domain=lines, range=COLOURS), legend=alt.Legend(title=None)),
    )
    y = alt.Y("accuracy:Q", title="accuracy (%)", scale=scale)
    layers = [
        base.mark_rule(opacity=0.6).encode(y=alt.Y("low:Q", title="accuracy (%)", scale=scale), y2="high:Q"),
        base.mark_line().encode(y=y),
        base.mark_point(size=80, filled=True).encode(
            y=y, shape=alt.Shape("line:N", scale=alt.Scale(domain=lines), legend=alt.Legend(title=None))
        ),
    ]
    title = alt.TitleParams(heading, subtitle="Whiskers: 95 % interval.", anchor="start")
    chart = alt.layer(*layers).properties(width=420, height=260, title=title)
    shown_chart: dict[str, Any] = chart.configure(background="#ffffff", font="sans-serif").to_dict()
    return shown_chart


def _chart(task: pd.DataFrame, column: str, title: str, heading: str) -> dict[str, Any]:
    points = pd.DataFrame(
        {
            "board": task["board"],
            "recipe": _labels(task),
            "accuracy": 100 * task["accuracy"],
            "low": 100 * task["low"],
            "high": 100 * task["high"],
            "flash_kib": task["flash_bytes"] / 1024,
            "mcycles": task["cycles"] / 1e6,
            "fits": task["fits"],
        }
    )
    recipes = sorted(points["recipe"].unique())
    lowest, highest = points[column].min(), points[column].max()
    ticks = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
    x = alt.X(
        f"{column}:Q",
        title=title,
        axis=alt.Axis(values=ticks, format="~r", labelOverlap=True),
        scale=alt.Scale(type="log", domain=[lowest / 1.5, highest * 1.5], nice=False),
    )
    y_scale = alt.Scale(domain=[max(0, points["low"].min() - 2), min(100, points["high"].max() + 2)], zero=False)
    legend = alt.Legend(title=None, orient="bottom", labelFontSize=12, labelLimit=0, columns=3)
    colour = alt.Color("recipe:N", scale=alt.Scale(domain=recipes, range=COLOURS), legend=legend)
    base = alt.Chart(points)
    whisker = base.mark_rule(opacity=0.6).encode(
        x=x, y=alt.Y("low:Q", title="accuracy (%)", scale=y_scale), y2="high:Q", color=colour
    )
    dots = base.mark_point(size=80, filled=True).encode(
        x=x,
        y=alt.Y("accuracy:Q", scale=y_scale),
        color=colour,
        shape=alt.Shape("recipe:N", scale=alt.Scale(domain=recipes), legend=legend),
        opacity=alt.condition("datum.fits", alt.value(1.0), alt.value(0.35)),
    )
    panel = alt.layer(whisker, dots).properties(width=260, height=220)
    chart = panel.facet(column=alt.Column("board:N", title=None, header=alt.Header(labelFontSize=12)))
    subtitle = "Whiskers: 95 % interval. Pale: does not fit the board."
    shown: dict[str, Any] = (
        chart.properties(title=alt.TitleParams(heading, subtitle=subtitle, anchor="start"))
        .configure(background="#ffffff", font="sans-serif")
        .to_dict()
    )
    return shown
