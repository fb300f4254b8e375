# SPDX-License-Identifier: Apache-2.0
"""Records come from anybody: what is refused, and that what is not harms no page."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.contracts import UserError
from kilobench.record import Record, accuracy
from kilobench.render import render
from kilobench.results.store import Store
from tests.results.records import record

REFUSED: list[dict[str, Any]] = [
    {"task": "../../etc"}, {"task": "fsdd-classes=5"}, {"task": "fsdd[classes=5"}, {"task": ""}, {"task": "x" * 151},
    {"board": "a/b"}, {"board": ".."}, {"board": "..\\x"}, {"board": "a\u0000b"}, {"board": "a b"}, {"board": "a\n"},
    {"recipe": "full+../x"}, {"recipe": "full+"}, {"recipe": "a[b=`c`]"}, {"recipe": "a[b=|]"}, {"recipe": "a[b=<i>]"},
    {"network": "a[x=1][y](z)"}, {"toolchain": "![x](http://example.org/x.png)"}, {"git_commit": "<script>"},
    {"timing": "a | b"}, {"conditions": {"counter": "[free](http://example.org)"}}, {"conditions": {"a|b": "c"}},
    {"macs": {"<b>": 1}}, {"macs": {"int8": -1}}, {"classes": 0}, {"clock_hz": 0}, {"clock_hz": -1},
    {"cycles": 0}, {"cycles": 10**30}, {"cycles": 1e308}, {"cycles": "many"}, {"cycles_low": -5},
    {"cycles_flash": 0}, {"cycles_flash": 1e308},
    {"flash_bytes": 0}, {"flash_bytes": -1}, {"flash_bytes": 1e308}, {"flash_bytes": 1.5}, {"ram_bytes": -1},
    {"board_flash_bytes": 0}, {"board_ram_bytes": -1}, {"over_flash_bytes": -1}, {"over_ram_bytes": 1 << 40},
    {"seed": -1}, {"fold": -1}, {"partial": -1}, {"transcoded": -1}, {"verified_inputs": -1}, {"energy_uj": -1},
    {"energy_uj": 1e300}, {"energy_uj": float("nan")}, {"energy_uj": float("inf")}, {"unknown": 1}, {"schema": "kilobench/0"},
    {"times": {"created": "<now>", "train_s": 1, "build_s": 1, "evaluate_s": 1, "run_s": 1}},
    {"times": {"created": "2026-01-01T00:00:00Z", "train_s": -1, "build_s": 1, "evaluate_s": 1, "run_s": 1}},
]  # fmt: skip
BITMAPS: list[dict[str, Any]] = [
    {"total": 0, "correct": 0}, {"total": 10**9}, {"total": 96}, {"total": 105}, {"correct": 79}, {"correct": -1},
    {"bitmap": ""}, {"bitmap": "no base64!"}, {"bitmap": "//8="}, {"mean": 0.9}, {"mean": 1.2}, {"low": 0.85},
    {"high": 0.79}, {"high": float("nan")}, {"low": -0.1},
    {"bitmap": record().accuracy.bitmap[:-4] + "AQ=="},
]  # fmt: skip


def read(values: dict[str, Any], folder: Path) -> Record:
    path = folder / "a.json"
    path.write_text(json.dumps(values))
    return Store(folder).read(path)


@pytest.mark.parametrize("changes", REFUSED, ids=lambda changes: str(changes)[:50])
def test_nonsense_is_refused_in_one_line_that_names_it(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"a\.json is no valid record: {next(iter(changes))}") as caught:
        read(record().model_dump(by_alias=True) | changes, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", BITMAPS, ids=str)
def test_an_accuracy_that_is_not_that_of_its_bitmap_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    values = record().model_dump(by_alias=True)
    for key in ("accuracy", "accuracy_10_crops"):
        with pytest.raises(UserError, match=f"a.json is no valid record: {key}"):
            read(values | {key: values["accuracy"] | changes}, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"a": ' * 100_000, "\x00", '"\\ud800"'])
def test_what_is_no_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json is no valid record: ") as caught:
        Store(tmp_path).read_all()
    assert len(str(caught.value)) < 1000


def test_what_is_not_refused_harms_no_page(tmp_path: Path) -> None:
    """Odd texts and the largest and smallest numbers; every table keeps its columns, and no page has HTML."""
    one = accuracy(np.array([True])).model_dump()
    records = [
        record(),
        record("a[b=*_~$#&lt;{{ 1234*7 }}{% x %}]+int8", cycles=(1 << 50) - 1, flash_bytes=(1 << 50) - 1, ram_bytes=1),
        record("full", board="b", accuracy=one, cycles=1, flash_bytes=1, clock_hz=1, over_flash_bytes=5, fits=False),
        record(
            "x",
            board="b",
            correct=0,
            clock_hz=(1 << 50) - 1,
            energy_uj=0,
            macs={},
            conditions={"k{{ 1234*7 }}": "&amp; ]"},
        ),
        record("y", board="b", correct=100, training_changes="**# _x_ [a] (b) \\", toolchain="{% include 'x' %} \\"),
        record(task="fsdd[classes=2,x=' onload y]", classes=(1 << 50) - 1),
        record(task="fsdd[classes=3,x=' onload y]", classes=1),
    ]
    for path in render([read(one.model_dump(by_alias=True), tmp_path) for one in records], tmp_path / "pages"):
        assert path.resolve().is_relative_to(tmp_path / "pages")
        if path.suffix == ".md":
            columns = 0
            for line in path.read_text().splitlines():
                assert "<" not in line and "8638" not in line
                assert not {"nan", "inf"} & set(re.split(r"[^a-z]+", line))
                columns = 0 if not line.startswith("|") else columns or line.count("|")
                assert line.count("|") == columns, (path, line)
