# SPDX-License-Identifier: Apache-2.0
"""``kilobench calibrate`` at a pseudo-terminal: firmware of the Arduino port, whose core is a stand-in, on an emulated board
whose flash does what its registers say."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile
from unicorn import arm_const

import kilobench.commands.calibrate as command
import kilobench.device.counter as counters
from kilobench.boards import Board
from kilobench.cli import main
from kilobench.compile.graphfile import save_graph
from kilobench.device import arduino, memory_model
from kilobench.device.build import Firmware
from kilobench.device.emulator import EmulatedBoard
from kilobench.measuring import calibrating
from tests.device.rig import WAITS, Rig
from tests.device.test_arduino import board, compiled
from tests.untrained import untrained

BOARD = board("nucleo_l476rg")
SLOW, FAST = 10_000_000, 80_000_000


class Switched(EmulatedBoard):
    """Waits for its flash as the stand-in's FLASH->ACR says, from one command to the next."""

    def __init__(self, elf: Path) -> None:
        super().__init__(elf, BOARD, waits=True)
        with elf.open("rb") as file:
            symbols = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("flash")  # type: ignore[union-attr]
        self._register = symbols[0]["st_value"] if symbols else None

    def run(self) -> bytes:
        if self._register is None:
            return super().run()
        timing = BOARD.flash_timing
        register = int.from_bytes(self._engine.mem_read(self._register, 4), "little")
        assert timing is not None and isinstance(self._counter, counters.NativeCounter)
        here = replace(
            timing,
            wait_states=register & 15,
            prefetch=bool(register & 1 << 8),
            instruction_cache=timing.instruction_cache if register & 1 << 9 else None,
            data_cache=timing.data_cache if register & 1 << 10 else None,
        )
        numbers = memory_model.waits(replace(BOARD, flash_timing=here))
        write = ctypes.cast(counters.binding.uclib.uc_reg_write, ctypes.c_void_p)
        self._counter._library.kb_counter_flash(
            self._counter._counter,
            (ctypes.c_uint32 * len(numbers))(*numbers),
            *(
                self._counter._content,
                len(self._counter._content),
                ctypes.c_uint64(1 << 32),
                write,
                arm_const.UC_ARM_REG_EPSR,
            ),
        )
        return super().run()


@pytest.fixture(scope="module")
def built() -> dict[tuple[str, tuple[str, ...]], bytes]:
    """Programs, by the board that they are for, and what their core is told."""
    return {}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_graph(untrained("resnet8[width=4]", "int8", (3, 8, 8), 3), tmp_path / "small.safetensors", {}, {})
    return tmp_path / "small.safetensors"


@pytest.fixture
def attached(
    built: dict[tuple[str, tuple[str, ...]], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """How to call ``calibrate`` on a board that is there once firmware is uploaded; builder and uploader are stand-ins."""

    def attach(built_for: Board = BOARD, defines: tuple[str, ...] = ("-DARDUINO_ARCH_STM32",)) -> str:
        port = tmp_path / "ttyACM0"

        def build(code: Path, one: Board, workdir: Path) -> Firmware:
            arduino._write_project(code, built_for, workdir)
            if (key := (built_for.name, defines)) not in built:
                built[key] = compiled(workdir, built_for, *defines).read_bytes()
            (workdir / "firmware.elf").write_bytes(built[key])
            return Firmware(workdir / "firmware.elf", one, True, "", "")

        def upload(workdir: Path, one: Board, name: str) -> None:
            rig = Rig(workdir / "firmware.elf", BOARD)
            rig._make = lambda: Switched(workdir / "firmware.elf")
            monkeypatch.setattr(rig, "_delay", 0.1)
            rig.__enter__()
            rigs.append(rig)
            os.symlink(rig.port, port)

        monkeypatch.setattr(calibrating, "arduino", SimpleNamespace(build=build, upload=upload))
        monkeypatch.setattr(command, "require_platform", lambda board: "")
        return f"serial:{port}"

    rigs: list[Rig] = []
    yield attach
    for rig in rigs:
        rig.__exit__()


def calibrated(model: Path, link: str, file: Path) -> int:
    return main(["calibrate", str(model), "--board", BOARD.name, "--on", link, "--file", str(file)])


def test_every_state_of_the_flash_is_measured_and_modelled(
    model: Path, attached: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The board is emulated by the very model, so what differs is how calls are counted: nearly nothing."""
    assert calibrated(model, attached(), tmp_path / "found.json") == 0
    points = json.loads((tmp_path / "found.json").read_text())["points"]
    keys = ("flash_wait_states", "prefetch", "flash_instruction_cache")
    states = [(point["clock_hz"], *(point["conditions"][key] for key in keys)) for point in points]
    assert states == [
        (FAST, "4", "on", "on"),
        (FAST, "4", "off", "on"),
        (FAST, "4", "off", "off"),
        (FAST, "4", "on", "off"),
        (SLOW, "0", "off", "on"),
    ]
    measured = [point["measured"] for point in points]
    assert len(set(measured)) == len(measured)
    assert measured[4] == min(measured) and measured[2] == max(measured) > 1.5 * measured[4]
    for point in points:
        assert point["modelled"] == pytest.approx(point["measured"], rel=0.005)
        assert sum(layer["measured"] for layer in point["layers"]) == pytest.approx(point["measured"], rel=0.05)
        for layer in point["layers"]:
            assert layer["modelled"] == pytest.approx(layer["measured"], rel=0.05, abs=400)
    said = capsys.readouterr().out
    assert "10 MHz, 0 wait states, prefetch off, caches on: mean error 0." in said
    assert said.count("80 MHz, 4 wait states") == 8


def test_a_board_whose_flash_nobody_sets_up_is_measured_as_it_is(
    model: Path, attached: Callable[..., str], tmp_path: Path
) -> None:
    assert calibrated(model, attached(defines=()), tmp_path / "found.json") == 0
    (point,) = json.loads((tmp_path / "found.json").read_text())["points"]
    assert "prefetch" not in point["conditions"] and point["modelled"]


def test_what_is_wrong_with_the_board_is_one_line_and_exit_code_2(
    model: Path,
    attached: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(calibrating, "patience", lambda *_: WAITS)
    monkeypatch.setattr(calibrating, "Patience", SimpleNamespace(boot=0.5))

    def refused(link: str) -> str:
        assert calibrated(model, link, tmp_path / "found.json") == 2
        assert not (tmp_path / "found.json").exists()
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    link = attached(built_for=replace(BOARD, name="nucleo_f446re"))
    assert "ttyACM0: identity: the firmware is for nucleo_f446re" in refused(link)
    calibrating.arduino.upload = lambda *_: None
    ours, theirs = os.openpty()
    assert "identity: no answer in" in refused(f"serial:{os.ttyname(theirs)}")
    os.close(ours), os.close(theirs)
    assert "open: there is no such port" in refused(f"serial:{tmp_path / 'nothing'}")
    monkeypatch.setattr("kilobench.device.ports.usb_ports", list)
    assert "no port of nucleo_l476rg (USB 0483:374B or 0483:3752) is attached" in refused("serial")
    assert "--on emulator: calibrate measures a real board" in refused("emulator")


def test_a_board_of_another_counter_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(model), "--board", "esp32_devkitc"]) == 2
    assert "esp32_devkitc" in capsys.readouterr().err
