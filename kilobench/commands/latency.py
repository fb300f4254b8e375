# SPDX-License-Identifier: Apache-2.0
"""``kilobench latency``: how long an inference takes on any firmware that speaks the MLPerf Tiny protocol, ours or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median
from time import monotonic

from kilobench.contracts import CellError
from kilobench.device.protocol import Damage, Gone, Transport
from kilobench.device.serial import SerialLink, claim

ROUNDS = 3
_AGREEMENT = 0.1
_QUIET = 0.3
_STAMP_BITS = 32


@dataclass(frozen=True)
class Latency:
    """What a firmware says of itself, and how long one inference takes in every round."""

    name: str
    model: str
    microseconds: list[float]


def latency(transport: Transport, inferences: int, *, start: float = 10.0, seconds: float = 120.0) -> Latency:
    """Time ``inferences`` inferences, ROUNDS times, by the firmware's own time stamps.

    The input is whatever the firmware has. ``start`` seconds are waited for the firmware to answer at all, ``seconds``
    for every round. The protocol protects nothing: rounds that disagree by more than a tenth are an error. Raises
    CellError in one line, naming port and command.
    """
    command = "name%"
    try:
        name = _name(transport, start)
        command = "profile%"
        model = _field(_ask(transport, "profile", start), r"m-model-\[(.*)\]")
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
    end = monotonic() + seconds
    while True:
        try:
            name = _field(_ask(transport, "name", min(2.0, seconds)), r"m-name-dut-\[(.*)\]")
            break
        except Damage:
            if monotonic() >= end:
                raise
    while transport.readline(_QUIET):
        if monotonic() >= end + seconds:
            raise Damage("the firmware does not stop sending")
    return name


def _ask(transport: Transport, command: str, seconds: float) -> list[str]:
    transport.write(f"{command}%".encode())
    end = monotonic() + seconds
    lines: list[str] = []
    while line := transport.readline(end - monotonic()):
        lines.append(line.decode("latin-1").strip())
        if lines[-1] == "m-ready":
            return lines
        if lines[-1].startswith("e-"):
            raise Damage(f"the firmware says {lines[-1][:60]}")
    raise Damage(f"no m-ready in {seconds:g} s" + (f", the last line was {lines[-1][:60]!r}" if lines else ""))


def _field(lines: list[str], pattern: str) -> str:
    for line in lines:
        if match := re.fullmatch(pattern, line):
            return match[1]
    raise Damage(f"it was answered by {lines[:3]}, not as MLPerf Tiny firmware does")


def _round(lines: list[str], inferences: int) -> float:
    stamps = [int(match[1]) for line in lines if (match := re.fullmatch(r"m-lap-us-(\d+)", line))]
    if len(stamps) != 2:
        raise Damage(f"{len(stamps)} time stamps came, not 2 (is the firmware built for energy mode?)")
    spent = stamps[1] - stamps[0]
    if spent < 0:  # they wrap
        spent += 1 << _STAMP_BITS
    if not spent:
        raise Damage("both time stamps are the same; ask for more --inferences")
    return spent / inferences
