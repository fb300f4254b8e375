# SPDX-License-Identifier: Apache-2.0
"""The site in a browser: Debian's Chromium, driven by Playwright, from files."""

import html
import itertools
import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import yaml

from kilobench.record import Record
from kilobench.render.site import CITATION, _embedded, build_site, task_data
from kilobench.results.store import Store
from kilobench.results.table import rows_of
from tests.mlperf.test_page import made_up
from tests.results.records import contest, record

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parents[2]
FSDD = "tasks/fsdd-classes=5.html"
NASTY = "full[a='\"&lt;b&gt;{{7*7}}*_~]"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")


def of_the_tests() -> list[Record]:
    """A contest on two boards, the same with more training, and names as bad as records allow."""
    longer = [record(name, correct=90, training_changes="epochs=99") for name in ("full", "int8")]
    energy = [record("int8", task="digits[classes=3]", classes=3, energy_uj=12.5)]
    nasty = [record(NASTY, task="esc10[a='\"&lt;b&gt;{{7*7}}]", network="a[b='\"};alert]")]
    return [
        *contest(),
        record("prune+int8", correct=78, flash_bytes=61_440, cycles=4_000_000),
        *longer,
        *energy,
        *nasty,
    ]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.DataFrame(rows_of(of_the_tests()))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the committed records and those of the tests."""
    published = [r for r in Store(ROOT / "leaderboard" / "records").read_all() if r.task != record().task]
    records = [*published, *of_the_tests()]
    return build_site(rows_of(records), records, tmp_path_factory.mktemp("leaderboard") / "site").parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Any]:
    """Opens a page of the site; at the end no page may have complained, or asked another machine for anything."""
    wrong: list[str] = []
    contexts = []

    def guard(route: Any) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            wrong.append(f"request {route.request.url}")
            route.abort()

    def visit(path: str, drawn: bool = True, folder: Path = site, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 1000}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.route("**/*", guard)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        name, _, query = path.partition("?")
        page.goto((folder / name).as_uri() + (f"?{query}" if query else ""))
        if drawn:
            page.wait_for_selector(".explore[data-drawn]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong


def test_pages_that_come_ready_made_are_led_to_and_drawn(visit: Any, tmp_path: Path) -> None:
    one = made_up()
    folder = build_site(rows_of(contest()), contest(), tmp_path / "site", others=[one]).parent
    home = visit("index.html", drawn=False, folder=folder)
    home.get_by_role("link", name=one.title).first.click()
    marks = home.locator("div.classes .mark-symbol.role-mark path")
    marks.first.wait_for()
    assert marks.count() == 5  # int8 on the reference board
    assert home.get_by_text("rounded as TFLite").count() >= 2
    for theme in ("light", "dark"):
        page = visit("mlperf-tiny.html", drawn=False, folder=folder, color_scheme=theme, width=390)
        page.locator("div.classes svg").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def column(page: Any, title: str) -> list[str]:
    """The texts of a column as shown."""
    titles = page.locator("table.rows thead th").all_inner_texts()
    cells = page.locator(f"table.rows tbody td:nth-child({titles.index(title) + 1})").all_inner_texts()
    return [text.strip() for text in cells]


def eventually(page: Any, holds: Callable[[], bool]) -> None:
    """A table is drawn anew a moment after it was asked to."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, page.locator("table.rows").inner_text()
        page.wait_for_timeout(50)


def test_the_table_sorts_by_mouse_and_by_keyboard(visit: Any) -> None:
    page = visit(FSDD)
    head = page.locator("table.rows th", has_text="Flash KiB")
    head.click()
    eventually(page, lambda: column(page, "Flash KiB") == ["40.0", "60.0", "100.0", "400.0"])
    assert head.get_attribute("aria-sort") == "ascending" and head.get_attribute("scope") == "col"
    page.locator("table.rows th", has_text="Accuracy").get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    falling = ["80.0", "79.0", "78.0", "60.0"]
    eventually(page, lambda: [text.split()[0] for text in column(page, "Accuracy % (95 %)")] == falling)


def test_the_filter_leaves_rows_and_points_that_match(visit: Any) -> None:
    page = visit(FSDD)
    page.locator(".dt-search input").fill("int8 no match")
    eventually(page, lambda: column(page, "Place") == ["No row matches."])
    page.locator(".dt-search input").fill("xnor")
    eventually(page, lambda: column(page, "Recipe") == ["xnor+int8 ◆"])
    playwright.expect(page.locator("#plot-flash path[aria-roledescription=point]")).to_have_count(1)


LIMITS: list[tuple[str, dict[str, float]]] = [
    ("nucleo_l476rg", {}),
    ("raspberry_pi_pico", {"flash": 99}),
    ("nucleo_l476rg", {"flash": 64, "latency": 60}),
    ("any", {"ram": 30, "accuracy": 70}),
    ("nucleo_l476rg", {"ram": 3}),
]


@pytest.mark.parametrize(("board", "limits"), LIMITS)
def test_what_fits_is_answered_as_the_records_say(
    visit: Any, rows: pd.DataFrame, board: str, limits: dict[str, float]
) -> None:
    page = visit(FSDD)
    page.locator("select[name=board]").select_option("" if board == "any" else board)
    for name, value in limits.items():
        page.locator(f"input[name={name}]").fill(str(value))
    task = rows[(rows["task"] == "fsdd[classes=5]") & (rows["training"] == "")]
    chosen = task if board == "any" else task[task["board"] == board]
    fits = chosen["fits"] if board != "any" else chosen["fits"] | True
    for name, figures in (
        ("flash", chosen["flash_bytes"] / 1024), ("ram", chosen["ram_bytes"] / 1024), ("latency", chosen["latency_ms"])
    ):  # fmt: skip
        fits &= figures <= limits.get(name, float("inf"))
    fits &= 100 * chosen["accuracy"] >= limits.get("accuracy", 0)
    text = page.locator(".answer").inner_text()
    fitting = chosen[fits]
    assert f"{len(fitting)} of {len(chosen)} fit" in text
    if len(fitting) == 0:
        assert f"Nothing fits {board}." in text
        return
    best = fitting.loc[fitting["accuracy"].idxmax()]
    ties = fitting[(fitting["board"] == best["board"]) & (fitting["place"] == best["place"])]
    smallest = ties.loc[ties["flash_bytes"].idxmin()]
    assert re.match(rf"{re.escape(best['recipe'])}\b.* is the most accurate that fits", text)
    said = re.search(r"The smallest that ties with it: (\S+?),? ", text)
    assert (said[1] if said else best["recipe"]) == smallest["recipe"]
    assert f"{100 * best['accuracy']:.1f} % ({100 * best['low']:.1f}–{100 * best['high']:.1f})" in text


def test_misses_say_by_how_much(visit: Any) -> None:
    page = visit(FSDD)
    page.locator("input[name=flash]").fill("50")
    text = page.locator(".answer").inner_text()
    assert "full misses flash by 350.0 KiB and RAM by 76.3 KiB (at conv1)" in text
    assert "int8 misses flash by 50.0 KiB" in text
    eventually(page, lambda: column(page, "Fits").count("yes") == 1)  # the table says in words what fits
    hollow = page.locator("#plot-flash path[aria-roledescription=point][fill-opacity='0']")
    playwright.expect(hollow).to_have_count(3)


def test_the_front_joins_what_fits_and_nothing_that_another_beats(visit: Any) -> None:
    page = visit(FSDD)

    def corners(axis: str) -> int:
        path = page.locator(f"#plot-{axis} .role-mark.mark-line path").get_attribute("d")
        return len(re.findall("[HVL]", path))

    # By flash xnor+int8, prune+int8, int8 (full does not fit); two corners on the way to each next one.
    assert corners("flash") == 4 and corners("cycles") == 4
    page.locator("input[name=flash]").fill("64")
    page.wait_for_timeout(200)
    assert corners("flash") == 2


def test_a_board_fills_its_limits(visit: Any) -> None:
    page = visit(FSDD)
    assert page.locator("input[name=flash]").input_value() == "1024"
    page.locator("select[name=board]").select_option("")
    assert page.locator("input[name=flash]").input_value() == ""
    eventually(page, lambda: set(column(page, "Board")) == {"nucleo_l476rg", "raspberry_pi_pico"})


def test_contests_are_never_ranked_together(visit: Any) -> None:
    page = visit(FSDD)
    assert page.locator("select[name=contest]").input_value() == "usual training"
    page.locator("select[name=contest]").select_option("epochs=99")
    eventually(page, lambda: len(column(page, "Recipe")) == 2)
    assert sorted(column(page, "Recipe")) in (["full", "int8 ◆"], ["full ◆", "int8"], ["full ◆", "int8 ◆"])
    assert set(column(page, "Place")) == {"1"} and "2 of 2 fit" in page.locator(".answer").inner_text()


def test_the_filter_outlives_a_change_of_contest(visit: Any) -> None:
    page = visit(FSDD)
    page.locator(".dt-search input").fill("epochs no match")
    page.locator("select[name=contest]").select_option("epochs=99")
    eventually(page, lambda: column(page, "Place") == ["No row matches."])
    assert "filter=epochs+no+match" in page.url


def test_an_address_restores_what_was_seen(visit: Any, site: Path) -> None:
    page = visit(FSDD)
    page.locator("select[name=board]").select_option("raspberry_pi_pico")
    page.locator("input[name=flash]").fill("70.5")
    page.locator("input[name=latency]").fill("150")
    page.locator(".dt-search input").fill("int8")
    page.locator("table.rows th", has_text="Mcycles").click()
    page.get_by_role("button", name="xnor+int8").click()
    query = urlsplit(page.url).query
    other = visit(f"{FSDD}?{query}")
    for seen in (page, other):
        assert seen.locator("select[name=board]").input_value() == "raspberry_pi_pico"
        assert seen.locator("input[name=flash]").input_value() == "70.5"
        assert seen.locator("tr.selected").inner_text().split()[1] == "xnor+int8"
        assert column(seen, "Mcycles") == ["2.00", "8.00", "16.00"]
    assert other.locator(".answer").inner_text() == page.locator(".answer").inner_text()
    assert urlsplit(other.url).query == query
    other.get_by_role("button", name="Reset").click()
    assert urlsplit(other.url).query == "" and len(column(other, "Recipe")) == 4


def test_nonsense_in_an_address_is_harmless(visit: Any) -> None:
    page = visit(
        f"{FSDD}?board=none&contest=x&flash=-1&ram=abc&sort=x.y&row=x&filter=%3Cimg%20src=x%20onerror=alert(1)%3E"
    )
    assert page.locator("select[name=board]").input_value() == "nucleo_l476rg"
    assert page.locator("input[name=flash]").input_value() == "1024"
    assert page.locator("img[src=x]").count() == 0


def test_a_point_selects_its_row_and_a_row_its_point(visit: Any) -> None:
    page = visit(FSDD)
    points = page.locator("#plot-cycles path[aria-roledescription=point]")
    recipes = points.evaluate_all("all => all.map((one) => one.__data__.datum.recipe)")
    points.nth(recipes.index("prune+int8")).click()
    assert page.locator("tr.selected button").inner_text() == "prune+int8"
    assert "kilobench run --recipe prune+int8" in page.locator(".chosen").inner_text()
    sizes = "all => all.map((one) => [one.__data__.datum.recipe, one.getBoundingClientRect().width])"
    page.get_by_role("button", name="xnor+int8").press("Enter")
    page.wait_for_timeout(100)
    for axis in ("flash", "ram", "cycles", "latency"):
        widths = dict(page.locator(f"#plot-{axis} path[aria-roledescription=point]").evaluate_all(sizes))
        assert max(widths, key=lambda name: widths[name]) == "xnor+int8"
    assert page.locator("tr.selected [aria-pressed=true]").inner_text() == "xnor+int8"


def test_pointing_at_a_mark_shows_the_record(visit: Any) -> None:
    page = visit(FSDD)
    page.locator("#plot-flash path[aria-roledescription=point]").first.hover()
    shown = page.locator("#vg-tooltip-element").inner_text()
    for word in ("recipe", "board", "flash (KiB)", "RAM (KiB)", "latency (ms)", "fits"):
        assert word in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(visit: Any, scheme: str) -> None:
    """Text and its ground differ enough to be read (WCAG: 4.5), in the page and in plots, before and after the switch."""
    page = visit(FSDD, color_scheme=scheme)

    def contrast() -> list[float]:
        colours = page.evaluate(
            """[getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.querySelector('table.rows td')).color,
                document.querySelector('#plot-flash .role-axis-label text').getAttribute('fill')]"""
        )
        ground, *texts = [_luminance(colour) for colour in colours]
        return [(max(ground, text) + 0.05) / (min(ground, text) + 0.05) for text in texts]

    first = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(contrast()) > 4.5 and (_luminance(first) < 0.2) == (scheme == "dark")
    seen = {_luminance(first) < 0.2}
    for turn in range(3):  # automatic, light, dark
        page.locator("form[data-md-component=palette] label:visible").click()
        page.wait_for_timeout(300)
        assert min(contrast()) > 4.5, turn
        seen.add(_luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.2)
    assert seen == {True, False}


def _luminance(colour: str) -> float:
    red, green, blue = (int(float(part)) / 255 for part in re.findall(r"[\d.]+", colour)[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_pages_are_as_wide_as_a_phone(visit: Any, site: Path) -> None:
    page = visit("index.html", drawn=False, width=390)
    for name in ("index.html", "classes.html", FSDD, "tasks/esc10.html"):
        page.goto((site / name).as_uri())
        if name.startswith("tasks"):
            page.wait_for_selector(".explore[data-drawn]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_class_curves_are_drawn(visit: Any) -> None:
    page = visit("classes.html", drawn=False)
    families = page.locator("div.classes")
    assert families.count() >= 2
    for i in range(families.count()):
        families.nth(i).locator("svg path[aria-roledescription=point]").first.wait_for()


def test_bad_names_stay_text(visit: Any, site: Path) -> None:
    (path,) = site.glob("tasks/esc10-*7-7*.html")
    page = visit(str(path.relative_to(site)))
    assert page.locator("table.rows button").inner_text() == NASTY
    assert NASTY in page.locator(".answer").inner_text()
    page.locator("table.rows button").click()
    said = page.locator(".chosen").inner_text()
    assert "a[b='\"};alert], emulator" in said
    assert of_the_tests()[-1].command in said, "quoted as a shell needs it"


def test_what_no_record_may_hold_stays_text_too(visit: Any, site: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    """The page does not lean on the validators of records."""
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{1}}"
    texts = ["recipe", "board", "network", "timing", "toolchain", "peak", "conditions"]
    some = rows[(rows["task"] == "fsdd[classes=5]") & (rows["training"] == "") & (rows["board"] == "raspberry_pi_pico")]
    hostile = some.assign(**{name: bad for name in texts}, commands=[(bad,)] * len(some))
    data = _embedded({"x": task_data(hostile.to_dict("records"), {bad: [1, 2]})})["x"]
    page = (site / FSDD).read_text()
    page = re.sub(r"(id=\"explore-data\">).*?(</script>)", lambda found: found[1] + data + found[2], page)
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / FSDD).write_text(page)
    shown = visit(FSDD, folder=tmp_path / "site")
    shown.locator("table.rows button").first.click()
    shown.locator("#plot-flash path[aria-roledescription=point]").first.hover()
    assert shown.locator("table.rows button").first.inner_text() == bad
    assert bad in shown.locator(".chosen").inner_text()
    assert shown.locator("img[src=x]").count() == 0
    assert "alert(1)</script>" not in data


def test_every_page_says_of_what_and_when_and_leads_somewhere(site: Path) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] in CITATION and citation["authors"][0]["name"] in CITATION
    for path in sorted(site.rglob("*.html")):
        text = path.read_text()
        assert CITATION in text and re.search(r"<time>20\d\d-\d\d-\d\d</time>", text), path
        for link in re.findall(r"(?:href|src)=\"?([^\" >]+)", text):
            target = urlsplit(html.unescape(link))
            assert target.scheme in ("", "data") or link.startswith("http"), link
            if not target.scheme and target.path:
                assert (path.parent / unquote(target.path)).exists(), (path, link)


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = of_the_tests()
    sites = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        build_site(rows_of(records), records, folder)
        sites.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
        random.Random(0).shuffle(records)
    assert sites[0] == sites[1] and len(sites[0]) > 10


def test_ten_thousand_records_of_one_task(visit: Any, tmp_path: Path) -> None:
    """Whole build under 30 s, page under 3 MB, first paint under 1 s, table answers in time."""
    recipes = [record(f"prune[keep=0.{i + 10},rank=taylor]+int8", correct=40 + i) for i in range(50)]
    records = [
        recipes[i].model_copy(
            update={"board": f"board_{b:03d}", "cycles": 10**6 + i * b, "flash_bytes": 50_000 + 997 * i}
        )
        for b, i in itertools.product(range(200), range(50))
    ]
    start = time.process_time()
    build_site(rows_of(records), records, tmp_path / "site")
    seconds = time.process_time() - start
    path = tmp_path / "site" / FSDD
    page = visit(f"{FSDD}?board=any", drawn=False, folder=tmp_path / "site")
    page.wait_for_selector("table.rows tbody tr button")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(
        f"built in {seconds:.1f} s of CPU, page {path.stat().st_size / 1e6:.2f} MB, first paint after {painted:.0f} ms"
    )
    assert seconds < 30 and path.stat().st_size < 3e6 and painted < 1000
    assert "10000" in page.locator(".dt-info").inner_text().replace(",", "")
    assert page.locator("table.rows tbody tr").count() == 25
    page.wait_for_selector(".explore[data-drawn]", timeout=60_000)
    page.locator(".dt-search input").fill("board_123")
    eventually(page, lambda: set(column(page, "Board")) == {"board_123"})


def test_data_are_packed_and_read_back() -> None:
    columns = task_data(rows_of(contest()), {"nucleo_l476rg": [1, 2], "raspberry_pi_pico": [1, 2]})["columns"]
    assert columns["network"] == {"all": "acdnet"} and columns["crops"] == {"all": None}
    assert len(columns["recipe"]) == 6 and "\x01" in json.dumps(columns["command"]).replace("\\u0001", "\x01")
