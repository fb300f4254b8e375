# SPDX-License-Identifier: Apache-2.0
"""Records -> pages: Markdown and SVG, and a site, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kilobench.record import Record, TooLarge


def render(
    records: Sequence[Record], output: Path, *, too_large: Sequence[TooLarge] = (), site: bool = False
) -> list[Path]:
    """Write README.md, pages per task, board and method, plots, a CSV, and the site if asked; returns the files to read."""
    from kilobench.render.csv import DICTIONARY, rows_csv
    from kilobench.render.markdown import pages
    from kilobench.render.plots import plots
    from kilobench.results.table import frame

    rows = frame(records)
    files = {**pages(rows, records, too_large), **plots(rows), "rows.csv": rows_csv(rows), "rows.md": DICTIONARY}
    for name, text in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    written = [output / name for name in files]
    if site:
        from kilobench.render.site import build_site

        written.append(build_site(rows, records, output / "site", too_large))
    return written
