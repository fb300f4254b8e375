# SPDX-License-Identifier: Apache-2.0
"""The host's side of the MLPerf Tiny text protocol and of our own commands (docs/protocol.md, hardware/firmware/main.c).

What a board says of an inference is believed only from lines that carry their own CRC-32, the number of the question, and
the CRC-32 of the input. So a link may drop, double or change bytes, and a board may restart: a step is then asked for again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, TypeVar

from kilobench.contracts import CellError

PROTOCOL = "1"
"""Version of our own commands."""
TRIES = 5
"""How often a step is tried."""
_CHUNK = 256
_BANNER = ("m-timestamp-mode-", "m-init-done")
_INFERRED, _LAYERED = 1, 2
_CHECKED = re.compile(r"(m-([a-z]+)-\[(\d+),(.*)\])\*([0-9a-f]{8})")
_T = TypeVar("_T")


class Gone(Exception):
    """The link to the board has ended."""


class Damage(Exception):
    """What came over the link is not what was sent, or nothing came; asking again may help."""


class Lost(Damage):
    """The board has the input, or what it made of it, no longer: it must be loaded again."""


class Transport(Protocol):
    """Bytes to and from a board."""

    label: str
    """The board and the port that it is at, as errors name it."""

    def write(self, data: bytes) -> None:
        """Send; raises Damage if the bytes are not taken, Gone if the link has ended."""
        ...

    def readline(self, seconds: float) -> bytes:
        """The next line with its end; empty if none has come in ``seconds``; raises Gone, or CellError if none can come."""
        ...

    def reset(self) -> bool:
        """Restart the board; False where the link has no means to."""
        ...


@dataclass(frozen=True)
class Patience:
    """How long a session waits for an answer, in seconds."""

    reply: float = 2.0
    """To what the board answers at once, sending included."""
    inference: float = 60.0
    boot: float = 10.0


@dataclass(frozen=True)
class Identity:
    """What firmware says of itself and of the board that it runs on."""

    board: str
    model: str
    """Digest of the graph."""
    clock_hz: int
    """As the board's registers have it."""
    conditions: dict[str, str]
    """What else cycles depend on, as the board reads it back: counter, flash wait states, caches, ..."""


def parse(line: str) -> tuple[str, int, list[str]] | None:
    """Name, number of the question and fields of a reply of our own; None unless its CRC-32 is right."""
    match = _CHECKED.fullmatch(line)
    if match is None or zlib.crc32(match[1].encode("latin-1")) != int(match[5], 16):
        return None
    return match[2], int(match[3]), match[4].split(",")


class Session:
    """A conversation with a board that runs our firmware for ``board`` and, if given, the model of that digest.

    Every step is tried ``tries`` times; then it ends in one CellError that names board, port and step.
    """

    def __init__(
        self,
        transport: Transport,
        board: str,
        model: str = "",
        patience: Patience | None = None,
        tries: int = TRIES,
    ) -> None:
        self._transport = transport
        self._patience = patience or Patience()
        self._tries = tries
        self._step = "identity"
        self._tag = 0
        self._input = b""
        self._ran = 0
        self.identity = self._synchronise()
        if self.identity.board != board:
            raise self._error(f"the firmware is for {self.identity.board}")
        if model and self.identity.model != model:
            raise self._error(f"the firmware has another model ({self.identity.model[:12]}, not {model[:12]})")

    def load(self, data: bytes) -> None:
        """Load an input and check that it arrived."""
        self._input = data
        self._try("load", self._load, lambda: None)

    def infer(self, count: int = 1) -> None:
        """Inferences in a row; the first is on the loaded input, the others on what it leaves in its place."""
        self._try("infer", lambda: self._infer(count), self._load)

    def cycles(self) -> int:
        """Of the last input's inference."""
        return self._try("cycles", lambda: int(self._result("cycles")), self._infer_again)

    def output(self) -> bytes:
        """Raw output of the last input's inference."""
        return self._try("output", lambda: bytes.fromhex(self._result("output")), self._infer_again)

    def layers(self) -> list[tuple[int, int, int]]:
        """Operator, cycles and CRC-32 of everything made on the way (whole maps or strips), from one more inference."""
        return self._try("layers", self._layers, self._load)

    def stack(self) -> int:
        """Peak in bytes of all that this session has had the board do."""
        return self._try("stack", self._stack, self._run_again)

    # Steps, each once

    def _load(self) -> None:
        data = self._input
        if f"m-[Expecting {len(data)} bytes]" not in self._ask(f"db load {len(data)}"):
            raise Damage("db load% was answered by something else")
        replies = [""]
        for start in range(0, len(data), _CHUNK):
            replies = self._ask(f"db {data[start : start + _CHUNK].hex()}")
        if "m-load-done" not in replies:
            raise Damage("not all of the input arrived")
        if int(self._own("check", 1)[0], 16) != zlib.crc32(data):
            raise Damage("the loaded input has another checksum")

    def _infer(self, count: int = 1) -> None:
        try:
            self._ask(f"infer {count} 0", count * self._patience.inference)
        except Damage as damage:
            raise Lost(str(damage)) from None
        self._ran |= _INFERRED

    def _result(self, name: str) -> str:
        check, value = self._own(name, 2)
        if int(check, 16) != zlib.crc32(self._input):
            raise Lost("the board has made no inference on this input: it has restarted")
        return value

    def _layers(self) -> list[tuple[int, int, int]]:
        try:
            lines = self._checked("layers", self._patience.inference)
            check, count = lines.pop()[1]
            if int(check, 16) != zlib.crc32(self._input):
                raise Damage("the board has loaded another input")
            layers = [(int(op), int(cycles), int(crc, 16)) for _, (_, op, cycles, crc) in lines]
            if [fields[0] for _, fields in lines] != [str(index) for index in range(int(count))]:
                raise Damage("lines are missing")
        except (Damage, ValueError, IndexError) as problem:
            raise Lost(str(problem)) from None
        self._ran |= _LAYERED
        return layers

    def _stack(self) -> int:
        peak, ran = self._own("stack", 2)
        if int(ran) & self._ran != self._ran:
            raise Lost("the board has restarted")
        return int(peak)

    def _infer_again(self) -> None:
        self._load()
        self._infer()

    def _run_again(self) -> None:
        if self._ran & _INFERRED:
            self._infer_again()
        if self._ran & _LAYERED:
            self._load()
            self._layers()

    # Trying again

    def _try(self, step: str, action: Callable[[], _T], restore: Callable[[], None]) -> _T:
        """``action``; after damage the link is put in order first, and what the board has lost is restored."""
        self._step = step
        damaged = lost = False
        problem = Damage()
        for _ in range(self._tries):
            try:
                if damaged and self._synchronise() != self.identity:
                    raise self._error("another firmware has started")
                if lost:
                    restore()
                return action()
            except Damage as damage:
                damaged, lost, problem = True, lost or isinstance(damage, Lost), damage
            except Gone as gone:
                raise self._error(str(gone)) from None
        raise self._error(f"{problem} (tried {self._tries} times)")

    def _synchronise(self) -> Identity:
        """Ends whatever command was begun and passes over everything that comes before the answer to a new question."""
        quick, slow = self._patience.reply, max(self._patience.boot, self._patience.inference)
        try:
            problem = Damage()
            for seconds in (quick, slow, quick, quick):
                try:
                    return self._identify(seconds)
                except Damage as damage:
                    problem = damage
            for seconds in (self._patience.boot, quick) if self._transport.reset() else ():
                try:
                    return self._identify(seconds)
                except Damage as damage:
                    problem = damage
        except Gone as gone:
            raise self._error(str(gone)) from None
        raise self._error(str(problem))

    def _identify(self, seconds: float) -> Identity:
        self._tag += 1
        self._transport.write(f"%identity {self._tag}%".encode())
        end = monotonic() + seconds
        last = ""
        while not (reply := parse(last)) or reply[1] != self._tag:
            if last == "e-[Unknown command: identity]":
                raise Damage("the firmware there is not kilobench's, or an old one")
            if not reply and last.startswith("m-identity"):
                raise Damage(f"identity% was answered by {last[:60]!r}")
            if reply or last.startswith("e-"):  # it is not busy
                end = min(end, monotonic() + self._patience.reply)
            line = self._transport.readline(end - monotonic())
            if not line:
                raise Damage(f"no answer in {seconds:g} s" + (f", the last line was {last[:60]!r}" if last else ""))
            last = _text(line)
        self._end_of_reply(end)
        values = dict(field.partition("=")[::2] for field in reply[2])
        if values.pop("protocol", "") != PROTOCOL:
            raise self._error("the firmware speaks another version of the protocol")
        return Identity(values.pop("board"), values.pop("model"), int(values.pop("clock_hz")), values)

    def _error(self, problem: str) -> CellError:
        return CellError(f"{self._transport.label}: {self._step}: {problem}")

    # Questions and answers

    def _own(self, name: str, count: int) -> list[str]:
        """The fields of the one line that answers a command of our own."""
        (_, fields), *more = self._checked(name, self._patience.reply)
        if more or len(fields) != count:
            raise Damage(f"{name}% was answered by something else")
        return fields

    def _checked(self, command: str, seconds: float) -> list[tuple[str, list[str]]]:
        """Name and fields of the lines up to the one named as the command is; every line gives the next ``seconds``."""
        self._tag += 1
        self._transport.write(f"{command} {self._tag}%".encode())
        found: list[tuple[str, list[str]]] = []
        while not found or found[-1][0] != command:
            line = self._line(command, monotonic() + seconds)
            if (reply := parse(line)) is None or reply[1] != self._tag:
                raise Damage(f"{command}% was answered by {line[:60]!r}")
            found.append((reply[0], reply[2]))
        self._end_of_reply(monotonic() + self._patience.reply)
        return found

    def _ask(self, command: str, seconds: float = 0) -> list[str]:
        """Lines that answer a command of MLPerf Tiny, up to m-ready."""
        self._transport.write(command.encode() + b"%")
        end = monotonic() + (seconds or self._patience.reply)
        lines: list[str] = []
        while (line := self._line(command[:20], end)) != "m-ready":
            if line.startswith(_BANNER):
                raise Lost("the board has restarted")
            if not line.startswith("m-"):
                raise Damage(f"{command[:20]}% was answered by {line[:60]!r}")
            if line == "m-infer-done":
                end = min(end, monotonic() + self._patience.reply)
            lines.append(line)
        return lines

    def _end_of_reply(self, end: float) -> None:
        if (line := self._line("m-ready", end)) != "m-ready":
            raise Damage(f"{line[:60]!r} came instead of m-ready")

    def _line(self, what: str, end: float) -> str:
        line = self._transport.readline(end - monotonic())
        if not line:
            raise Damage(f"no answer in time to {what}%")
        return _text(line)


def _text(line: bytes) -> str:
    return line.decode("latin-1").strip()
