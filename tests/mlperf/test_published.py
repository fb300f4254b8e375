# SPDX-License-Identifier: Apache-2.0
"""The published results: what the project's file says, and what is refused."""

from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.mlperf.published import Result, read_published
from kilobench.mlperf.ratios import published_ratios
from kilobench.plugins.registry import load_registry
from tests.mlperf.made import result

RESULTS = read_published()
LINES = (Path(__file__).parents[2] / "benchmarks/mlperf-tiny/published.csv").read_text().splitlines()


def best(benchmark: str, board: str = "nucleo_l4r5zi") -> Result:
    return min((r for r in RESULTS if (r.benchmark, r.board) == (benchmark, board)), key=lambda r: r.latency_ms)


def test_no_result_is_listed_twice_and_each_says_where_it_was_read() -> None:
    keys = [(*r.who, r.board, r.mhz, r.benchmark) for r in RESULTS]
    assert len(set(keys)) == len(keys) == len({(r.round, r.path) for r in RESULTS})
    short = {"ic01": "ic", "kws01": "kws", "vww01": "vww", "ad01": "ad", "sww01": "sww"}
    assert all(r.path.startswith(f"{r.division}/") and r.path.endswith(f"/{short[r.benchmark]}") for r in RESULTS)


@pytest.mark.parametrize(
    ("name", "macs", "ms", "per_mac", "submitter", "round_"),
    [
        ("ic01", 12_501_632, 165.1, 1.58, "ST", "1.2"),
        ("kws01", 2_656_768, 43.2, 1.95, "ST", "1.2"),
        ("vww01", 7_489_664, 88.9, 1.42, "ST", "1.2"),
        ("ad01", 264_192, 4.1, 1.84, "Plumerai", "1.1"),
    ],
)
def test_the_best_closed_results_are_those_that_are_quoted(
    name: str, macs: int, ms: float, per_mac: float, submitter: str, round_: str
) -> None:
    found = best(name)
    assert (found.submitter, found.round, found.division) == (submitter, round_, "closed")
    assert found.latency_ms == pytest.approx(ms, abs=0.06)
    assert found.cycles / macs == pytest.approx(per_mac, abs=0.006)


def test_boards_that_are_here_have_the_core_and_clock_that_submitters_state() -> None:
    boards = {name: entry.value for name, entry in load_registry((), ()).entries["boards"].items()}
    for found in (r for r in RESULTS if r.board in boards and r.benchmark != "sww01"):
        board = boards[found.board]
        assert (board.core.name, board.clock_hz) == (found.core, found.mhz * 1_000_000), found.path  # type: ignore[union-attr]


def test_ratios_are_of_the_same_round_submitter_and_engine_at_full_clock() -> None:
    results = [
        result("nucleo_l4r5zi", 10),
        result("nucleo_l4r5zi", 20, engine="Engine 2"),
        result("nucleo_u575zi_q", 16),  # as many cycles as 12 inferences at 120 MHz
        result("nucleo_u575zi_q", 1, mhz=1),
        result("nucleo_u575zi_q", 16, engine="Engine 3"),
        result("nucleo_u575zi_q", 16, benchmark="ad01"),
    ]
    assert published_ratios(results, "ic01", "nucleo_u575zi_q") == pytest.approx([10 / 12])
    assert published_ratios(results, "kws01", "nucleo_u575zi_q") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", None, "line 2: there is no path"),
        ("1.0,", "1.9,", "line 2: round: '1.9': Input should be '1.0', '1.1', '1.2' or '1.3'"),
        (
            "cortex-m33",
            "cortex-m85",
            "line 2: core: 'cortex-m85': Value error, there is no such core; there are cortex-m0,",
        ),
        ("159.579", "fast", "line 2: inferences_per_second: 'fast': Input should be a valid number"),
        ("159.579", "", "line 2: inferences_per_second: '': Input should be a valid number"),
        ("159.579", "0", "line 2: inferences_per_second: '0': Input should be greater than 0"),
        ("0.86", "86", "line 2: quality: '86': Input should be less than or equal to 1"),
        ("OctoML", "<b>", "line 2: submitter: '<b>': String should match"),
        ("/ad", "/ad,1", "line 2: more: "),
    ],
)
def test_a_row_that_is_none_is_named_in_one_line(old: str, new: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    row = LINES[1].rpartition(",")[0] if new is None else LINES[1].replace(old, new, 1)
    path.write_text("\n".join([LINES[0], row, *LINES[2:]]))
    with pytest.raises(UserError) as raised:
        read_published(path)
    assert str(raised.value).startswith(f"{path}, {message}") and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"), [("", "has no rows"), (None, "cannot be read: "), (b"\xff", "cannot be read: ")]
)
def test_what_is_no_file_of_results_is_said(content: str | bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_published(path)
    path.write_text("\n".join([LINES[0].replace("engine", "motor"), LINES[1]]))
    with pytest.raises(UserError, match="line 2: there is no engine"):
        read_published(path)
