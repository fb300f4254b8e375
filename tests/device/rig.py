# SPDX-License-Identifier: Apache-2.0
"""An emulated board at a real serial port (a pseudo-terminal), and what can happen on the way to it and back."""

import os
import random
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

from kilobench.contracts import Board
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
