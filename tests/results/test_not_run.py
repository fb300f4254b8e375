# SPDX-License-Identifier: Apache-2.0
"""Records of programs that are too large to run: sizes without cycles, in everything that reads records."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from kilobench.cli import main
from kilobench.contracts import Budget
from kilobench.measuring.recording import Where, record_of
from kilobench.plugins.registry import load_registry
from kilobench.record import NOT_RUN, Record
from kilobench.render import render
from kilobench.render.site import task_data
from kilobench.results.advise import advise
from kilobench.results.check import problems
from kilobench.results.compare import compare
from kilobench.results.store import Store
from kilobench.results.submit import Change, Submission
from kilobench.results.table import rows_of, terminal
from tests.results.records import contest, published_model, record

ROOT = Path(__file__).parents[2]
WITHOUT: dict[str, Any] = {
    **{name: None for name in ("cycles", "cycles_low", "cycles_high")},
    **{"layers": [], "verified_inputs": 0, "fits": False, "over_flash_bytes": 200_000_000, "flash_bytes": 201_048_576},
}


def huge(board: str = "nucleo_l476rg", **changes: object) -> Record:
    return record("huge", board, 90, **(WITHOUT | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"cycles": 1},
        {"cycles_high": 1},
        {"fits": True},
        {"verified_inputs": 8},
        {"layers": record().model_dump()["layers"]},
    ],
    ids=str,
)
def test_cycles_are_missing_altogether_or_not_at_all(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="are missing together, of a program that fits no such core"):
        huge(**changes)


def test_pages_say_it_and_compare_what_there_is(tmp_path: Path) -> None:
    """``full`` itself among them: then nothing is faster or slower than it."""
    records = [
        *contest(),
        huge(),
        huge("raspberry_pi_pico"),
        record("full", "nrf52840_dk", 80, **WITHOUT),
        record("int8", "nrf52840_dk"),
    ]
    made = {path.relative_to(tmp_path).as_posix(): path for path in render(records, tmp_path)}
    page = made["tasks/fsdd-classes=5.md"].read_text()
    (line,) = [line for line in page.split("## nucleo_l476rg")[1].split("## ")[0].splitlines() if "`huge`" in line]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells.count(NOT_RUN) == 2 and "no: flash +195312.5 KiB" in cells and "196336.5" in cells
    assert "nan" not in "".join(path.read_text() for name, path in made.items() if name.endswith(".md"))
    assert "<svg" in made["plots/fsdd-classes=5-cycles.svg"].read_text()
    rows = rows_of(records)
    assert not any(row["pareto"] for row in rows if row["recipe"] == "huge")
    assert all(math.isnan(row["cycles_ratio"]) for row in rows if row["board"] == "nrf52840_dk")
    columns = task_data(rows, {record.board: [1, 1] for record in records})["columns"]
    assert json.loads(json.dumps(columns, allow_nan=False))["cycles"].count(None) == 3
    console = Console(width=150, record=True)
    console.print(terminal(records))
    assert NOT_RUN in console.export_text()


def test_pages_of_nothing_that_was_run_are_made(tmp_path: Path) -> None:
    made = render([record(**WITHOUT), huge()], tmp_path, site=True)
    assert len([path for path in made if path.suffix == ".svg"]) == 2


def test_advice_tells_what_binds(tmp_path: Path) -> None:
    for one in (huge(), record("int8")):
        Store(tmp_path).write(one)
    for limits in (Budget("nucleo_l476rg"), Budget("nucleo_l476rg", latency_ms=1000)):
        lines = advise(limits, "fsdd[classes=5]", tmp_path).splitlines()
        assert any(line.endswith(f"{NOT_RUN}  huge: flash by 195312.5 KiB") for line in lines), lines


def test_comparing_leaves_cycles_out(tmp_path: Path) -> None:
    for folder, one in (("a", record("full", **WITHOUT)), ("b", record("full"))):
        Store(tmp_path / folder).write(one)
    for first, second in ("ab", "ba", "aa"):
        page, worse = compare(str(tmp_path / first), str(tmp_path / second), tmp_path)
        assert worse == (second == "a" != first)
        if first != second:
            (line,) = [line for line in page.splitlines() if line.startswith("Mcycles")]
            assert line.split() == [
                "Mcycles",
                *(["not", "run", "run"] if first == "a" else ["run", "not", "run"]),
                *["too", "large", "to", "run"],
            ]


def test_a_submission_shows_it() -> None:
    assert f"| {NOT_RUN} |" in Submission(changes=[Change(None, huge(), "")]).report


def test_a_board_whose_flash_cannot_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """End to end: RAM begins right behind a small flash. The record is believed, but for the board that is not published."""
    (tmp_path / "boards").mkdir()
    text = load_registry().find("boards", "nucleo_f446re").path.read_text()
    text = text.replace("name: nucleo_f446re", "name: tight").replace("origin: 0x20000000", "origin: 0x08001000")
    (tmp_path / "boards" / "tight.yaml").write_text(text.replace("bytes: 0x80000", "bytes: 0x1000"))
    store = Store(ROOT / "leaderboard" / "records")
    equal = [one for one in store.read_all() if one.effort is not None and store.model_path(one).is_file()]
    published = min(equal, key=lambda one: store.model_path(one).stat().st_size)
    model = store.model_path(published)
    arguments = [
        "--plugins",
        str(tmp_path),
        "measure",
        str(model),
        "--board",
        "tight",
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    assert NOT_RUN in capsys.readouterr().out
    (made,) = Store(tmp_path / "out" / "records").read_all()
    registry = load_registry([str(tmp_path)])
    assert problems(made, registry) == []
    assert (
        made.cycles is None and not made.fits and made.over_flash_bytes > made.flash_bytes - made.board_flash_bytes - 1
    )
    again, _ = record_of(published_model(store, published), Where(registry.get("boards", "tight")), tmp_path)
    assert again.model_dump(exclude={"times"}) == made.model_dump(exclude={"times"})
