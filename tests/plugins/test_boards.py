"""Board files: what they say, and what is refused."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from kilobench.api import Board, UserError
from kilobench.cli import main
from kilobench.device.build import enlarged
from kilobench.plugins.boards import load_board, timing_label
from kilobench.plugins.registry import load_registry

ENTRIES = load_registry().entries["boards"]
BOARDS: list[Board] = [entry.value for entry in ENTRIES.values()]  # type: ignore[misc]
COUNTERS = {"cortex-m0": "systick", "cortex-m0plus": "systick", "xtensa-lx6": "ccount", "xtensa-lx7": "ccount"}
COUNTERS |= {"riscv-rv32imc": "mcycle", **dict.fromkeys(("cortex-m3", "cortex-m33", "cortex-m4f", "cortex-m7"), "dwt")}
GOOD = Path(ENTRIES["nucleo_l476rg"].path).read_text()


def test_there_are_the_boards_of_the_plan() -> None:
    assert len(BOARDS) >= 25
    assert {b.core for b in BOARDS} == set(COUNTERS)
    assert sum(bool(b.timing) for b in BOARDS) == 22


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
def test_every_board_says_what_a_measurement_needs(board: Board) -> None:
    assert Path(ENTRIES[board.name].path).stem == board.name
    assert board.counter == COUNTERS[board.core]
    assert board.caches and board.usb
    assert re.search(r"section|chapter", board.reference)
    assert (board.flash_wait_states is None) == (
        not board.platformio["platform"].startswith(("ststm32", "nordic", "atmel"))
    )
    regions = sorted((*board.ram, board.flash), key=lambda r: r.origin)
    assert all(low.origin + low.bytes <= high.origin for low, high in pairwise(regions))


def test_the_clock_is_what_the_arduino_core_sets_up() -> None:
    """Read from its variants: the F103's PLL is fed by HSI / 2."""
    board = load_registry().get("boards", "nucleo_f103rb")
    assert (board.clock_hz, board.max_clock_hz) == (64_000_000, 72_000_000)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("core: cortex-m4f", "core: cortex-m4", "no core 'cortex-m4'; nearest is 'cortex-m4f'; there are cortex-m0, "),
        (
            "timing: cortex-m4",
            "timing: cortex-m7",
            "no core 'cortex-m4f' with timing 'cortex-m7'; there are cortex-m0 with",
        ),
        ("timing: cortex-m4", "timing: m4", "no timing 'm4'"),
        ("counter: dwt", "counter: dtw", "no counter 'dtw'; nearest is 'dwt'"),
        ("counter: dwt", "", "a board with platformio needs counter"),
        ("ststm32@19.6.0", "ststm32", "platform 'ststm32' names no version, as in ststm32@19.6.0"),
        ("framework: arduino", "framework: mbed", "framework 'mbed'; the firmware is written for arduino"),
        ("board: nucleo_l476rg, ", "", "platformio: key 'board' is missing"),
        ('"0483:3752"', '"483:3752"', "usb '483:3752' is not of the form 0483:374B"),
        ("counter: dwt", "counter: dwt\nmax_clock_hz: 10", "clock_hz 80000000 is above max_clock_hz 10"),
        ("reference: ", "# ", "key 'reference' is missing"),
        ("caches: ", "cache: ", "no key 'cache'; nearest is 'caches'"),
    ],
)
def test_mistakes_are_told_in_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "nucleo_l476rg.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load_board(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_board_needs_one_way_to_run(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(re.sub(r"(timing|platformio): .*\n", "", GOOD))
    with pytest.raises(UserError, match=r"a board that is not emulated \(timing\) needs platformio"):
        load_board(path)


def test_labels_name_what_cycles_are() -> None:
    board = load_registry().get("boards", "nucleo_h743zi")
    assert (timing_label(board), timing_label(board, "dwt")) == ("estimated cortex-m7", "measured dwt")


def test_show_tells_the_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nucleo_f103rb"]) == 0
    shown = capsys.readouterr().out
    assert "clock_hz: 64000000" in shown
    assert "flash_wait_states: 2" in shown
    assert "caches: prefetch buffer" in shown
    assert "'platform': 'ststm32@19.6.0'" in shown


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_an_enlarged_board_has_a_mebibyte_or_more_everywhere_and_no_two_regions_meet(board: Board) -> None:
    larger = enlarged(board)
    regions = sorted((larger.flash, *larger.ram), key=lambda region: region.origin)
    assert [region.origin for region in larger.ram] == [region.origin for region in board.ram]
    assert all(region.bytes >= 1 << 20 for region in regions)
    assert all(first.origin + first.bytes <= second.origin for first, second in pairwise(regions))
