# SPDX-License-Identifier: Apache-2.0
"""The documentation on the site, and that no link of the site is broken."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from kilobench.mlperf.page import mlperf_pages
from kilobench.render.guides import guides, linked, named, navigation
from kilobench.render.site import build_site
from kilobench.results.rows import Rows
from kilobench.results.store import Store
from kilobench.results.table import rows_of
from tests.results.records import contest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class Page(HTMLParser):
    """What a page leads to, and what of it can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.parts = {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.parts |= {value for name, value in attrs if name == "id" and value}


def broken(site: Path) -> list[tuple[str, str]]:
    """Links of pages that lead to no file of the site, or to no part of a page."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            there = target in pages and unquote(url.fragment) in pages[target].parts
            if not (there or (target not in pages and target.is_file())):
                found.append((path.relative_to(site).as_posix(), link))
    return found


def published() -> tuple[Rows, dict[str, object]]:
    """Rows of the records that lie here, and what the site is made of beside them."""
    records = Store(ROOT / "leaderboard" / "records").read_all()
    return rows_of(records), {"records": records, "others": mlperf_pages(ROOT / "leaderboard", records)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, beside = published()
    folder = tmp_path_factory.mktemp("guides") / "site"
    return build_site(rows, output=folder, documentation=DOCS, **beside).parent  # type: ignore[arg-type]


def test_no_link_of_the_site_is_broken_and_every_guide_is_on_it(site: Path) -> None:
    assert not broken(site)
    home = (site / "index.html").read_text()
    assert "Guides" in home and ">docs/trust.md</a>" in home, "what a page mentions is a link"
    led = {link for path in (site / "docs").glob("*.html") for link in Page(path).links}
    assert {f"{path.stem}.html" for path in DOCS.glob("*.md")} <= led & {
        path.name for path in (site / "docs").iterdir()
    }


def test_the_survey_finds_broken_links(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h2 id="b">B</h2><a href="#b"><a href="#c"><a href="d.html"><img src="e.png">')
    assert broken(tmp_path) == [("a.html", "#c"), ("a.html", "d.html"), ("a.html", "e.png")]


def test_without_documentation_there_are_no_guides(tmp_path: Path) -> None:
    assert guides(None) == guides(tmp_path / "docs") == {} and navigation({}) == []
    home = build_site(rows_of(contest()), contest(), tmp_path / "site", documentation=tmp_path / "docs")
    assert "Guides" not in home.read_text() and not (home.parent / "docs").exists()
    assert not broken(home.parent)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[a](b.md#c)", "[a](../docs/b.md#c)"),
        ("![a](pictures/p.png)", "![a](../docs/pictures/p.png)"),
        ("[all](../leaderboard/README.md#boards)", "[all](../README.md#boards)"),
        ("[kernels](../hardware/kernels)", "kernels (`hardware/kernels`)"),
        ("[methods/int8.py](../methods/int8.py)", "`methods/int8.py`"),
        ("[a](#part) [b](https://c.org/d.md)", "[a](#part) [b](https://c.org/d.md)"),
        ("`[a](x.md)`\n\n    [a](x.md)\n\n```\n[a](x.md)\n```\n", None),
    ],
)
def test_links_of_guides_lead_to_the_site_or_name_the_repository(text: str, made: str | None) -> None:
    assert linked(text, "docs/a.md", {"docs/b.md", "docs/pictures/p.png", "README.md"}) == (
        text if made is None else made
    )


def test_what_the_leaderboard_says_of_a_guide_is_a_link() -> None:
    there = {"docs/trust.md"}
    assert named("see `docs/trust.md`", "tasks/a.md", there) == "see [docs/trust.md](../docs/trust.md)"
    assert named("(docs/trust.md)", "README.md", there) == "([docs/trust.md](docs/trust.md))"
    assert named("`docs/other.md`", "README.md", there) == "`docs/other.md`"


def test_guides_that_no_section_names_come_last() -> None:
    assert navigation({"docs/new.md": "New", "docs/boards.md": "Boards"}) == [
        {"Measure": [{"Boards": "docs/boards.md"}]},
        {"More": [{"New": "docs/new.md"}]},
    ]
