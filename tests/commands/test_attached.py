# SPDX-License-Identifier: Apache-2.0
"""Boards at ports, with ports as pyserial describes them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from kilobench.boards import Board
from kilobench.cli import main
from kilobench.commands import attached
from kilobench.commands.attached import candidates, matching, report
from kilobench.contracts import UserError
from kilobench.device.ports import find_port, usb_ports
from kilobench.plugins.registry import load_registry

BOARDS: dict[str, Board] = {name: e.value for name, e in load_registry().entries["boards"].items()}  # type: ignore[misc]


def port(device: str, vid: int | None, pid: int | None, serial: str = "") -> ListPortInfo:
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number, info.description = vid, pid, serial, "a description"
    return info


STLINK, STLINK2 = port("/dev/ttyACM0", 0x0483, 0x374B, "066F"), port("/dev/ttyACM1", 0x0483, 0x374B, "0670")
PICO, MODEM = port("/dev/ttyACM2", 0x2E8A, 0x000A), port("/dev/ttyUSB0", 0x12D1, 0x1001)


def test_one_debug_probe_is_on_many_boards() -> None:
    found = [board.name for board in candidates(STLINK, BOARDS.values())]
    assert {"nucleo_f030r8", "nucleo_l476rg", "nucleo_f767zi"} <= set(found)
    assert "nucleo_g474re" not in found
    assert [board.name for board in candidates(PICO, BOARDS.values())] == ["raspberry_pi_pico"]
    assert candidates(MODEM, BOARDS.values()) == []


def test_the_port_of_a_board_is_found() -> None:
    assert find_port(BOARDS["nucleo_l476rg"], [MODEM, STLINK, PICO]) == "/dev/ttyACM0"
    assert find_port(BOARDS["raspberry_pi_pico"], [MODEM, STLINK, PICO]) == "/dev/ttyACM2"


@pytest.mark.parametrize(
    ("name", "ports", "message"),
    [
        (
            "nucleo_l476rg",
            [STLINK, STLINK2],
            "several ports may be nucleo_l476rg: /dev/ttyACM0 (066F), /dev/ttyACM1 (0670); name one: --on serial:/dev/ttyACM0",
        ),
        (
            "teensy_40",
            [STLINK, MODEM],
            "no port of teensy_40 (USB 16C0:0483) is attached; "
            "USB serial ports: /dev/ttyACM0 (0483:374B), /dev/ttyUSB0 (12D1:1001)",
        ),
        ("teensy_40", [], "no port of teensy_40 (USB 16C0:0483) is attached; USB serial ports: none"),
    ],
)
def test_none_and_several_are_mistakes(name: str, ports: list[ListPortInfo], message: str) -> None:
    with pytest.raises(UserError) as error:
        find_port(BOARDS[name], ports)
    assert str(error.value) == message


def test_a_board_file_without_usb_devices_needs_a_port() -> None:
    with pytest.raises(UserError, match="names no usb devices; name the port: --on serial:PORT"):
        find_port(replace(BOARDS["teensy_40"], usb=()), [STLINK])


def test_ports_that_are_not_usb_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [PICO, port("/dev/ttyS0", None, None), STLINK])
    assert usb_ports() == [STLINK, PICO]


def test_the_report_names_boards_ports_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    for name, version in (("ststm32", "19.6.0"), ("teensy", "4.0.0"), ("broken", ""), ("list", "[]")):
        (tmp_path / "platforms" / name).mkdir(parents=True)
        text = {"": "{", "[]": "[]"}.get(version, json.dumps({"name": name, "version": version}))
        (tmp_path / "platforms" / name / "platform.json").write_text(text)
    assert report(BOARDS, ports=[STLINK, MODEM]) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert rows["nucleo_h743zi"][1:] == [
        *["480", "2048", "640", "cortex-m7", "estimated", "modelled", "ststm32@19.6.0"]
    ]
    assert rows["nucleo_l476rg"][5:] == ["emulated", "modelled", "10.2", "ststm32@19.6.0"]
    assert rows["esp32_devkitc"][5:7] == ["real", "only"]
    assert re.search(rf"^{len(BOARDS)} boards: \d+ emulated, \d+ estimated, \d+ real only; ", shown, re.MULTILINE)
    assert "  pio pkg install -g -p teensy@5.1.0\n" in shown
    assert "install -g -p ststm32" not in shown
    assert f"not in {tmp_path}" in shown
    assert re.search(r"/dev/ttyACM0  0483:374B  a description: (\w+ or )*nucleo_f030r8 or ", shown)
    assert "/dev/ttyUSB0  12D1:1001  a description: no known board" in shown


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["NRF54"], {"nrf54l15_dk"}),
        (["xiao", "m0plus"], {"seeed_xiao_rp2040", "seeed_xiao_samd21"}),
        (["portenta", "m7"], {"arduino_portenta_h7"}),
        ([], set(BOARDS)),
    ],
)
def test_words_choose_by_name_title_chip_and_core(words: list[str], found: set[str]) -> None:
    assert set(matching(BOARDS, words)) == found


def test_words_that_match_nothing_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "nucleo_f411rg"]) == 2
    assert capsys.readouterr().err == (
        "kilobench: no board has 'nucleo_f411rg' in its name, title, chip or core; nearest is 'nucleo_f411re'\n"
    )


def test_other_boards_are_told_of_at_a_port_than_those_that_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(BOARDS, ["teensy"], [PICO]) == 0
    assert capsys.readouterr().out.endswith("a description: raspberry_pi_pico\n")


def test_what_a_device_says_of_itself_is_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = port("/dev/ttyACM9", 0x0483, 0x374B, "\x1b]0;title\x07" + "9" * 5000)
    hostile.description = "\x1b[31mred\n\x85" + "x" * 5000
    report(BOARDS, ports=[hostile])
    shown = capsys.readouterr().out.splitlines()[-1]
    assert shown.isprintable() and "?[31mred??xxx" in shown and len(shown) < 500
    with pytest.raises(UserError) as caught:
        find_port(BOARDS["nucleo_l476rg"], [hostile, STLINK])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_nothing_attached_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(attached, "usb_ports", list)
    assert main(["boards"]) == 0
    assert capsys.readouterr().out.endswith("attached: no USB serial port\n")


def test_it_starts_fast() -> None:
    code = (
        "import sys, kilobench.cli\nkilobench.cli.main(['boards'])\n"
        "print('heavy:', sorted({'torch', 'numpy', 'pandas', 'pydantic', 'altair'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
