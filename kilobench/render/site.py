# SPDX-License-Identifier: Apache-2.0
"""Rows -> a static site: MkDocs Material around the Markdown pages, with tables and plots that answer questions.

Everything a page needs lies beside it: it works from ``file://``, and asks no other machine for anything.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from markdown import Markdown
from markdown.extensions import Extension

from kilobench.record import Record, TooLarge, Unsuited
from kilobench.render import markdown
from kilobench.render.colours import COLOURS
from kilobench.render.csv import DICTIONARY, rows_csv
from kilobench.render.guides import guides, linked, named, navigation
from kilobench.render.page import Page
from kilobench.render.plots import budgets, claims, class_panels
from kilobench.results.contest import CONTEST, shown_budget
from kilobench.results.rows import Rows, grouped
from kilobench.results.table import PLACES, families, slug

AXES = {
    "flash": "flash (KiB)",
    "ram": "RAM (KiB)",
    "cycles": "million cycles per inference",
    "latency": "latency (ms)",
    "energy": "energy per inference (µJ)",
}
"""What accuracy is plotted against, all logarithmic."""
MOST_ROWS = 100
"""Of a table that is no interactive one."""
CITATION = (
    "The kilobench authors. kilobench: a benchmark suite and leaderboard for neural networks on microcontrollers, 2026."
)
_MARKDOWN_UNUSED = (
    *("reference", "image_reference", "short_reference", "short_image_ref"),
    *("autolink", "automail", "linebreak"),
)
"""What pages do not say and names must not; without it Python-Markdown has half as much to look for in every cell."""
_THEME = Path(__file__).with_name("theme")
_SECTIONS = {"Tasks": "tasks", "Boards": "boards", "Methods": "methods"}
_PAGES = {"Classes": "classes.md", "Study": "study.md"}
_UNUSED = ("assets/javascripts/lunr", "assets/javascripts/workers", "sitemap.xml", "sitemap.xml.gz", "404.html")
"""What Material brings for a search and for sites with an address."""


def build_site(
    rows: Rows,
    records: Sequence[Record],
    output: Path,
    too_large: Sequence[TooLarge] = (),
    others: Sequence[Page] = (),
    elsewhere: Rows | None = None,
    unsuited: Sequence[Unsuited] = (),
    documentation: Path | None = None,
) -> Path:
    """Write the site of ``rows`` (``table.rows_of``) into ``output``, in place of what was there; returns its first page.

    ``elsewhere``: rows of boards on which nobody ran them (kilobench.results.elsewhere). ``documentation``: the folder of the
    guides; without it, or where it is not there, the site has none.

    The same rows and records give the same bytes.
    """
    about, elsewhere = guides(documentation), elsewhere or []
    repeat = "docs/study.md" in about
    texts = markdown.pages(
        rows, records, too_large, others, unsuited=unsuited, elsewhere=elsewhere, site=True, repeat=repeat
    )
    pictures = {**budgets(rows), **claims(rows, elsewhere)}
    files = {**_pages(texts, about), "rows.csv": rows_csv(rows), "rows.md": DICTIONARY, **pictures}
    extra = {"explore": _embedded(_data(rows, elsewhere, others)), "made": _made(records)}
    with tempfile.TemporaryDirectory() as folder:
        docs, site = Path(folder) / "docs", Path(folder) / "site"
        _write(docs, {**files, **_guides(about, {*files, *about})})
        _mkdocs(docs, site, _navigation(texts, others) + _guides_of(about), extra)
        _add_libraries(site / "assets")
        if output.exists():
            shutil.rmtree(output)
        shutil.copytree(site, output)
    return output / "index.html"


def _data(rows: Rows, elsewhere: Rows, others: Sequence[Page]) -> dict[str, Any]:
    """What pages draw plots and tables of, by their names."""
    everywhere = [*rows, *elsewhere]
    boards = {row["board"]: [row["board_flash_bytes"], row["board_ram_bytes"]] for row in everywhere}
    data = {f"tasks/{slug(name)}.md": task_data(task, boards) for (name,), task in grouped(everywhere, "task")}
    if families(rows):
        data["classes.md"] = {"curves": {slug(name): _curves(rows, name) for name in families(rows)}}
    return data | {page.name: {"curves": {page.stem: [_wide(page.plot, page.title)]}} for page in others}


def _write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _pages(texts: Mapping[str, str], about: Mapping[str, bytes]) -> dict[str, str]:
    """The leaderboard's, which mention some of the guides ``about`` it."""
    return {name: _front_matter(name) + named(_shortened(text), name, about) for name, text in texts.items()}


def _guides(about: Mapping[str, bytes], there: Collection[str]) -> dict[str, str | bytes]:
    """Guides whose links lead to what is ``there``, and their pictures."""
    pages = {name: linked(content.decode(), name, there) for name, content in about.items() if name.endswith(".md")}
    return {**about, **pages}


def _front_matter(name: str) -> str:
    """Which of Material's columns beside the text a page does without."""
    hidden = "toc" if "/" in name else "navigation, toc"
    hidden = "navigation" if name in ("README.md", *_PAGES.values()) else hidden
    return f"---\nhide: [{hidden}]\n---\n"


def _shortened(text: str) -> str:
    """Without what is beyond MOST_ROWS of a table: the pages of tasks have all."""

    def cut(table: re.Match[str]) -> str:
        lines = table[0].splitlines(keepends=True)
        more = len(lines) - 2 - MOST_ROWS  # names and dashes come first
        if more <= 0:
            return table[0]
        return (
            "".join(lines[: 2 + MOST_ROWS]) + f"\nThe first {MOST_ROWS} rows; {more} more are on the pages of tasks.\n"
        )

    return re.sub(r"(?:^\|.*\n?)+", cut, text, flags=re.MULTILINE)


def task_data(rows: Rows, boards: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What the page of one task knows of its rows: ``columns`` by name, small (see ``_packed``).

    ``boards``: bytes of flash and of RAM by name. Shares are in %, flash and RAM in KiB, cycles in millions, latency in ms.
    """
    task = pd.DataFrame(rows)
    terms = task[CONTEST[1:]].assign(
        effort=task["effort"].map(lambda effort: f"{effort:g} trainings" if effort else "unequal effort"),
        budget=task["budget"].map(lambda budget: f"at {shown_budget(budget, '')}" if budget else "no budget"),
    )
    told = [terms[name].where(terms[name] != "", f"usual {name}") for name in terms if terms[name].nunique() > 1]
    contest = pd.concat(told, axis=1).agg(", ".join, axis=1) if told else ""
    recipes = task["recipe"].map(shlex.quote)
    columns = {
        **{name: task[name] for name in ("recipe", "board", "unequal", "trust", "timing", "conditions", "peak")},
        "size": task["size"].astype(object).where(task["size"] != "", None),
        **{name: terms[name] for name in terms},
        "contest": pd.Series(contest, index=task.index),
        "place": [row["place"] for row in rows],
        **{name: task[name].astype(int) for name in ("pareto", "fits", "ran", "samples", "folds", "seeds", "verified")},
        **{name: (100 * task[name]).round(1) for name in ("accuracy", "low", "high", "crops")},
        **{
            name: task[name].round().astype(int)
            for name in ("over_flash_bytes", "over_ram_bytes", "partial", "transcoded")
        },
        "flash": (task["flash_bytes"] / 1024).round(4),
        "ram": (task["ram_bytes"] / 1024).round(4),
        "cycles": (task["cycles"] / 1e6).round(5),
        "latency": task["latency_ms"].round(4),
        "soonest": task["expected_low_ms"].round(3),
        "latest": task["expected_high_ms"].round(3),
        "energy": task["energy_uj"].round(3),
        "estimated": task["energy_estimated_uj"].round(3),
        "current": task["run_current"],
        "smaller": task["flash_ratio"].round(2),
        "faster": task["cycles_ratio"].round(2),
        "mhz": task["clock_hz"] / 1e6,
        "macs": task["macs"].map(_macs),
        # The quoted recipe stands in every command; records have no control characters.
        "command": [
            "\n".join(commands).replace(recipe, "\x01")
            for commands, recipe in zip(task["commands"], recipes, strict=True)
        ],
    }
    return {
        "task": str(task["task"].iloc[0]),
        "boards": {name: boards[name] for name in sorted(task["board"].unique())},
        "columns": {name: _packed(list(column)) for name, column in columns.items()},
    }


def _packed(values: list[Any]) -> Any:
    """A column as ``[value, ...]``, ``{all: value}``, or ``{values: [...], codes: [...]}`` where texts repeat; NaN is null."""
    plain = [None if isinstance(value, float) and value != value else value for value in values]
    distinct = list(dict.fromkeys(plain))
    if len(distinct) == 1:
        return {"all": distinct[0]}
    if isinstance(distinct[0], str) and 2 * len(distinct) < len(plain):
        code = {value: i for i, value in enumerate(distinct)}
        return {"values": distinct, "codes": [code[value] for value in plain]}
    return plain


def _macs(macs: Mapping[str, int]) -> str:
    return " + ".join(f"{count / 1e6:.2f} M {kind}" for kind, count in macs.items() if count)


def _embedded(data: Mapping[str, Any]) -> dict[str, str]:
    """JSON that no text can end, inside of a script element."""
    return {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        for name, value in data.items()
    }


def _made(records: Sequence[Record]) -> dict[str, Any]:
    """Of what and when: the dates and commits of the records, newest first."""
    newest = sorted(records, key=lambda record: (record.times.created, record.git_commit), reverse=True)
    commits = list(dict.fromkeys(record.git_commit for record in newest))
    return {"count": len(records), "date": newest[0].times.created[:10], "commits": commits, "cite": CITATION}


def _navigation(texts: Mapping[str, str], others: Sequence[Page]) -> list[dict[str, Any]]:
    nav: list[dict[str, Any]] = [{"Home": "README.md"}]
    for title, folder in _SECTIONS.items():
        names = sorted(name for name in texts if name.startswith(f"{folder}/"))
        if names:
            nav.append({title: [{_title(texts[name]): name} for name in names]})
    nav += [{title: name} for title, name in _PAGES.items() if name in texts]
    return nav + [{page.title: page.name} for page in others]


def _guides_of(about: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The part of the navigation that leads to guides."""
    sections = navigation({name: _title(text.decode()) for name, text in about.items() if name.endswith(".md")})
    return [{"Guides": sections}] if sections else []


def _title(text: str) -> str:
    """A page's first heading."""
    return text.partition("# ")[2].partition("\n")[0].strip().replace("`", "")


def _mkdocs(docs: Path, site: Path, nav: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config.defaults import MkDocsConfig

    def palette(scheme: str, media: str, icon: str, name: str) -> dict[str, Any]:
        toggle = {"icon": f"material/{icon}", "name": name}
        colours = {"primary": "indigo" if scheme == "default" else "black", "accent": "indigo"}
        return {"scheme": scheme, "media": f"(prefers-color-scheme{media})", "toggle": toggle, **colours}

    config = MkDocsConfig(config_file_path=str(docs.parent / "mkdocs.yml"))
    config.load_dict(
        {
            "site_name": "kilobench leaderboard",
            "site_description": "Neural networks on microcontrollers: accuracy, flash, RAM and cycles, from one binary.",
            "docs_dir": str(docs),
            "site_dir": str(site),
            "use_directory_urls": False,
            "plugins": [],
            "markdown_extensions": ["kilobench.render.site:Plain"],
            "nav": nav,
            "extra": {"generator": False, **extra},
            "theme": {
                "name": "material",
                "custom_dir": str(_THEME),
                "font": False,
                "features": ["navigation.tabs", "navigation.prune"],
                "icon": {"logo": "material/chip"},
                "palette": [
                    palette("default", "", "brightness-auto", "As the system says. Switch to light"),
                    palette("default", ": light", "weather-sunny", "Light. Switch to dark"),
                    palette("slate", ": dark", "weather-night", "Dark. Switch to as the system says"),
                ],
            },
        }
    )
    logger = logging.getLogger("mkdocs")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        errors, _ = config.validate()
        if errors:
            raise ValueError(errors)
        build(config)
    finally:
        logger.setLevel(level)
    for name in _UNUSED:
        path = site / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in site.rglob("*.map"):
        path.unlink()


class Plain(Extension):  # type: ignore[misc]  # Python-Markdown has no types
    """Markdown as pages use it."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Takes away what is not used."""
        for name in _MARKDOWN_UNUSED:
            md.inlinePatterns.deregister(name)


def _add_libraries(assets: Path) -> None:
    """Vega, DataTables and the plots' specifications, each once, as scripts that need no server."""
    (assets / "vega.js").write_text(_vega())
    bundle = resources("itables") / "html"
    script = bundle.joinpath("dt_bundle.js").read_text()
    # Browsers load no modules from files: what it exports becomes a global name.
    script, found = re.subn(r"export\s*\{[^}]*?(\w+) as default[^}]*\};?", r";window.DataTable=\1;", script)
    assert found == 1, "itables exports otherwise than it did"
    (assets / "tables.js").write_text(f"(() => {{{script}}})();\n")
    (assets / "tables.css").write_text(bundle.joinpath("dt_bundle.css").read_text())
    shared = {"colours": COLOURS, "places": PLACES, "plots": {axis: plot(axis) for axis in AXES}}
    (assets / "plots.js").write_text(f"window.kilobench = {json.dumps(shared)};\n")


@cache
def _vega() -> str:
    """Vega-Embed, with Vega and Vega-Lite in it, as one script; takes seconds."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def plot(axis: str) -> dict[str, Any]:
    """Vega-Lite: accuracy of the data set ``rows`` against one of AXES, with the Pareto front of what fits.

    ``rows`` come from the page, with their ``colour`` and ``shape``; parameters: ``chosen``, the ``id`` of the selected
    one, and ``size`` of the others.
    """
    scale = alt.Scale(type="log", nice=False, padding=24)
    x = alt.X(f"{axis}:Q", title=AXES[axis], scale=scale, axis=alt.Axis(tickCount=5, format="~r", labelOverlap=True))
    y_scale = alt.Scale(zero=False, padding=8)
    y = alt.Y("accuracy:Q", title="accuracy (%)", scale=y_scale)
    colour = alt.Color("colour:N", scale=None, legend=None)
    chosen = "datum.id === chosen"
    base = alt.Chart(alt.NamedData("rows"))
    order: list[alt.SortField | dict[str, str]] = [alt.SortField(axis), alt.SortField("accuracy", "descending")]
    front = (
        base.transform_filter("datum.within")
        .transform_window(best="max(accuracy)", sort=order, frame=[None, 0])
        .transform_window(before="lag(best)", sort=order)
        .transform_filter("!(datum.accuracy <= datum.before)")
        .mark_line(aria=False, interpolate="step-after", strokeDash=[4, 3], color="#888888", strokeWidth=1.5)
        .encode(x=x, y=y)
    )
    whiskers = base.transform_filter("datum.whisker").mark_rule(aria=False, opacity=0.55).encode(
        x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q", color=colour
    )  # fmt: skip
    points = base.mark_point(filled=True, opacity=1, cursor="pointer").encode(
        x=x,
        y=y,
        color=colour,
        stroke=alt.Stroke("colour:N", scale=None, legend=None),
        shape=alt.Shape("shape:N", scale=None, legend=None),
        fillOpacity=alt.condition("datum.within", alt.value(1), alt.value(0)),
        strokeWidth=alt.condition(chosen, alt.value(4), alt.value(1.5)),
        size=alt.condition(chosen, alt.value(320), {"value": {"expr": "size"}}),
        description=alt.Description("label:N"),
        tooltip=[
            *(alt.Tooltip(f"{name}:N") for name in ("recipe", "board", "place")),
            alt.Tooltip("accuracy:Q", title="accuracy %", format=".1f"),
            *(alt.Tooltip(f"{name}:Q", title=f"{name} %", format=".1f") for name in ("low", "high")),
            *(
                alt.Tooltip(f"{name}:Q", title=title, format=",.4~r")
                for name, title in AXES.items()
                if name != "energy"
            ),
            alt.Tooltip("fitText:N", title="fits"),
        ],
    )
    chart = alt.layer(front, whiskers, points).add_params(
        alt.param(name="chosen", value=-1), alt.param(name="size", value=90)
    )
    text = f"Accuracy against {AXES[axis]}; the same figures are in the table."
    spec: dict[str, Any] = chart.properties(width="container", height=190, description=text).to_dict()
    return spec


def _curves(rows: Rows, family: str) -> list[dict[str, Any]]:
    """The panels of ``plots`` as wide as the page, with the figures under the pointer."""
    panels = []
    for panel in class_panels(rows, family):
        panels.append(_wide(panel, f"{family}: accuracy against number of classes"))
    return panels


def _wide(spec: dict[str, Any], about: str) -> dict[str, Any]:
    """A plot as wide as the page."""
    return {**_pointed(spec), "width": "container", "description": f"{about}; the same figures are in the table."}


def _pointed(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with tooltips on all points."""
    if "layer" in spec:
        return {**spec, "layer": [_pointed(layer) for layer in spec["layer"]]}
    mark = spec["mark"]
    if isinstance(mark, dict) and mark["type"] == "point":
        return {**spec, "mark": {**mark, "tooltip": {"content": "data"}}}
    return spec
