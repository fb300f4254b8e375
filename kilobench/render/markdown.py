"""Rows -> Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from kilobench.record import Record
from kilobench.render.table import CONTEST, PLACES, class_curves, energy, families, misses, place, slug


def pages(rows: pd.DataFrame, records: Sequence[Record], *, site: bool = False) -> dict[str, str]:
    """Text by file name: README.md and tasks/TASK.md; for the site with places for what ``explore.js`` makes."""
    templates = Environment(
        loader=PackageLoader("kilobench.render"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    names = sorted(rows["task"].unique())
    summaries = [_summary(rows, name) for name in names]
    files = {"README.md": templates.get_template("index.md.j2").render(tasks=summaries, families=families(rows))}
    if families(rows):
        tables = [
            {"name": name, "slug": slug(name), "table": _markdown(_by_classes(rows, name))} for name in families(rows)
        ]
        files["classes.md"] = templates.get_template("classes.md.j2").render(families=tables, site=site)
    commits = sorted({record.git_commit for record in records})
    for name in names:
        task = rows[rows["task"] == name]
        groups = [] if site else task.groupby(CONTEST)  # explore.js shows them
        contests = [_contest(dict(zip(CONTEST, key, strict=True)), contest) for key, contest in groups]
        files[f"tasks/{slug(name)}.md"] = templates.get_template("task.md.j2").render(
            site=site,
            name=name,
            slug=slug(name),
            synthetic=bool(task["synthetic"].any()),
            classes=int(task["classes"].iloc[0]),
            contests=contests,
            commands=list(dict.fromkeys(command for commands in task["commands"] for command in commands)),
            commits=commits,
            toolchains=sorted(task["toolchain"].unique()),
            places=PLACES,
        )
    return files


def _summary(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """For the index: the most accurate recipe that fits, per board, among the rows measured on the most samples."""
    task = rows[rows["task"] == name]
    table = []
    for board, group in task.groupby("board"):
        fitting = group[group["fits"]]
        fitting = fitting[fitting["samples"] == fitting["samples"].max()]
        if len(fitting):
            best = fitting.loc[fitting["accuracy"].idxmax()]
            contest = fitting[(fitting[CONTEST] == best[CONTEST]).all(axis=1)]
            ties = contest[contest["place"] == best["place"]].sort_values("flash_bytes", kind="stable")
            smallest = f"`{ties['recipe'].iloc[0]}`" if len(ties) else ""
            table.append({"Board": board, **_cells(best), "Smallest that ties": smallest})
        else:
            table.append({"Board": board, "Recipe": "none fits"})
    columns = ["Board", "Recipe", "Accuracy % (95 %)", "Flash KiB", "RAM KiB", "Latency ms", "Smallest that ties"]
    shown = pd.DataFrame(table).reindex(columns=columns).fillna("")
    synthetic = bool(task["synthetic"].any())
    return {"name": name, "slug": slug(name), "synthetic": synthetic, "table": _markdown(shown)}


def _contest(key: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    boards = []
    for board, group in rows.groupby("board"):
        first = group.iloc[0]
        table = pd.DataFrame([{"Place": place(row), **_cells(row)} for _, row in group.iterrows()]).fillna("")
        boards.append(
            {
                "name": board,
                "timing": first["timing"],
                "mhz": f"{first['clock_hz'] / 1e6:g}",
                "conditions": first["conditions"],
                "table": _markdown(table),
            }
        )
    first = rows.iloc[0]
    counts = {name: int(first[name]) for name in ("folds", "seeds", "samples", "verified", "partial")}
    return {
        **key,
        **counts,
        "boards": boards,
        "crops": not rows["crops"].isna().all(),
        "energy": not rows["energy_uj"].isna().all(),
    }


def _cells(row: pd.Series) -> dict[str, str]:
    """One row as people read it."""

    def ratio(value: float) -> str:
        return "" if pd.isna(value) else f"{value:.1f}x"

    macs = " + ".join(f"{count / 1e6:.2f} M {kind}" for kind, count in row["macs"].items() if count)
    crops = {} if pd.isna(row["crops"]) else {"10 crops %": f"{100 * row['crops']:.1f}"}
    return {
        "Recipe": f"`{row['recipe']}`{' ◆' if row['pareto'] else ''}",
        "Accuracy % (95 %)": f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f}-{100 * row['high']:.1f})",
        **crops,
        "Flash KiB": f"{row['flash_bytes'] / 1024:.1f}",
        "smaller": ratio(row["flash_ratio"]),
        "RAM KiB": f"{row['ram_bytes'] / 1024:.1f}",
        "Mcycles": f"{row['cycles'] / 1e6:.2f}",
        "faster": ratio(row["cycles_ratio"]),
        "Latency ms": f"{row['latency_ms']:.1f}",
        **({"Energy µJ": energy(row)} if energy(row) else {}),
        "Fits": misses(row),
        "MACs (counted)": macs,
    }


def _by_classes(rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """Accuracy of every recipe for every number of classes that the family was measured with."""
    curves = class_curves(rows, family)
    shown = curves.assign(
        Recipe=curves["line"].map("`{}`".format),
        cell=[f"{100 * r.accuracy:.1f} ({100 * r.low:.1f}-{100 * r.high:.1f})" for r in curves.itertuples()],
    )
    table = shown.pivot(index="Recipe", columns="classes", values="cell").fillna("").reset_index()
    return table.rename(columns={count: f"{count} classes" for count in table.columns if count != "Recipe"})


def _markdown(table: pd.DataFrame) -> str:
    align = ["left" if name in ("Board", "Recipe", "Fits", "Smallest that ties") else "right" for name in table.columns]
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
