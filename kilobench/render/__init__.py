# SPDX-License-Identifier: Apache-2.0
"""Records -> pages: Markdown and SVG, and a site, the same bytes for the same records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from kilobench.record import Costs, Record, TooLarge, Unsuited
from kilobench.render.page import Page
from kilobench.results.energy import Boards

_PAGE = re.compile(r"\]\((?:\.\./)?((?:(?:boards|methods|plots|tasks)/[^/)#]+|classes|study)\.(?:md|svg))[)#]")
"""A link to a page or a picture."""


def render(
    records: Sequence[Record],
    output: Path,
    boards: Boards = MappingProxyType({}),
    *,
    too_large: Sequence[TooLarge] = (),
    unsuited: Sequence[Unsuited] = (),
    others: Sequence[Page] = (),
    costs: Sequence[Costs] = (),
    plots: bool = True,
    site: bool = False,
    documentation: Path | None = None,
) -> list[Path]:
    """Write README.md, pages per task, board and method, a CSV, plots and the site as asked; returns the files to read.

    Of records that are judged by accuracy: pages rank, and others are not ranked. Where there are none, nothing is written. What
    the README.md of before led to, and there are no records of any more, is removed.
    Energy is estimated for ``boards``. ``others`` are pages that come ready-made; by ``costs`` boards have pages that have no
    records. Plots and the site need the extra ``pages``; the site has the guides of the folder ``documentation``, if it is there.
    """
    from kilobench.render.csv import DICTIONARY, rows_csv
    from kilobench.render.markdown import pages
    from kilobench.results.elsewhere import rows_elsewhere
    from kilobench.results.table import rows_of

    records = [record for record in records if record.accuracy]
    if not records:
        return []
    rows = rows_of(records, boards)
    elsewhere = rows_elsewhere(rows, costs, boards)
    texts = pages(rows, records, too_large, others, unsuited=unsuited, elsewhere=elsewhere)
    files = {**texts, "rows.csv": rows_csv(rows), "rows.md": DICTIONARY}
    if plots:
        from kilobench.render import plots as pictures

        files |= pictures.plots(rows, others, elsewhere)
    for name in _linked(output) - files.keys():
        if plots or not name.endswith(".svg"):
            (output / name).unlink(missing_ok=True)
    for name, text in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    written = [output / name for name in files]
    if site:
        from kilobench.render.site import build_site

        written.append(
            build_site(rows, records, output / "site", too_large, others, elsewhere, unsuited, documentation)
        )
    return written


def _linked(output: Path) -> set[str]:
    """The names of pages and pictures that README.md leads to, itself or by such pages."""
    found: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = output / waiting.pop()
        named = set(_PAGE.findall(page.read_text("utf-8"))) - found if page.is_file() else set()
        found |= named
        waiting += [name for name in named if name.endswith(".md")]
    return found
