# SPDX-License-Identifier: Apache-2.0
"""Boards that lie, with right checksums: each ends in one printable line that names port, step and field, and in time."""

import os
import re
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import numpy as np
import pytest

from kilobench.boards import PowerTrace
from kilobench.contracts import CellError
from kilobench.device import protocol
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Patience, Session
from kilobench.device.serial import SerialLink
from kilobench.measuring.onboard import measure_over
from kilobench.measuring.serial import energy_uj
from tests.device.conftest import Example
from tests.device.rig import WAITS, Liar, Parrot, Way, checked

pytestmark = pytest.mark.usefixtures("deadline")

NO_NUMBERS = [
    "",
    "abc",
    "-1",
    "-5",
    "+5",
    " 5",
    "5 ",
    "05",
    "1_000_000",
    "1e6",
    "0x10",
    "5.0",
    "\xb2",
    "\xa05",
    "nan",
    "9" * 5000,
]
TOO_LARGE = [str(1 << 60), str(1 << 64)]
NO_HEX = ["", "xyz", "123", "-0000001", "0000000G", "ABCDEF01", "\x1b[31m", "0" * 5000]
MARKUP = ["<b>", "a|b", "](x)", "\x1b[2J", "\x1b]0;title\x07", "a\x85b", "\x00", "x" * 100_000, "`x`", "\xe4"]
IDENTITY = {
    "protocol": "1",
    "board": "nucleo_l476rg",
    "model": "00",
    "clock_hz": "80000000",
    "counter": "emulated",
}


def identity(**changes: str | None) -> str:
    """An identity with other fields, or without some."""
    fields = {key: value for key, value in {**IDENTITY, **changes}.items() if value is not None}
    return ",".join(["{tag}", *(f"{key}={value}" for key, value in fields.items())])


def lies() -> Iterator[tuple[str, str, str, str]]:
    """Step, name of the reply, what it says, and the field that the message names."""
    for key in ("board", "model", "clock_hz", "counter"):
        yield "identity", "identity", identity(**{key: None}), f"{key} is missing"
        yield "identity", "identity", identity(**{key: ""}), f"{key} is ''"
    for value in [*NO_NUMBERS, *TOO_LARGE, "0", str(1 << 32)]:
        yield "identity", "identity", identity(clock_hz=value), "clock_hz is "
    for key in ("board", "model", "counter", "icache"):
        for value in MARKUP:
            yield "identity", "identity", identity(**{key: value}), f"{key} is "
    for value in ["2", "x", ""]:
        yield "identity", "identity", identity(protocol=value), "protocol"
    for key in ["", "<b>", "a b", "\x1b[31m", "k" * 5000, "\xe4"]:
        yield "identity", "identity", identity(**{key: "on"}), "a field's key is "
    yield "identity", "identity", identity() + ",board=nucleo_l476rg", "board is said twice"
    yield "identity", "identity", identity(**{f"k{i}": "on" for i in range(1000)}), "m-identity has 1005 fields"
    yield "identity", "identity", "{tag}", "board is missing"
    for value in NO_HEX:
        for step, name, rest in (("load", "check", ""), ("cycles", "cycles", ",5"), ("output", "output", ",00")):
            yield step, name, f"{{tag}},{value}{rest}", "input is "
        yield "layers", "layer", f"{{tag}},0,0,5,{value}", "made is "
        yield "layers", "layers", f"{{tag}},{value},2", "input is "
    for value in [*NO_NUMBERS, *TOO_LARGE]:
        yield "cycles", "cycles", f"{{tag}},{{input}},{value}", "cycles is "
        yield "layers", "layer", f"{{tag}},{value},0,5,00000000", "index is "
        yield "layers", "layer", f"{{tag}},0,{value},5,00000000", "operator is "
        yield "layers", "layer", f"{{tag}},0,0,{value},00000000", "cycles is "
        yield "layers", "layers", f"{{tag}},{{input}},{value}", "count is "
        yield "stack", "stack", f"{{tag}},{value},3", "bytes is "
        yield "stack", "stack", f"{{tag}},400,{value}", "ran is "
    yield "cycles", "cycles", "{tag},{input},0", "cycles is '0'"
    for value in ["", "zz", "abc", "\x1b[31m", "00" * 100_000 + "0"]:
        yield "output", "output", f"{{tag}},{{input}},{value}", "output is "
    for value in ["00", "00" * 100_000]:
        yield "output", "output", f"{{tag}},{{input}},{value}", f"it has {len(value) // 2} bytes"
    yield "layers", "layer", "{tag},{input},999,5,00000000", "operator is 999"
    yield "layers", "layers", "{tag},{input},99999", "lines are missing"
    yield "stack", "stack", "{tag},4294967295,3", "bytes is 4294967295"
    for name in ("check", "cycles", "output", "stack", "layers"):
        step = "load" if name == "check" else name
        yield step, name, "{tag},{input},5,5,5", f"m-{name} has 4 fields"
        yield step, name, "{tag}", f"m-{name} has 0 fields"


def one_line(error: CellError, port: str) -> str:
    text = str(error)
    assert text.isprintable() and text.isascii() and len(text) < 300, text[:500]
    assert text.startswith(f"nucleo_l476rg at {port}: ")
    return text.removeprefix(f"nucleo_l476rg at {port}: ")


def test_every_lie_of_every_step_ends_in_one_line(example: Example) -> None:
    parrot, told = Parrot(example.firmware.elf, example.board), 0
    assert measure_over(parrot, example.graph, example.reference, example.board) == example.undisturbed
    parrot.way = Way()
    assert measure_over(parrot, example.graph, example.reference, example.board) == example.undisturbed
    for step, name, said, field in lies():
        parrot.way = liar = Liar(name, said)
        with pytest.raises(CellError) as caught:
            measure_over(parrot, example.graph, example.reference, example.board, WAITS)
        text = one_line(caught.value, "port")
        assert text.startswith(f"{step}: ") and field in text, (name, said[:100], text)
        assert liar.told
        told += 1
    assert told > 200


class Endless:
    """As a parrot, but from a command on there is no end to what it says; ``{number}`` counts in it; a transport."""

    def __init__(self, parrot: Parrot, command: str, said: str) -> None:
        self._parrot, self._command, self._said = parrot, command, said
        self.label, self.now, self.reset = parrot.label, parrot.now, parrot.reset
        self._more: Iterator[bytes] | None = None

    def write(self, data: bytes) -> None:
        if self._more is None and data.decode().lstrip("%").startswith(self._command):
            tag = data.decode().strip("%").split(" ")[-1]
            lines = (self._said.replace("{tag}", tag).replace("{number}", str(number)) for number in count())
            self._more = ((checked(line) if line.startswith("m-l") else line.encode()) + b"\r\n" for line in lines)
        if self._more is None:
            self._parrot.write(data)

    def readline(self, seconds: float) -> bytes:
        return next(self._more) if self._more else self._parrot.readline(seconds)


@pytest.mark.parametrize(
    ("command", "said", "step"),
    [
        ("layers", "m-layer-[{tag},{number},0,5,00000000]", "layers: layers% was answered by m-layer, line 52 of the"),
        ("infer", "m-lap-us-{number}", "infer: "),
        ("db load", "m-[Expecting 72 bytes]", "load: "),
        ("db ", "m-ready", "load: "),
        ("identity", "e-[{number}]", "identity: "),
        ("identity", "m-layer-[{tag},0,0,5,00000000]", "identity: "),
        ("identity", "\x1b[31m" + "x" * 5000, "identity: "),
        ("identity", "m-identity-[{tag}]*00000000", "identity: the checksum of its answer is wrong: "),
    ],
)
def test_what_has_no_end_ends(
    command: str, said: str, step: str, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_MOST_LAYERS", 50)
    parrot = Parrot(example.firmware.elf, example.board)
    measure_over(parrot, example.graph, example.reference, example.board)
    parrot.way, waits, start = Way(), Patience(0.05, 0.1, 0.05), time.monotonic()
    with pytest.raises(CellError) as caught:
        measure_over(Endless(parrot, command, said), example.graph, example.reference, example.board, waits)
    assert one_line(caught.value, "port").startswith(step)
    assert time.monotonic() - start < 3 + waits.step


@pytest.mark.parametrize("said", [b"x" * 4096, b"\n" * 4096, b"m-ready\r\n" * 400, b""])
def test_a_port_that_does_not_stop_or_start(said: bytes) -> None:
    """At a real port, whose bytes are never the answer; the message tells how long it was waited."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            with suppress(BlockingIOError):
                os.write(ours, said)
            with suppress(BlockingIOError):
                os.read(ours, 4096)
            stop.wait(0.005)

    thread = threading.Thread(target=flood)
    thread.start()
    start = time.monotonic()
    try:
        with SerialLink(os.ttyname(theirs), "nucleo_l476rg") as link, pytest.raises(CellError) as caught:
            Session(link, "nucleo_l476rg", patience=Patience(0.1, 0.2, 0.1))
    finally:
        stop.set()
        thread.join()
    waited = time.monotonic() - start
    found = re.match(r"identity: no answer in (\d\.\d) s", one_line(caught.value, os.ttyname(theirs)))
    assert found is not None and waited < 2
    assert abs(float(found[1]) - waited) < 0.3
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("volts", [float("nan"), float("inf"), -1.0, 0.0, 1e30])
def test_an_energy_that_no_board_takes_is_refused(volts: float, example: Example) -> None:
    """Of any meter, also one of a package."""

    class Meter:
        def sampled(self, work: Callable[[], object]) -> PowerTrace:
            work()
            return PowerTrace(np.ones(100), 1e-5, volts)

    with (
        EmulatedBoard(example.firmware.elf, example.board) as board,
        pytest.raises(CellError, match=r"^nucleo_l476rg: energy: the meter says .* uJ, not from 0 to 1e\+12$"),
    ):
        energy_uj(Meter(), board, example.graph, example.reference, example.board, 100_000_000)  # type: ignore[arg-type]
