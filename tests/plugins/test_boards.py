# SPDX-License-Identifier: Apache-2.0
"""Board files: what they say, and what is refused."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from kilobench.boards import Board, Core
from kilobench.cli import main
from kilobench.contracts import UserError
from kilobench.device.build import enlarged
from kilobench.plugins.boards import load_board
from kilobench.plugins.cores import timing_label
from kilobench.plugins.registry import load_registry

ENTRIES = load_registry().entries["boards"]
BOARDS: list[Board] = [entry.value for entry in ENTRIES.values()]  # type: ignore[misc]
CORES: dict[str, Core] = {name: entry.value for name, entry in load_registry().entries["cores"].items()}  # type: ignore[misc]
WITHOUT_FLASH_TIMING = {
    *("apollo4p_evb", "arduino_portenta_c33", "arduino_uno_r4_minima", "ek_ra6m5", "lpcxpresso55s69", "max78000fthr"),
    *("mimxrt1060_evk", "nrf5340_dk", "nrf54l15_dk", "sparkfun_artemis", "esp32_c3_devkitm_1", "seeed_xiao_esp32c3"),
}
"""Emulated boards of which it is not known what a read of the flash takes."""
GOOD = Path(ENTRIES["nucleo_l476rg"].path).read_text()


def test_there_are_the_boards_of_the_plan() -> None:
    assert len(BOARDS) >= 60
    assert {b.core.name for b in BOARDS} == set(CORES)
    assert sum(bool(b.core.timing) for b in BOARDS) >= 60
    assert sum(b.run_current is not None for b in BOARDS) >= 15


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
def test_every_board_says_what_a_measurement_needs(board: Board) -> None:
    assert Path(ENTRIES[board.name].path).stem == board.name
    assert board.caches and (board.usb or not board.platformio)
    assert re.search(r"section|chapter", board.reference)
    assert (board.flash_timing is not None) == (bool(board.core.timing) and board.name not in WITHOUT_FLASH_TIMING)
    if board.platformio:  # else it can only be emulated
        from_flash = board.platformio["platform"].startswith(("ststm32", "nordic", "atmel"))
        assert (board.flash_wait_states is not None) == from_flash
    if board.run_current is not None:  # of the chip alone; per MHz between an Apollo's and an M7's
        assert 0.005 < 1e6 * board.run_current.ma / board.clock_hz < 1
        assert re.search(r"data sheet|Product Specification", board.run_current.reference)
    regions = sorted((*board.ram, board.flash), key=lambda r: r.origin)
    assert all(low.origin + low.bytes <= high.origin for low, high in pairwise(regions))


def test_the_clock_is_what_the_arduino_core_sets_up() -> None:
    """Read from its variants: the F103's PLL is fed by HSI / 2."""
    board = load_registry().get("boards", "nucleo_f103rb")
    assert (board.clock_hz, board.max_clock_hz) == (64_000_000, 72_000_000)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "core: cortex-m4f",
            "core: cortex-m4ff",
            "no core 'cortex-m4ff'; nearest is 'cortex-m4f'; there are cortex-m0, ",
        ),
        ("caches: ", "timing: m4\ncaches: ", "timing: 'm4' is not that of cortex-m4f, 'cortex-m4'; the key can go"),
        ("caches: ", "counter: dtw\ncaches: ", "counter: 'dtw' is not that of cortex-m4f, 'dwt'"),
        ("ststm32@19.6.0", "ststm32", "platform 'ststm32' names no version, as in ststm32@19.6.0"),
        ("framework: arduino", "framework: mbed", "framework 'mbed'; the firmware is written for arduino"),
        ("board: nucleo_l476rg, ", "", "platformio: key 'board' is missing"),
        ('"0483:3752"', '"483:3752"', "usb: '483:3752' is not of the form 0483:374B"),
        ("caches: ", "max_clock_hz: 10\ncaches: ", "clock_hz: 80000000 is above max_clock_hz, 10"),
        ("reference: ", "# ", "key 'reference' is missing"),
        ("name: nucleo_l476rg", "name: 5", "name: 5 is no text"),
        ("name: nucleo_l476rg", "name: .nan", "name: nan is no text"),
        ("title: ST NUCLEO-L476RG", "title:", "title: it has no value; give it one, or leave the key out"),
        (
            "clock_hz: 80000000",
            "clock_hz: 80000000.5",
            "clock_hz: 80000000.5 is not a whole number from 1000000 to 4294967295",
        ),
        ("clock_hz: 80000000", "clock_hz: true", "clock_hz: True is not a whole number"),
        ("clock_hz: 80000000", "clock_hz: 999999", "clock_hz: 999999 is not a whole number from 1000000"),
        ("flash_wait_states: 4", "flash_wait_states: -1", "flash_wait_states: -1 is not a whole number from 0 to 100"),
        ("  wait_states: 4", "  waits: 4", "no key 'flash_timing.waits'; nearest is 'wait_states'"),
        (
            "  wait_states: 4",
            "  wait_states: 1001",
            "flash_timing.wait_states: 1001 is not a whole number from 0 to 1000",
        ),
        ("  wait_states: 4\n", "", "key 'flash_timing.wait_states' is missing"),
        ("  reference: RM0351", "  # ", "key 'flash_timing.reference' is missing"),
        ("  reference: RM0351", "  reference: ' ' # ", "flash_timing.reference: ' ' is no text"),
        ("  read_bytes: 8", "  read_bytes: 8\n  error: 0", "flash_timing.error: 0 is not a whole number from 1 to 100"),
        ("  read_bytes: 8", "  read_bytes: 12", "flash_timing.read_bytes: 12 is no power of two"),
        ("  read_bytes: 8", "  read_bytes: 16", "flash_timing.instruction_cache.line: 8 is less than read_bytes, 16"),
        ("  read_bytes: 8", "  read_bytes: 8\n  prefetch: 1", "flash_timing.prefetch: 1 is not true or false"),
        ("{sets: 32, ", "{sets: 31, ", "flash_timing.instruction_cache.sets: 31 is no power of two"),
        ("{sets: 32, ", "{sets: 0, ", "flash_timing.instruction_cache.sets: 0 is not a whole number from 1 to 4096"),
        ("{sets: 32, ", "{sets: 2048, ", "flash_timing.instruction_cache: 8192 lines are more than 4096"),
        ("{sets: 32, ", "{", "flash_timing.instruction_cache: {'ways': 4, 'line': 8} is not of the form {sets: 32, "),
        (
            "  data_cache:",
            "  unified_cache:",
            "flash_timing: unified_cache is in place of instruction_cache and data_cache",
        ),
        ("  ma: 10.2", "  ma: 0", "run_current.ma: 0 is not a number above 0 and up to 10000"),
        ("  ma: 10.2", "  ma: -10.2", "run_current.ma: -10.2 is not a number above 0 and up to 10000"),
        ("  ma: 10.2", "  ma: 10200", "run_current.ma: 10200 is not a number above 0 and up to 10000"),
        ("  ma: 10.2", "  ma: .inf", "run_current.ma: inf is no number"),
        ("  ma: 10.2", "  ma: ten", "run_current.ma: 'ten' is no number"),
        ("  ma: 10.2\n", "", "key 'run_current.ma' is missing"),
        ("  ma: 10.2", "  mA: 10.2", "no key 'run_current.mA'; nearest is 'ma'; there are ma, volts, reference"),
        ("  volts: 3.0", "  volts: 0", "run_current.volts: 0 is not a number above 0 and up to 60"),
        ("  volts: 3.0", "  volts: 3300", "run_current.volts: 3300 is not a number above 0 and up to 60"),
        ("  reference: STM32L476xx data sheet DS10198, section 6", "  # ", "key 'run_current.reference' is missing"),
        ("run_current:\n", "run_current: 10.2\nx:\n", "no key 'x'"),
        ("usb: [", "usb: [7, ", "usb: [7, '0483:374B', '0483:3752'] is no list of texts (numbers go in quotes)"),
        ("framework: arduino}", "framework: arduino, x: 1}", "is no mapping of texts (numbers go in quotes)"),
        (
            "bytes: 0x100000}",
            "size: 0x100000}",
            "flash: {'origin': 134217728, 'size': 1048576} is not of the form {origin: ",
        ),
        ("flash: {", "flash: 7  # {", "flash: 7 is not of the form {origin: 0x20000000, bytes: 0x18000}"),
        ("\nram:\n", "\nram: 7\nx:\n", "no key 'x'"),
        ("caches: ", "cache: ", "no key 'cache'; nearest is 'caches'; there are name, title, mcu, "),
        ("mcu: ", "title: x\nmcu: ", "line 3: key 'title' is given twice"),
        ("name: nucleo_l476rg", f"name: {'n' * 5000}", "is not one line of text, of 1000 characters at most"),
        (
            "name: nucleo_l476rg",
            f"name: {'n' * 61}",
            "a board's name is of lower-case letters, digits and underscores, 60 at most",
        ),
        ("framework: arduino}", "framework: arduino, 'a]b': c}", "'a]b': 'c' is no option of a project"),
    ],
)
def test_mistakes_are_told_in_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "nucleo_l476rg.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load_board(path, CORES)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flash_has_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(re.sub(r"flash_timing:\n(  .*\n)+", "flash_timing: 4\n", GOOD))
    with pytest.raises(UserError, match=r"flash_timing: 4 is not of the form {wait_states: 4, read_bytes: 8, "):
        load_board(path, CORES)


def test_a_current_has_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(re.sub(r"run_current:\n(  .*\n)+", "run_current: 10.2\n", GOOD))
    with pytest.raises(UserError, match=r"run_current: 10.2 is not of the form {ma: 10.2, volts: 3.0, reference: ...}"):
        load_board(path, CORES)


def test_energy_is_current_times_voltage_times_latency_at_the_clock_of_the_current() -> None:
    board = load_registry().get("boards", "nucleo_l476rg")
    assert board.estimated_uj(100.0, 80_000_000) == pytest.approx(10.2e-3 * 3.0 * 100e-3 * 1e6)
    assert board.estimated_uj(None, 80_000_000) is None
    assert board.estimated_uj(100.0, 16_000_000) is None
    assert load_registry().get("boards", "nucleo_h743zi").estimated_uj(100.0, 480_000_000) is None


def test_a_board_needs_one_way_to_run(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(re.sub(r"platformio: .*\n", "", GOOD))
    assert load_board(path, CORES).core.timing
    path.write_text(path.read_text().replace("cortex-m4f", "xtensa-lx6"))
    with pytest.raises(UserError, match=r"a board that is not emulated \(xtensa-lx6\) needs platformio"):
        load_board(path, CORES)


def test_labels_name_what_cycles_are() -> None:
    board = load_registry().get("boards", "nucleo_h743zi")
    assert (timing_label(board.core), timing_label(board.core, "dwt")) == ("estimated cortex-m7", "measured dwt")


def test_show_tells_the_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nucleo_f103rb"]) == 0
    shown = capsys.readouterr().out
    assert "clock_hz: 64000000" in shown
    assert "flash_wait_states: 2" in shown
    assert "caches: prefetch buffer" in shown
    assert "'platform': 'ststm32@19.6.0'" in shown


REGIONS = {
    "flash": "origin: 0x08000000, bytes: 0x100000",
    "ram[0]": "origin: 0x20000000, bytes: 0x18000",
    "ram[1]": "origin: 0x10000000, bytes: 0x8000",
}


@pytest.mark.parametrize("key", REGIONS)
@pytest.mark.parametrize(
    ("region", "message"),
    [(f"origin: 0x30000000, bytes: {size}", ".bytes: {value} is not a whole number from 1024 to 536870912")
     for size in (0, -1, 1023, 1.5, 1 << 31, 1 << 32, "true", "x")]
    + [(f"origin: {origin}, bytes: 4096", ".origin: {value} is not a whole number from 0x0 to 0xfffff000")
       for origin in (-1, 1.5, 1 << 32, "yes")]
    + [(f"origin: {origin:#x}, bytes: 4096", ".origin: {value} is no multiple of 0x1000") for origin in (1, 3, 0x20000004)]
    + [("origin: 0x4FFFE000, bytes: 0x1400", ": 0x4fffe000 to 0x4ffff3ff overlaps the emulator's UART, 0x4ffff000 to 0x4fffffff"),
       *((f"origin: {origin}, bytes: {size}", f": {origin} to {last} overlaps the system space, 0xe0000000 to 0xffffffff")
        for origin, size, last in (("0xe00ff000", 4096, "0xe00fffff"), ("0xfffff000", 0x2000, "0x100000fff"),
                                   ("0xdffff000", 0x1400, "0xe00003ff"), ("0xfffe0000", 0x20000, "0xffffffff")))]
    + [(f"origin: 0x30000000, bytes: {size}", ".bytes: {value} is no multiple of 1024") for size in (1025, 4095, (1 << 29) - 1)],
    ids=str,
)  # fmt: skip
def test_memory_lies_where_it_can(key: str, region: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GOOD.replace(REGIONS[key], region))
    values = yaml.safe_load(f"{{{region}}}")
    value = values["bytes" if ".bytes" in message else "origin"]
    shown = (f"{value:#x}" if ".origin" in message else f"{value}") if type(value) is int else repr(value)
    with pytest.raises(UserError) as error:
        load_board(path, CORES)
    assert str(error.value) == f"{path}: {key}{message.format(value=shown)}"


@pytest.mark.parametrize(("region", "other"), [("flash", "ram[0]"), ("flash", "ram[1]"), ("ram[0]", "ram[1]")])
def test_regions_do_not_share_addresses(region: str, other: str, tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GOOD.replace(REGIONS[other], REGIONS[region]))
    with pytest.raises(
        UserError, match=rf"b.yaml: {re.escape(region)}: 0x\w+ to 0x\w+ overlaps {re.escape(other)}, 0x\w+ to"
    ):
        load_board(path, CORES)


def test_a_broken_board_breaks_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it calls itself or its file is called."""
    folder = tmp_path / "boards"
    folder.mkdir()
    broken = GOOD.replace("bytes: 0x18000", "bytes: 0")
    for stem in ("nucleo_l476rg", "mine"):
        (folder / f"{stem}.yaml").write_text(broken)
    (folder / "z.yaml").write_text(broken.replace("name: nucleo_l476rg", "name: zed"))
    (folder / "good.yaml").write_text(GOOD.replace("name: nucleo_l476rg", "name: good"))
    entries = load_registry([str(tmp_path)]).entries["boards"]
    assert entries["nucleo_l476rg"].value == ENTRIES["nucleo_l476rg"].value
    assert isinstance(entries["good"].value, Board)
    reason = ": ram[0].bytes: 0 is not a whole number from 1024 to 536870912"
    assert {name: entry.broken for name, entry in entries.items() if entry.broken} == {
        "mine": f"{folder / 'mine.yaml'}{reason}",
        "zed": f"{folder / 'z.yaml'}{reason}",
        f"{folder / 'nucleo_l476rg.yaml'}": f"{folder / 'nucleo_l476rg.yaml'}{reason}",
    }
    arguments = ["--plugins", str(tmp_path), "run", "--task", "digits", "--recipe", "full", "--board", "zed"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"kilobench: {folder / 'z.yaml'} cannot be used{reason}\n"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_an_enlarged_board_has_a_mebibyte_or_more_everywhere_and_no_two_regions_meet(board: Board) -> None:
    larger = enlarged(board)
    regions = sorted((larger.flash, *larger.ram), key=lambda region: region.origin)
    assert [region.origin for region in larger.ram] == [region.origin for region in board.ram]
    assert all(region.bytes >= 1 << 20 for region in regions)
    assert all(first.origin + first.bytes <= second.origin for first, second in pairwise(regions))
