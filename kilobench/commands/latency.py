# SPDX-License-Identifier: Apache-2.0
"""``kilobench latency``: how long an inference takes on any firmware that speaks the MLPerf Tiny protocol, ours or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

from kilobench.contracts import CellError
from kilobench.device.protocol import Damage, Gone, Silence, Transport
from kilobench.device.serial import SerialLink, claim
from kilobench.device.words import shown

ROUNDS = 3
_AGREEMENT = 0.1
_QUIET = 0.3
_STAMP_BITS = 32
_MOST_LINES = 1000
"""Of an answer."""
_TEXT = "([ -~]{1,100})"
_NO_INPUT, _SIZE = "e-[No input]", re.compile(r"e-\[Input must have ([1-9][0-9]{0,8}) bytes\]")
_CHUNK = 256


class _Refused(Damage):
    """The firmware has answered with an error."""

    def __init__(self, line: str) -> None:
        super().__init__(f"the firmware says {shown(line)}")
        self.line = line


@dataclass(frozen=True)
class Latency:
    """What a firmware says of itself, and how long one inference takes in every round."""

    name: str
    model: str
    microseconds: list[float]


def latency(transport: Transport, inferences: int, *, start: float = 10.0, seconds: float = 45.0) -> Latency:
    """Time ``inferences`` inferences, ROUNDS times, by the firmware's own time stamps.

    The input is whatever the firmware has; one of kilobench that has none gets zeros. ``start`` seconds are waited for the
    firmware to answer at all, ``seconds`` for every round. The protocol protects nothing: rounds that disagree by more than
    a tenth are an error. Raises CellError in one line, naming port and command.
    """
    command = "name%"
    try:
        name = _name(transport, start)
        command = "profile%"
        model = _field(_ask(transport, "profile", start), rf"m-model-\[{_TEXT}\]")
        command = "infer 1 0%"
        _load_zeros(transport, seconds)
        command = f"infer {inferences} 1%"
        rounds = [_round(_ask(transport, command[:-1], seconds), inferences) for _ in range(ROUNDS)]
        if max(rounds) - min(rounds) > _AGREEMENT * median(rounds):
            raise Damage(f"rounds disagree: {', '.join(f'{value:.0f}' for value in rounds)} us")
    except (Damage, Gone) as problem:
        raise CellError(f"{transport.label}: {command}: {problem}") from None
    return Latency(name, model, rounds)


def report(port: str, inferences: int) -> int:
    """Print the latency of the firmware at a port; returns 0."""
    with claim(port), SerialLink(port) as link:
        found = latency(link, inferences)
    rounds = ", ".join(f"{value / 1000:.3f}" for value in found.microseconds)
    print(f"{found.name}, model {found.model}")
    print(f"{median(found.microseconds) / 1000:.3f} ms per inference (rounds of {inferences}: {rounds})")
    return 0


def _name(transport: Transport, seconds: float) -> str:
    """Asked for until it is answered: the firmware may be starting. Then what else comes is passed over."""
    start = transport.now()
    end = start + seconds
    while True:
        try:
            name = _field(_ask(transport, "name", min(2.0, seconds)), rf"m-name-dut-\[{_TEXT}\]")
            break
        except Silence:
            if transport.now() >= end:
                raise Damage(f"no answer in {transport.now() - start:.1f} s") from None
        except Damage:
            if transport.now() >= end:
                raise
    while transport.readline(_QUIET):
        if transport.now() >= end + seconds:
            raise Damage("the firmware does not stop sending")
    return name


def _load_zeros(transport: Transport, seconds: float) -> None:
    """Where the firmware is kilobench's and has no input."""
    try:
        _ask(transport, "infer 1 0", seconds)
    except _Refused as refused:
        if refused.line != _NO_INPUT:
            raise
        size = _input_bytes(transport, seconds)
        _ask(transport, f"db load {size}", seconds)
        for start in range(0, size, _CHUNK):
            _ask(transport, f"db {'00' * min(_CHUNK, size - start)}", seconds)


def _input_bytes(transport: Transport, seconds: float) -> int:
    try:
        _ask(transport, "db load 0", seconds)
    except _Refused as refused:
        if match := _SIZE.fullmatch(refused.line):
            return int(match[1])
    raise Damage("the firmware has no input, and does not say how large one is")


def _ask(transport: Transport, command: str, seconds: float) -> list[str]:
    transport.write(f"{command}%".encode())
    end = transport.now() + seconds
    lines: list[str] = []
    while (line := transport.readline(end - transport.now())) and transport.now() < end:
        lines.append(line.decode("latin-1").strip())
        if lines[-1] == "m-ready":
            break
        if len(lines) > _MOST_LINES:
            raise Damage("the firmware does not stop sending")
    for said in lines:
        if said.startswith("e-"):
            raise _Refused(said)
    if lines[-1:] != ["m-ready"]:
        last = f", the last line was {shown(lines[-1])}" if lines else ""
        raise Silence(f"no m-ready in {seconds:g} s{last}")
    return lines


def _field(lines: list[str], pattern: str) -> str:
    for line in lines:
        if match := re.fullmatch(pattern, line):
            return match[1]
    raise Damage(f"it was answered by {', '.join(map(shown, lines[:3]))}, not as MLPerf Tiny firmware does")


def _round(lines: list[str], inferences: int) -> float:
    stamps = [int(match[1]) for line in lines if (match := re.fullmatch(r"m-lap-us-([0-9]{1,20})", line))]
    if len(stamps) != 2:
        raise Damage(f"{len(stamps)} time stamps came, not 2 (is the firmware built for energy mode?)")
    spent = stamps[1] - stamps[0]
    if spent < 0:  # they wrap
        spent += 1 << _STAMP_BITS
    if spent <= 0:
        raise Damage(
            f"the time stamps are {stamps[0]} and {stamps[1]}; if they are the same, ask for more --inferences"
        )
    return spent / inferences
