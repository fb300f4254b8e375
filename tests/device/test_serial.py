# SPDX-License-Identifier: Apache-2.0
"""The whole serial path, discovery and upload apart, through a pseudo-terminal: what goes right, and who may not use a port."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kilobench.contracts import CellError
from kilobench.device import elf
from kilobench.device.serial import SerialLink, claim
from kilobench.measuring import serial
from kilobench.measuring.onboard import measure_over
from tests.device.conftest import Example
from tests.device.rig import WAITS, Rig

pytestmark = pytest.mark.usefixtures("deadline")
BOOT = b"\xff\x00ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\nentry 0x400805e4\r\nm-"


def kilobench_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kilobench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_board_at_a_port_says_what_an_emulated_one_says(example: Example) -> None:
    with Rig(example.firmware.elf, example.board) as rig, SerialLink(rig.port, example.board.name) as link:
        assert measure_over(link, example.graph, example.reference, example.board) == example.undisturbed
    assert example.undisturbed.identity.board == "nucleo_l476rg"
    assert example.undisturbed.identity.model == example.graph.digest()
    assert example.undisturbed.identity.clock_hz == 80_000_000
    assert example.undisturbed.identity.conditions["flash_wait_states"] == "0"


@pytest.mark.parametrize("delay", [0.0, 0.7])
def test_boot_messages_are_passed_over(delay: float, example: Example) -> None:
    with Rig(example.firmware.elf, example.board, first=BOOT, delay=delay) as rig, SerialLink(rig.port) as link:
        assert measure_over(link, example.graph, example.reference, example.board, WAITS) == example.undisturbed


def test_a_board_may_be_used_again(example: Example) -> None:
    with Rig(example.firmware.elf, example.board) as rig:
        for _ in range(2):
            with SerialLink(rig.port) as link:
                assert measure_over(link, example.graph, example.reference, example.board) == example.undisturbed


def test_measure_claims_the_port_uploads_and_waits_for_the_board(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Builder and uploader are stand-ins; the port is gone while the board restarts with its new firmware."""
    rig = Rig(example.firmware.elf, example.board)
    port = tmp_path / "ttyACM0"

    def upload(workdir: Path, board: object, name: str) -> None:
        refused = kilobench_command("latency", "--port", name)
        assert (refused.returncode, "another kilobench" in refused.stderr) == (1, True)
        rig.__enter__()
        subprocess.Popen(["sh", "-c", f"sleep 0.3; ln -s {rig.port} {port}"])

    stand_in = SimpleNamespace(build=lambda *_: example.firmware, upload=upload, sizes=elf.sizes)
    monkeypatch.setattr(serial, "arduino", stand_in)
    monkeypatch.setattr(serial, "find_port", lambda board: str(port))
    try:
        found = serial.measure(tmp_path, example.graph, example.reference, example.board, tmp_path, "", "")
    finally:
        rig.__exit__()
    assert (found.cycles, found.stack_bytes) == (example.undisturbed.cycles, example.undisturbed.stack_bytes)
    assert (found.clock_hz, found.conditions["counter"]) == (80_000_000, "emulated")


def test_two_users_of_one_port(example: Example, tmp_path: Path) -> None:
    alias = tmp_path / "ttyALIAS"
    with Rig(example.firmware.elf, example.board) as rig:
        alias.symlink_to(rig.port)
        with claim(rig.port):
            start = time.monotonic()
            refused = kilobench_command("latency", "--port", str(alias))
            assert time.monotonic() - start < 10
        assert refused.returncode == 1
        assert refused.stderr == f"kilobench: {alias}: open: another kilobench is using the port\n"
        with SerialLink(rig.port, "b"), pytest.raises(CellError, match=f"^b at {rig.port}: open: another program is"):
            SerialLink(rig.port, "b", wait=5)
        with claim(rig.port), SerialLink(rig.port):
            pass


def test_a_port_that_is_none() -> None:
    with pytest.raises(CellError, match=r"^b at /dev/ttyNONE: open: there is no such port"):
        SerialLink("/dev/ttyNONE", "b", wait=0.2)
    with pytest.raises(CellError, match=r"^/dev/null: open: "):
        SerialLink("/dev/null")


def test_a_board_at_another_clock_is_refused(example: Example) -> None:
    board = replace(example.board, clock_hz=4_000_000)
    with (
        Rig(example.firmware.elf, example.board) as rig,
        SerialLink(rig.port, board.name) as link,
        pytest.raises(
            CellError, match=f"^nucleo_l476rg at {rig.port}: clock: the board runs at 80 MHz, its file says 4$"
        ),
    ):
        measure_over(link, example.graph, example.reference, board, WAITS)


def test_an_output_that_differs_is_an_error(example: Example) -> None:
    changed = replace(example.reference, outputs=example.reference.outputs + 1)
    with (
        Rig(example.firmware.elf, example.board) as rig,
        SerialLink(rig.port, "b") as link,
        pytest.raises(CellError, match=f"^b at {rig.port}: output: the board's output differs from host C"),
    ):
        measure_over(link, example.graph, changed, example.board, WAITS)


def test_emulate_runs_on_standard_input_and_refuses_what_is_no_firmware(example: Example) -> None:
    elf_path = str(example.firmware.elf)
    command = [sys.executable, "-m", "kilobench", "emulate", "--board", "nucleo_l476rg", elf_path]
    done = subprocess.run(command, input="name%", capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-2:] == ["m-name-dut-[kilobench nucleo_l476rg]", "m-ready"]
    refused = kilobench_command("emulate", "--board", "nucleo_l476rg", os.devnull)
    assert refused.returncode == 2
    assert refused.stderr.startswith("kilobench: /dev/null is no firmware for nucleo_l476rg")
    assert refused.stderr.count("\n") == 1
