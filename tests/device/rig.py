# SPDX-License-Identifier: Apache-2.0
"""An emulated board at a real serial port (a pseudo-terminal), and what can happen on the way to it and back."""

import os
import random
import select
import threading
import tty
import zlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Literal, Self

from kilobench.boards import Board
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Patience

WAITS = Patience(reply=0.5, inference=1.0, boot=1.0)
Kind = Literal["dropped", "doubled", "flipped"]
Direction = Literal["to board", "to host"]


class Way:
    """Passes everything on, and counts it."""

    def __init__(self) -> None:
        self.passed = {"to board": 0, "to host": 0}
        self.restart = self.vanish = False

    def pass_on(self, data: bytes, direction: Direction) -> bytes:
        out = b""
        for byte in data:
            out += self.one(bytes([byte]), direction)
            self.passed[direction] += 1
        return out

    def one(self, byte: bytes, direction: Direction) -> bytes:
        return byte


class Noise(Way):
    """Damages bytes of one direction, ``gap`` bytes apart on average: evenly spaced ones, or any."""

    def __init__(self, kind: Kind, direction: Direction, gap: int, seed: int, spaced: bool = True) -> None:
        super().__init__()
        self.kind, self.direction, self.gap, self.spaced = kind, direction, gap, spaced
        self.random = random.Random(seed)
        self.next = self.random.randrange(gap)
        self.damaged = 0

    def one(self, byte: bytes, direction: Direction) -> bytes:
        if direction != self.direction or self.passed[direction] < self.next:
            return byte
        wait = self.gap / 2 + self.random.randrange(self.gap) if self.spaced else self.random.expovariate(1 / self.gap)
        self.next += 1 + int(wait)
        self.damaged += 1
        if self.kind == "dropped":
            return b""
        return byte * 2 if self.kind == "doubled" else bytes([byte[0] ^ 1 << self.random.randrange(8)])


class After(Way):
    """Once the board has sent a text for the ``nth`` time, something happens, and the rest of that reply is lost."""

    def __init__(self, text: bytes, event: Literal["restart", "vanish", "silence"], nth: int = 1) -> None:
        super().__init__()
        self.text, self.event, self.left = text, event, nth
        self.heard = b""

    def pass_on(self, data: bytes, direction: Direction) -> bytes:
        if direction == "to board" or self.left < 0:
            return data
        if self.left == 0:
            return b"" if self.event == "silence" else data
        self.heard = self.heard[-len(self.text) :] + data
        if self.text not in self.heard:
            return data
        self.left -= 1
        if self.left:
            return data
        self.restart, self.vanish = self.event == "restart", self.event == "vanish"
        return data[: data.find(self.text) + len(self.text)]


class Liar(Way):
    """Replaces the lines ``m-NAME-[TAG,INPUT,...`` of a board, with right checksums.

    ``said``: what stands between the brackets, ``{tag}`` and ``{input}`` being those of the line that is replaced.
    """

    def __init__(self, name: str, said: str) -> None:
        super().__init__()
        self.name, self.said = name, said
        self.told = 0
        self.pending = b""

    def pass_on(self, data: bytes, direction: Direction) -> bytes:
        if direction == "to board":
            return data
        *lines, self.pending = (self.pending + data).split(b"\r\n")
        return b"".join(self.line(line) + b"\r\n" for line in lines)

    def line(self, line: bytes) -> bytes:
        start = f"m-{self.name}-[".encode()
        if not line.startswith(start):
            return line
        self.told += 1
        tag, given, *_ = (*line[len(start) :].split(b"]")[0].split(b","), b"")
        return checked(f"m-{self.name}-[{self.said.format(tag=tag.decode(), input=given.decode())}]")


def checked(line: str) -> bytes:
    """With its checksum."""
    data = line.encode("latin-1")
    return data + f"*{zlib.crc32(data):08x}".encode()


class Parrot:
    """Passes on what a board says, until it has a ``way``: then it says the same to the same commands; a transport."""

    def __init__(self, elf: Path, board: Board) -> None:
        self.label = f"{board.name} at port"
        self.way: Way | None = None
        self._board = EmulatedBoard(elf, board)
        self._heard: dict[tuple[str, str], str] = {}
        self._input = ""
        self._lines = b""

    def write(self, data: bytes) -> None:
        for command in data.decode().split("%")[:-1]:
            self._input = "" if command.startswith("db load") else self._input
            self._input += command if command.startswith("db ") else ""
            name, tag = command.split(" ") if command.count(" ") == 1 and command[:3] != "db " else (command, "")
            key = "" if name in ("", "identity") else self._input, name
            if self.way is None:
                self._board.write(f"{command}%".encode())
                self._heard[key] = self._board.run().decode().replace(f"-[{tag},", "-[{tag},")
            lines = [line.rpartition("*")[0] or line for line in self._heard[key].split("\r\n") if line]
            said = [checked(line.replace("{tag}", tag)) if "{tag}" in line else line.encode() for line in lines]
            answer = b"".join(line + b"\r\n" for line in said)
            self._lines += self.way.pass_on(answer, "to host") if self.way else answer

    def readline(self, seconds: float) -> bytes:
        line, end, self._lines = self._lines.partition(b"\n")
        return line + end

    def now(self) -> float:
        return monotonic()

    def reset(self) -> bool:
        return False


class Rig:
    """Firmware on an emulated board behind a pseudo-terminal; ``first`` is sent before it starts, after ``delay`` seconds."""

    def __init__(
        self, elf: Path, board: Board, way: Way | None = None, *, first: bytes = b"", delay: float = 0.0
    ) -> None:
        self._make: Callable[[], EmulatedBoard] = lambda: EmulatedBoard(elf, board)
        self.way = way or Way()
        self._first, self._delay = first, delay
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        board = self._make()
        self._stop.wait(self._delay)
        self._send(self._first + board.run())
        while not self._stop.is_set() and not self.way.vanish:
            if self.way.restart:
                self.way.restart = False
                board.__exit__(None, None, None)
                board = self._make()
                self._send(board.run())
            if select.select([self._ours], [], [], 0.02)[0]:
                board.write(self.way.pass_on(os.read(self._ours, 4096), "to board"))
                self._send(board.run())
        board.__exit__(None, None, None)
        os.close(self._ours)
        os.close(self._theirs)

    def _send(self, data: bytes) -> None:
        data = self.way.pass_on(data, "to host")
        while data and not self._stop.is_set():
            if select.select([], [self._ours], [], 0.02)[1]:
                data = data[os.write(self._ours, data) :]
