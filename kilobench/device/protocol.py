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
from typing import Any, Protocol, TypeVar

from kilobench.contracts import CellError
from kilobench.device.words import Identity, Wrong, fields, identity, parse, shown

PROTOCOL = 1
"""Version of our own commands."""
TRIES = 5
"""How often a step is tried."""
_CHUNK = 256
_MOST_LAYERS = 100_000
_BANNER = ("m-timestamp-mode-", "m-init-done")
_INFERRED, _LAYERED = 1, 2
_TINY = re.compile(
    r"m-\[Expecting [0-9]{1,10} bytes\]|m-load-done|m-(warmup|infer)-(start-[0-9]{1,10}|done)|m-lap-us-[0-9]{1,20}"
    r"|m-results-\[[0-9.,]*\]"
)
"""Lines of MLPerf Tiny's own replies."""
_MOST_LINES = 10
"""Of such a reply."""
_T = TypeVar("_T")


class Gone(Exception):
    """The link to the board has ended."""


class Damage(Exception):
    """What came over the link is not what was sent; asking again may help."""

    lost = False
    """Whether the board has the input, or what it made of it, no longer: it must be loaded again."""


class Silence(Damage):
    """Nothing came in time."""


class Refused(Damage):
    """The firmware has no such thing."""


class Lost(Damage):
    """As it says."""

    lost = True


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

    def now(self) -> float:
        """Seconds on the clock by which it is waited: an emulated board has its own."""
        ...


@dataclass(frozen=True)
class Patience:
    """How long a session waits for an answer, in seconds."""

    reply: float = 2.0
    """To what the board answers at once, sending included."""
    inference: float = 10.0
    """And for all lines that tell of it."""
    boot: float = 10.0
    load: float = 0.0
    """What sending an input takes."""

    @property
    def step(self) -> float:
        """For one step with all its tries, whatever comes: an inference lost, one that keeps the board busy, and one more."""
        return 3 * self.inference + self.boot + 5 * self.reply + 2 * self.load


class Session:
    """A conversation with a board that runs our firmware for ``board`` and, if given, the model of that digest.

    Every step is tried ``tries`` times, but for no longer than ``patience.step``; then it ends in one CellError that names
    board, port and step. One that names the field, too, ends it at once where the board says what no board of ours can say.
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
        self._begin("identity")
        self.identity = self._in_order()
        if self.identity.board != board:
            raise self._error(f"the firmware is for {self.identity.board}")
        if model and self.identity.model != model:
            raise self._error(f"the firmware has another model ({self.identity.model[:12]}, not {model[:12]})")

    def load(self, data: bytes) -> None:
        """Load an input and check that it arrived."""
        self._input = data
        self._try("load", self._load, lambda: None)

    def infer(self, count: int = 1, seconds: float = 0) -> None:
        """Inferences in a row; the first is on the loaded input, the others on what it leaves in its place.

        ``seconds``: what the others take.
        """
        self._try("infer", lambda: self._infer(count, seconds), self._load, 2 * seconds)

    def cycles(self) -> int:
        """Of the last input's inference."""
        cycles: int = self._try("cycles", lambda: self._result("cycles"), self._infer_again)
        if not cycles:
            raise self._error("cycles is '0', of an inference")
        return cycles

    def output(self) -> bytes:
        """Raw output of the last input's inference."""
        output: bytes = self._try("output", lambda: self._result("output"), self._infer_again)
        return output

    def layers(self) -> list[tuple[int, int, int]]:
        """Operator, cycles and CRC-32 of everything made on the way (whole maps or strips), from one more inference."""
        return self._try("layers", self._layers, self._load)

    def flash(self, setting: int) -> bool:
        """Set up the flash by the bits of hardware/firmware/port.h; ``identity`` is what the board reads back then.

        False where the firmware cannot do that.
        """
        self._begin("flash")
        try:
            self._own("flash", f" {setting}")
        except Refused:
            return False
        except (Gone, Wrong) as end:
            raise self._error(str(end)) from None
        except Damage:  # what was done is read back
            pass
        self.identity = self._in_order()
        return True

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
        if self._own("check") != [zlib.crc32(data)]:
            raise Damage("the loaded input has another checksum")

    def _infer(self, count: int = 1, seconds: float = 0) -> None:
        try:
            self._ask(f"infer {count} 0", self._patience.inference + seconds)
        except Damage as damage:
            damage.lost = True
            raise
        self._ran |= _INFERRED

    def _result(self, name: str) -> Any:
        check, value = self._own(name)
        if check != zlib.crc32(self._input):
            raise Lost("the board has made no inference on this input: it has restarted")
        return value

    def _layers(self) -> list[tuple[int, int, int]]:
        try:
            *lines, (check, count) = self._checked("layers", self._patience.inference, "layer")
            if check != zlib.crc32(self._input):
                raise Damage("the board has loaded another input")
            if [index for index, *_ in lines] != list(range(count)):
                raise Damage("lines are missing")
        except Damage as damage:
            damage.lost = True
            raise
        self._ran |= _LAYERED
        return [(op, cycles, crc) for _, op, cycles, crc in lines]

    def _stack(self) -> int:
        peak, ran = self._own("stack")
        if ran & self._ran != self._ran:
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

    def _begin(self, step: str, seconds: float = 0) -> None:
        """A step, to which the board has so many ``seconds`` more than to others."""
        self._step, self._start = step, self._transport.now()
        self._end = self._start + self._patience.step + seconds

    def _try(self, step: str, action: Callable[[], _T], restore: Callable[[], None], seconds: float = 0) -> _T:
        """``action``; after damage the link is put in order first, and what the board has lost is restored."""
        self._begin(step, seconds)
        damaged = lost = False
        tried, problem = 0, Damage()
        while tried < self._tries and (not tried or self._transport.now() < self._end):
            tried += 1
            try:
                if damaged and self._in_order() != self.identity:
                    raise self._error("another firmware has started")
                if lost:
                    restore()
                return action()
            except Damage as damage:
                damaged, lost, problem = True, lost or damage.lost, damage
            except (Gone, Wrong) as end:
                raise self._error(str(end)) from None
        raise self._error(self._why(problem, tried))

    def _in_order(self) -> Identity:
        try:
            return self._synchronise()
        except Damage as damage:
            raise self._error(self._why(damage)) from None
        except (Gone, Wrong) as end:
            raise self._error(str(end)) from None

    def _why(self, problem: Damage, tried: int = 1) -> str:
        """With how long it was waited, or tried, in truth."""
        waited = f"in {self._transport.now() - self._start:.1f} s"
        if isinstance(problem, Silence):
            return f"no answer {waited}{problem}"
        return f"{problem} (tried {tried} times {waited})" if tried > 1 else str(problem)

    def _synchronise(self) -> Identity:
        """Ends whatever command was begun and passes over everything that comes before the answer to a new question."""
        quick, slow, boot = self._patience.reply, self._patience.inference, self._patience.boot
        problem = Damage()
        for after_reset, waits in ((False, (quick, max(slow, boot), quick)), (True, (boot, quick))):
            if after_reset and not self._transport.reset():
                break
            for seconds in waits:
                if self._transport.now() >= self._end:
                    break
                try:
                    return self._identify(seconds)
                except Damage as damage:
                    problem = damage
        raise problem

    def _identify(self, seconds: float) -> Identity:
        self._tag += 1
        self._transport.write(f"%identity {self._tag}%".encode())
        end = self._transport.now() + seconds
        last = ""
        while (reply := parse(last)) is None or reply[:2] != ("identity", self._tag):
            if last == "e-[Unknown command: identity]":
                raise Damage("the firmware there is not kilobench's, or an old one")
            if not reply and last.startswith("m-identity"):
                raise Damage(f"the checksum of its answer is wrong: {shown(last)}")
            if reply or last.startswith("e-"):  # it is not busy
                end = min(end, self._transport.now() + self._patience.reply)
            try:
                last = self._line(end)
            except Silence:
                raise Silence(f", the last line was {shown(last)}" if last else "") from None
        self._end_of_reply(end)
        return identity(reply[2], PROTOCOL)

    def _error(self, problem: str) -> CellError:
        return CellError(f"{self._transport.label}: {self._step}: {problem}")

    # Questions and answers

    def _own(self, name: str, more: str = "") -> list[Any]:
        """The fields of the one line that answers a command of our own, which may have ``more`` words."""
        (values,) = self._checked(name, self._patience.reply, more=more)
        return values

    def _checked(self, command: str, seconds: float, before: str = "", more: str = "") -> list[list[Any]]:
        """The fields of the lines named ``before`` and of the one named as the command is; all come in ``seconds``."""
        self._tag += 1
        end = self._transport.now() + seconds
        self._transport.write(f"{command} {self._tag}{more}%".encode())
        found: list[list[Any]] = []
        name = before
        while name != command:
            line = self._line(end)
            if line in (f"e-[No such {command} setting]", f"e-[Unknown command: {command}]"):
                self._end_of_reply(self._transport.now() + self._patience.reply)
                raise Refused(f"{command}% was answered by {shown(line)}")
            if (reply := parse(line)) is None or reply[1] != self._tag:
                raise Damage(f"{command}% was answered by {shown(line)}")
            name = reply[0]
            if name not in (before, command) or len(found) > _MOST_LAYERS:
                raise Wrong(f"{command}% was answered by m-{name}, line {len(found) + 1} of the answer")
            found.append(fields(name, reply[2]))
        self._end_of_reply(self._transport.now() + self._patience.reply)
        return found

    def _ask(self, command: str, seconds: float = 0) -> list[str]:
        """Lines that answer a command of MLPerf Tiny, up to m-ready."""
        name = command if len(command) <= 20 else command.split()[0]
        self._transport.write(command.encode() + b"%")
        end = self._transport.now() + (seconds or self._patience.reply)
        lines: list[str] = []
        while (line := self._line(end)) != "m-ready":
            if line.startswith(_BANNER):
                raise Lost("the board has restarted")
            if _TINY.fullmatch(line) is None or len(lines) == _MOST_LINES:
                raise Damage(f"{name}% was answered by {shown(line)}")
            if line == "m-infer-done":
                end = min(end, self._transport.now() + self._patience.reply)
            lines.append(line)
        return lines

    def _end_of_reply(self, end: float) -> None:
        if (line := self._line(end)) != "m-ready":
            raise Damage(f"{shown(line)} came instead of m-ready")

    def _line(self, end: float) -> str:
        """The next line, if it comes before ``end`` and before the step's."""
        line = self._transport.readline(min(end, self._end) - self._transport.now())
        if not line or self._transport.now() > min(end, self._end):
            raise Silence("")
        return line.rstrip(b"\r\n").decode("latin-1")
