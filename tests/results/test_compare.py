# SPDX-License-Identifier: Apache-2.0
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.record import Record, accuracy
from kilobench.results.compare import compare
from kilobench.results.store import Store
from tests.results.records import record

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "leaderboard" / "records"
SHOWN = re.compile(r"^    \$ kilobench (.+)\n((?:(?:    .*)?\n)*)", re.MULTILINE)
"""A command of a page, and what stands indented below it."""


def written(folder: Path, *records: Record) -> Path:
    for one in records:
        Store(folder).write(one)
    return folder


def changed(folder: Path, **changes: object) -> Path:
    """Records of two folds, and the same with some figures changed, in a folder each."""
    return written(folder, *(record(fold=fold, **changes) for fold in (0, 1)))  # type: ignore[arg-type]


def test_the_same_records_are_worse_in_nothing(tmp_path: Path) -> None:
    page, worse = compare(str(changed(tmp_path / "a")), str(changed(tmp_path / "b")), tmp_path)
    assert not worse and "the same in all figures: 1 of 1 comparisons" in page


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flash_bytes": 102_404}, "B is worse in flash: fsdd[classes=5] full on nucleo_l476rg"),
        ({"ram_bytes": 20_484}, "B is worse in RAM: "),
        ({"cycles": 8_000_001}, "B is worse in cycles: "),
        ({"flash_bytes": 102_396}, "B is worse in nothing"),
        ({"accuracy": accuracy(np.arange(100) < 60).model_dump()}, "B is worse in accuracy: "),
        ({"accuracy": accuracy(np.arange(100) < 79).model_dump()}, "B is worse in nothing"),
        ({"accuracy": accuracy(np.arange(100) < 99).model_dump()}, "B is worse in nothing"),
    ],
)
def test_one_byte_or_cycle_more_is_worse_and_so_is_a_significant_loss(
    changes: dict[str, object], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = changed(tmp_path / "a"), changed(tmp_path / "b", **changes)
    assert main(["compare", str(a), str(b), "--fail-if-worse"]) == ("nothing" not in expected)
    assert capsys.readouterr().out.splitlines()[-1].startswith(expected)
    assert main(["compare", str(a), str(b)]) == 0


@pytest.mark.parametrize(("low", "expected"), [(7_900_000, "not told apart"), (8_100_000, "more")])
def test_cycles_of_real_boards_are_worse_only_beyond_their_range(low: int, expected: str, tmp_path: Path) -> None:
    real = {"link": "serial", "cycles_high": 8_050_000}
    a = changed(tmp_path / "a", **real)
    b = changed(tmp_path / "b", **{**real, "cycles": 8_200_000, "cycles_low": low, "cycles_high": 8_300_000})
    page, worse = compare(str(a), str(b), tmp_path)
    line = next(line for line in page.splitlines() if line.startswith("Mcycles"))
    assert line.endswith(expected) and worse == (expected == "more")


def test_cells_that_one_side_lacks_are_counted(tmp_path: Path) -> None:
    a = changed(tmp_path / "a")
    b = written(tmp_path / "b", record(fold=0, flash_bytes=99_999), record("int8"), record(fold=2))
    page, _ = compare(str(a), str(b), tmp_path)
    assert "100 samples, 1 fold(s), 1 seed(s)" in page
    assert "not compared: 1 cells that only A has, 2 that only B has" in page


def test_other_data_is_never_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = changed(tmp_path / "a"), changed(tmp_path / "b", data_digest="other")
    assert main(["compare", str(a), str(b)]) == 2
    assert "have no cell in common" in capsys.readouterr().err


def test_another_version_of_the_toolchain_is_compared(tmp_path: Path) -> None:
    page, _ = compare(
        str(changed(tmp_path / "a")), str(changed(tmp_path / "b", toolchain="zig 0.18", flash_bytes=1)), tmp_path
    )
    assert "zig 0.17.1 -> zig 0.18" in page


def test_p_is_corrected_for_the_models_not_for_the_boards(tmp_path: Path) -> None:
    boards = "nucleo_l476rg", "raspberry_pi_pico"
    records = [record(recipe, board, right) for board in boards for recipe, right in (("full", 90), ("int8", 84))]
    page, _ = compare("full", "int8", written(tmp_path, *records))
    assert page.count("worse (p = 0.031)") == 2
    more = [
        record(recipe, task="digits", data_digest="d", correct=right) for recipe, right in (("full", 9), ("int8", 8))
    ]
    page, worse = compare("full", "int8", written(tmp_path, *more))
    assert page.count("not told apart (p = 0.063, corrected for 2 tests)") == 2 and not worse


@pytest.mark.parametrize(("command", "shown"), SHOWN.findall((ROOT / "docs" / "comparing.md").read_text("utf-8")))
def test_the_page_shows_what_is_printed(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After new records: copy it anew."""
    monkeypatch.chdir(ROOT)
    main(shlex.split(command))
    printed = {f"    {line}".rstrip() for line in "".join(capsys.readouterr()).splitlines()}
    assert [line for line in shown.splitlines() if line.rstrip() not in {*printed, "", "    ..."}] == []


def test_committed_records_are_compared_by_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--task", "fsdd", "--board", "nucleo_l476rg", "--records", str(COMMITTED)]
    assert main(["compare", "prune+int8", "xnor", *arguments]) == 0
    *blocks, worse = capsys.readouterr().out.split("\n\n")
    block = next(part for part in blocks if "2600 steps" in part)
    assert "3000 samples, 6 fold(s), 1 seed(s)" in block and "not told apart" in block
    assert "B is worse" in worse and "2600 steps" not in worse
    assert main(["compare", "int8", "prune+int8", "--fail-if-worse", *arguments]) == 1
    assert "B is worse in RAM, cycles: fsdd int8 -> prune+int8 on nucleo_l476rg at 64 KiB" in capsys.readouterr().out


def test_unequal_terms_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def compared(*records: Record) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "records"
        written(folder, *records)
        assert main(["compare", "full", "int8", "--records", str(folder)]) == 2
        return capsys.readouterr().err

    assert "cannot be compared: unequal effort" in compared(record(effort=None, steps={}), record("int8", effort=None))
    assert "unequal effort: 2600 and 2700 steps" in compared(record(), record("int8", steps={"train": 2700}))
    versions = {"task fsdd": 1}, {"task fsdd": 2}
    one, other = record(contributions=versions[0]), record("int8", contributions=versions[1])
    assert "versions 1 and 2 of task fsdd" in compared(one, other)
    assert "no cell in common" in compared(record(), record("int8", effort=5.2))


def test_two_files_are_compared_whatever_they_are_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    a, b = store.write(record()), store.write(record("int8", "raspberry_pi_pico", flash_bytes=9))
    assert main(["compare", str(a), str(b)]) == 0
    assert "full -> int8 on nucleo_l476rg -> raspberry_pi_pico: " in capsys.readouterr().out
    assert main(["compare", str(a), str(store.write(record(fold=1)))]) == 2
    assert "not tested on the same samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["int9", "full"], "no records of recipe 'int9'; nearest is 'int8'; there are: full, int8"),
        (["int8", "full", "--task", "fsd"], "no records of task 'fsd'"),
        (["int8", "full", "--board", "nucleo"], "no records of board 'nucleo'; nearest is 'nucleo_l476rg'"),
        (["int8", "full", "--records", "nowhere"], "nowhere holds no records"),
        (["int8", "nowhere/x.json"], "no such file or folder: int8"),
        (["leaderboard/records", "leaderboard"], "have no cell in common"),
        (["int8", "qat"], "int8 and qat have no cell in common"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    records = record(), record("int8"), record("qat", network="other")
    written(tmp_path / "leaderboard" / "records", *records)
    written(tmp_path / "leaderboard", record(task="other"))
    if message.startswith("have"):
        shutil.rmtree(tmp_path / "leaderboard" / "records")
        written(tmp_path / "leaderboard" / "records", record("qat"))
        arguments = ["leaderboard/records", str(written(tmp_path / "b", record(task="other")))]
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
