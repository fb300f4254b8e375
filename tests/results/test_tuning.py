# SPDX-License-Identifier: Apache-2.0
"""The table of a search."""

from kilobench.results.tuning import HEADING, NOTE, table
from tests.results.records import record
from tests.results.test_not_run import huge


def test_a_candidate_is_told_where_it_got_to_and_held_against_its_rung() -> None:
    first = {
        "best": record(correct=70, steps={"train": 10}),
        "small": record(correct=60, steps={"train": 10}, flash_bytes=50_000),
        "poor": record(correct=60, steps={"train": 10}),
    }
    heading, *lines, note = table([first, {"best": record(correct=90, steps={"train": 30})}])
    assert (heading, note) == (HEADING, NOTE)
    assert [(line.split()[0], line.split()[-1], "◆" in line) for line in lines] == [
        ("30", "best", True),
        ("10", "small", True),
        ("10", "poor", False),
    ]
    assert lines[0].split()[1:4] == ["◆90.0", "(82.6-94.5)", "100.0"]
    assert len({line.index(line.split()[-1]) for line in lines}) == 1


def test_what_was_not_run_has_no_time() -> None:
    assert "not run" in table([{"a": huge()}])[1]
