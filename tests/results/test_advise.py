# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.boards import Board, RunCurrent
from kilobench.cli import main
from kilobench.contracts import Budget, UserError
from kilobench.plugins.budget import quantity
from kilobench.plugins.registry import load_registry
from kilobench.results.advise import advise
from kilobench.results.store import Store
from tests.results.records import contest, record


@pytest.fixture
def records(tmp_path: Path) -> Path:
    for one in contest():
        Store(tmp_path).write(one)
    return tmp_path


BOARD = "nucleo_l476rg"


def advised(records: Path, limits: Budget = Budget(BOARD)) -> list[list[str]]:  # noqa: B008 (frozen)
    """The words of every line that is not empty."""
    page = advise(limits, "fsdd[classes=5]", records)
    return [line.split() for line in page.splitlines() if line]


def test_what_fits_comes_best_first_with_its_command(records: Path) -> None:
    lines = advised(records)
    rows = {line[-1]: line for line in lines if line[-1] in ("int8", "xnor+int8")}
    assert list(rows) == ["int8", "xnor+int8"]
    assert rows["int8"][:2] == ["1", "79.0"] and rows["xnor+int8"][0] == "2", (
        "full does not fit, so that it is not ranked"
    )
    command = "kilobench run --recipe xnor+int8 --board nucleo_l476rg --fold 0"
    assert command in [" ".join(line) for line in lines]


def test_of_equal_places_the_least_flash_comes_first(records: Path) -> None:
    Store(records).write(record("tiny", correct=78, flash_bytes=1024))
    assert [line[-1] for line in advised(records) if line[0] in ("1", "2", "3")] == ["tiny", "int8", "xnor+int8"]


def test_what_does_not_fit_says_by_how_much(records: Path) -> None:
    page = advise(Budget(BOARD, latency_ms=50, flash_bytes=65_536), "fsdd[classes=5]", records)
    assert "full: flash by 336.0 KiB, RAM by 76.3 KiB, time by 150.0 ms" in page
    assert "int8: flash by 36.0 KiB, time by 50.0 ms" in page
    assert page.startswith("fsdd[classes=5] on nucleo_l476rg, 80 MHz; latency at most 50 ms, flash at most 64 KiB\n")


def test_time_is_that_with_the_flash_where_there_is_a_model_of_it(tmp_path: Path) -> None:
    Store(tmp_path).write(record(cycles_flash=12_000_000))
    page = advise(Budget(BOARD, latency_ms=120), "fsdd[classes=5]", tmp_path)
    assert page.startswith(
        "fsdd[classes=5] on nucleo_l476rg, 80 MHz with its flash (estimated); latency at most 120 ms"
    )
    assert "full: time by 30.0 ms" in page


ESTIMATED = "µJ of the chip, estimated from the data sheet: 10 mA at 3 V (a data sheet)"


def known(clock_hz: int = 80_000_000) -> dict[str, Board]:
    board: Board = load_registry().get("boards", BOARD)
    return {BOARD: replace(board, clock_hz=clock_hz, run_current=RunCurrent(10, 3, "a data sheet"))}


def test_energy_is_estimated_from_the_current_of_the_board(records: Path) -> None:
    page = advise(Budget(BOARD), "fsdd[classes=5]", records, known(), 2500)
    assert page.startswith("fsdd[classes=5] on nucleo_l476rg, 80 MHz; energy at most 2500 µJ\n")
    assert ESTIMATED in page.splitlines() and "measured" not in page
    rows = {line[-1]: line for line in map(str.split, page.splitlines()) if line and line[-1] in ("int8", "xnor+int8")}
    assert rows["xnor+int8"][-3:-1] == ["25.0", "750.0"]
    assert "int8: energy by 500.0 µJ" in page


def test_measured_and_estimated_energies_do_not_mix(records: Path) -> None:
    for recipe, energy in (("int8", 4000.0), ("full", None)):
        Store(records).write(record(recipe, link="serial", timing="measured dwt", energy_uj=energy))
    page = advise(Budget(BOARD), "fsdd[classes=5]", records, known(), 5000)
    emulator, serial = page.split("serial; ")
    assert ESTIMATED in emulator and "µJ of the whole board, measured" not in emulator
    assert "µJ of the whole board, measured" in serial and "estimated" not in serial
    assert "4000.0  int8" in serial and "full: energy is not known" in serial


def test_a_limit_of_energy_needs_a_current_at_the_clock(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for boards in ({}, known(clock_hz=40_000_000)):
        with pytest.raises(
            UserError, match=r"^--max-energy: no energy is known on nucleo_l476rg: .* run_current at 80 MHz"
        ):
            advise(Budget(BOARD), "fsdd[classes=5]", records, boards, 500)
    assert "µJ" not in advise(Budget(BOARD), "fsdd[classes=5]", records)
    arguments = ["advise", "--task", "fsdd[classes=5]", "--records", str(records), "--board", BOARD, "--max-energy"]
    assert main([*arguments, "3mJ"]) == 0
    assert "10.2 mA at 3 V (STM32L476xx data sheet DS10198" in capsys.readouterr().out
    for text in ("0uJ", "-1uJ", "500", "500KiB"):
        assert main([*arguments[:-1], f"--max-energy={text}"]) == 2
        assert capsys.readouterr().err == (f"kilobench: {text!r} is no positive number with a unit (nJ, uJ, mJ, J)\n")


def test_the_interval_is_that_of_the_slowest_fold(tmp_path: Path) -> None:
    Store(tmp_path).write(record(cycles_flash=12_000_000, cycles_expected=(11_000_000, 13_000_000)))
    Store(tmp_path).write(record(fold=1, cycles_flash=12_400_000, cycles_expected=(10_400_000, 14_400_000)))
    assert "155.0 (130-180)" in advise(Budget(BOARD), "fsdd[classes=5]", tmp_path)
    Store(tmp_path).write(record(fold=2, cycles_flash=12_400_000))
    assert "155.0  full" in advise(Budget(BOARD), "fsdd[classes=5]", tmp_path)


def test_limits_that_nothing_keeps(records: Path) -> None:
    assert ["nothing", "fits"] in advised(records, Budget(BOARD, ram_bytes=1))


def test_limits_hold_for_the_largest_and_slowest_fold(tmp_path: Path) -> None:
    Store(tmp_path).write(record(fold=0, flash_bytes=1000))
    Store(tmp_path).write(record(fold=1, flash_bytes=3000))
    page = advise(Budget(BOARD, flash_bytes=2500), "fsdd[classes=5]", tmp_path)
    assert "nothing fits" in page and "flash by 0.5 KiB" in page


def test_links_are_never_ranked_together(records: Path) -> None:
    Store(records).write(record("int8", link="serial", timing="measured"))
    lines = advised(records)
    each = ["2600", "steps", "each;", "cycles"]
    assert ["emulator;", *each, "emulated", "cortex-m4"] in lines and ["serial;", *each, "measured"] in lines


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [("256KiB", "bytes", 262_144), ("1.5 MiB", "bytes", 1_572_864), ("200ms", "milliseconds", 200), ("2s", "milliseconds", 2000),
     ("50µs", "milliseconds", 0.05)],
)  # fmt: skip
def test_quantities_have_units(text: str, kind: str, expected: float) -> None:
    assert quantity(text, kind) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "kind"), [("256", "bytes"), ("200 kib", "bytes"), ("-1ms", "milliseconds"), ("ms", "milliseconds")]
)
def test_what_is_no_quantity_is_refused(text: str, kind: str) -> None:
    with pytest.raises(UserError, match="is no positive number with a unit"):
        quantity(text, kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fsdd[classes=5]", "nucleo_f411re"],
            "nothing is known of fsdd[classes=5] on board 'nucleo_f411re'; nearest is 'nucleo_l476rg'; there are: "
            "nucleo_l476rg, raspberry_pi_pico",
        ),
        (["fsdd", BOARD], "no records of task 'fsdd'; there are: fsdd[classes=5]"),
        (["fsdd[classes=5]", BOARD, "--max-latency", "200"], "'200' is no positive number with a unit (us, ms, s)"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str], message: str, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, board, *rest = arguments
    assert main(["advise", "--task", task, "--board", board, "--records", str(records), *rest]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
