# SPDX-License-Identifier: Apache-2.0
"""Sessions as MLCommons' runner holds them (mlcommons/tiny, benchmark/runner), over a pseudo-terminal; and its firmware."""

import os
import re
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator

import numpy as np
import pytest
import serial

from kilobench.commands.latency import latency
from kilobench.contracts import CellError
from kilobench.device.protocol import Session
from kilobench.device.serial import SerialLink
from tests.device.conftest import Example
from tests.device.rig import WAITS
from tests.device.serving import served

pytestmark = pytest.mark.usefixtures("deadline")


class Runner:
    """Sends a command with '%', takes lines until one holds m-ready, waits 5 s for each at most, loads 31 bytes at a time."""

    def __init__(self, port: str) -> None:
        self.port = serial.Serial(port, 115200, timeout=5)

    def command(self, text: str) -> list[str]:
        self.port.write(f"{text}%".encode())
        lines = []
        while "m-ready" not in (lines or [""])[-1]:
            line = self.port.readline().decode()
            assert line.endswith("\r\n"), f"{text} was not answered in time: {lines}"
            lines.append(line.strip())
        return lines[:-1]

    def load(self, data: bytes) -> list[str]:
        replies = [self.command(f"db load {len(data)}")]
        replies += [self.command(f"db {data[start : start + 31].hex()}") for start in range(0, len(data), 31)]
        return replies


@pytest.fixture
def runner(example: Example) -> Iterator[Runner]:
    """At the terminal of ``kilobench emulate --pty``."""
    with served(example.firmware.elf, "nucleo_l476rg") as port:
        connected = Runner(port)
        yield connected
        connected.port.close()


def softmax(example: Example, index: int) -> np.ndarray:
    output = example.graph.tensors[example.graph.output]
    logits = (example.reference.outputs[index].astype(float) - output.zero_point) * output.scale
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def shares(lines: list[str]) -> np.ndarray:
    (found,) = [match[1] for line in lines if (match := re.match(r"^m-results-\[([^]]+)\]$", line))]
    return np.array([float(share) for share in found.split(",")])


def test_accuracy_and_performance_modes(runner: Runner, example: Example) -> None:
    assert re.match(r"^m-(name)-dut-\[([^]]+)]$", runner.command("name")[-1])
    profile = [re.match(r"^m-(model|profile)-\[([^]]+)]$", line) for line in runner.command("profile")]
    assert [match and match[1] for match in profile] == ["profile", "model"]
    one = example.undisturbed.cycles[0] / 80
    for index, x in enumerate(example.reference.inputs):
        data, spent = x.tobytes(), {}
        loaded = runner.load(data)
        assert loaded == [[f"m-[Expecting {len(data)} bytes]"], [], [], ["m-load-done"]]
        for iterations, warm_ups in ((1, 0), (10, 2), (3, None)):
            lines = runner.command(f"infer {iterations}" + ("" if warm_ups is None else f" {warm_ups}"))
            assert lines[:3] == [
                f"m-warmup-start-{10 if warm_ups is None else warm_ups}",
                "m-warmup-done",
                f"m-infer-start-{iterations}",
            ]
            stamps = [int(match[1]) for line in lines if (match := re.match(r"^m-lap-us-([0-9]+)$", line))]
            assert len(stamps) == 2
            spent[iterations] = stamps[1] - stamps[0]
            assert lines[5] == "m-infer-done" and len(lines) == 7
            assert np.abs(shares(lines) - softmax(example, index)).max() < 0.0015
        for more, fewer in ((10, 1), (10, 3)):
            assert abs(spent[more] - spent[fewer] - (more - fewer) * one) < 0.02 * (more - fewer) * one + 2, spent
        assert 0 <= spent[1] - one < 40  # a time stamp is a line, which takes its time
        assert np.abs(shares(runner.command("results")) - softmax(example, index)).max() < 0.0015
    before, after = (int(runner.command("timestamp")[0].removeprefix("m-lap-us-")) for _ in range(2))
    assert after > before


def test_mistakes_are_answered(runner: Runner) -> None:
    for command, answer in {
        "nonsense": "e-[Unknown command: nonsense]",
        "db": "e-[Command 'db' requires a subcommand]",
        "db load 5": "e-[Input must have 72 bytes]",
        "db load": "e-[Input must have 72 bytes]",
        "db abc": "e-[Insufficient number of hex digits]",
        "db 0g": "e-[Invalid hex digit]",
        "infer 0": "e-[infer takes two numbers, the first above 0]",
        "infer 1 x": "e-[infer takes two numbers, the first above 0]",
        "layers 7": "e-[No input]",
        "check 7": "e-[No input]",
        "infer 1": "e-[No input]",
        "results": "e-[No result]",
        f"db load {2**32 + 72}": "e-[Input must have 72 bytes]",
        "db load 00000000072999": "e-[Input must have 72 bytes]",
        "db load 72 72": "e-[Input must have 72 bytes]",
        f"infer {2**32 + 1}": "e-[infer takes two numbers, the first above 0]",
        "infer 1 1 1": "e-[infer takes two numbers, the first above 0]",
        "stack": "e-[stack takes a number]",
        "stack 1_0": "e-[stack takes a number]",
    }.items():
        assert runner.command(command) == [answer]
    assert runner.command("") == []


def test_latency_of_our_own_firmware(runner: Runner, example: Example) -> None:
    """By the command, whose port is that of the runner, which has let go of it."""
    done = subprocess.run(
        [sys.executable, "-m", "kilobench", "latency", "--port", str(runner.port.port), "--inferences", "5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == f"kilobench nucleo_l476rg, model {example.graph.digest()}"
    milliseconds = example.undisturbed.cycles[0] / 80e3
    assert abs(float(second.split()[0]) - milliseconds) < 0.02 * milliseconds


class Foreign:
    """Firmware of somebody else that keeps to the protocol; ``answers`` are added to, or replace, its own."""

    def __init__(self, **answers: str) -> None:
        self.answers = {"name": "m-name-dut-[acme]", "profile": "m-profile-[x]\r\nm-model-[ic01]", **answers}
        self.clock = (1 << 32) - 2_000_000  # wraps in the first round
        ours, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        self.port = os.ttyname(self.theirs)
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _stamp(self, spent: int) -> str:
        self.clock = (self.clock + spent) % (1 << 32)
        return f"m-lap-us-{self.clock}"

    def _serve(self, ours: int) -> None:
        received = b""
        while True:
            received += os.read(ours, 100)
            while b"%" in received:
                command, _, received = received.partition(b"%")
                word, *arguments = command.decode().split() or [""]
                answer = self.answers.get(word, f"e-[Unknown command: {word}]")
                if word == "infer" and "infer" not in self.answers:
                    laps = self._stamp(5), self._stamp(1_000_000 * int(arguments[0]))
                    answer = "\r\n".join(["m-infer-start", *laps, "m-infer-done", "m-results-[0.5,0.5]"])
                os.write(ours, f"{answer}\r\nm-ready\r\n".encode())


def test_latency_of_other_firmware() -> None:
    with SerialLink(Foreign().port) as link:
        found = latency(link, 4, start=2, seconds=2)
    assert (found.name, found.model, found.microseconds) == ("acme", "ic01", [1e6, 1e6, 1e6])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"infer": "m-infer-done"}, "infer 4 1%: 0 time stamps came, not 2"),
        ({"infer": "m-lap-us-7\r\nm-lap-us-7"}, "infer 4 1%: the time stamps are 7 and 7; if they are the same, ask"),
        ({"profile": "e-[Unknown command: profile]"}, r"profile%: the firmware says 'e-\[Unknown"),
        ({"name": "hello"}, r"name%: it was answered by 'hello', 'm-ready', not as MLPerf Tiny firmware does"),
    ],
)
def test_firmware_that_does_not_keep_to_the_protocol(answers: dict[str, str], message: str) -> None:
    port = Foreign(**answers).port
    with SerialLink(port) as link, pytest.raises(CellError, match=f"^{port}: {message}"):
        latency(link, 4, start=1, seconds=1)


def test_a_session_refuses_other_firmware() -> None:
    port = Foreign().port
    with SerialLink(port, "b") as link, pytest.raises(CellError, match=f"^b at {port}: identity: .* not kilobench's"):
        Session(link, "b", patience=WAITS)
