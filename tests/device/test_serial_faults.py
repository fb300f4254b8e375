# SPDX-License-Identifier: Apache-2.0
"""Faults between host and board: every one ends in the very results of an undisturbed run, or in one line of error."""

import re
import time
from dataclasses import replace
from typing import Literal

import pytest

from kilobench.contracts import CellError
from kilobench.device.serial import SerialLink
from kilobench.measuring.onboard import Run, measure_over
from tests.device.conftest import Example
from tests.device.rig import WAITS, After, Direction, Kind, Noise, Rig, Way

pytestmark = pytest.mark.usefixtures("deadline")
ONE_LINE = re.compile(r"nucleo_l476rg at /dev/pts/\d+: (identity|load|infer|cycles|output|layers|stack): [^\n]+")


def run(example: Example, way: Way) -> Run:
    with Rig(example.firmware.elf, example.board, way) as rig, SerialLink(rig.port, example.board.name) as link:
        return measure_over(link, example.graph, example.reference, example.board, WAITS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", ["to board", "to host"])
@pytest.mark.parametrize("kind", ["dropped", "doubled", "flipped"])
def test_a_link_that_damages_bytes_now_and_then_changes_nothing(
    kind: Kind, direction: Direction, seed: int, example: Example
) -> None:
    noise = Noise(kind, direction, 400 if direction == "to board" else 1200, seed)
    assert run(example, noise) == example.undisturbed
    assert noise.damaged > 0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("direction", ["to board", "to host"])
@pytest.mark.parametrize("kind", ["dropped", "doubled", "flipped"])
def test_a_bad_link_ends_in_right_results_or_in_one_line(
    kind: Kind, direction: Direction, seed: int, example: Example
) -> None:
    try:
        assert run(example, Noise(kind, direction, 250, seed, spaced=False)) == example.undisturbed
    except CellError as error:
        assert ONE_LINE.fullmatch(str(error)), error


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    "text",
    [
        b"m-[Expecting",
        b"m-check",
        b"m-infer-start-1\r\nm-lap-us-",
        b"m-cycles",
        b"m-output-[",
        b"m-layer-[",
        b"m-stack-[",
    ],
)
def test_a_board_that_restarts_changes_nothing(text: bytes, nth: int, example: Example) -> None:
    way = After(text, "restart", nth)
    assert run(example, way) == example.undisturbed
    assert way.left == 0 or (text, nth) in ((b"m-layer-[", 2), (b"m-stack-[", 2))  # these are asked for once


@pytest.mark.parametrize("event", ["vanish", "silence"])
@pytest.mark.parametrize(
    ("text", "step"),
    [
        (b"m-identity-[", "identity"),
        (b"m-[Expecting", "load"),
        (b"m-infer-start", "infer"),
        (b"m-output", "output"),
        (b"m-layer-[", "layers"),
    ],
)
def test_a_port_that_vanishes_or_falls_silent(
    text: bytes, step: str, event: Literal["vanish", "silence"], example: Example
) -> None:
    start = time.monotonic()
    with pytest.raises(CellError) as caught:
        run(example, After(text, event))
    assert time.monotonic() - start < 20
    why = "the port has vanished" if event == "vanish" else r"no answer in .* s.*"
    assert re.fullmatch(rf"nucleo_l476rg at /dev/pts/\d+: {step}: {why}", str(caught.value))


def test_the_wrong_firmware(example: Example) -> None:
    other_board = replace(example.board, name="nucleo_f446re")
    first = example.graph.ops[0]
    other = replace(example.graph, ops=(replace(first, name="other"), *example.graph.ops[1:]))
    with Rig(example.firmware.elf, example.board) as rig:
        with SerialLink(rig.port, "nucleo_f446re") as link, pytest.raises(CellError) as caught:
            measure_over(link, example.graph, example.reference, other_board, WAITS)
        assert str(caught.value) == f"nucleo_f446re at {rig.port}: identity: the firmware is for nucleo_l476rg"
        with SerialLink(rig.port, "nucleo_l476rg") as link, pytest.raises(CellError) as caught:
            measure_over(link, other, example.reference, example.board, WAITS)
        assert re.fullmatch(
            rf"nucleo_l476rg at {rig.port}: identity: the firmware has another model \(\w{{12}}, not \w{{12}}\)",
            str(caught.value),
        )
