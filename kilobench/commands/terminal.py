# SPDX-License-Identifier: Apache-2.0
"""``kilobench emulate``: an emulated board behind a pseudo-terminal, or on standard input and output."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from rich.console import Console
from unicorn.unicorn_py3.unicorn import UcError

from kilobench.boards import Board
from kilobench.contracts import UserError
from kilobench.device import elf
from kilobench.device.build import enlarged
from kilobench.device.emulator import EmulatedBoard
from kilobench.measuring.recording import Where
from kilobench.plugins.boards import require_emulated
from kilobench.progress import OverallProgress
from kilobench.report.measuring import BOARD_SECONDS, measure_subject
from kilobench.report.models import Subject

_CHUNK = 4096
_HARMLESS = bytes(byte if chr(byte) in "\t\r\n" or 32 <= byte < 127 else ord("?") for byte in range(256))
_FOR_EVER = 1 << 62
"""Cycles."""
_LOOK_SECONDS = 0.005
"""Until it is looked again whether somebody has opened a pseudo-terminal."""
_SILENT_SECONDS = 2.0
"""After which a busy board's client gets an empty line: MLCommons' runner gives up after 5 s, or 30 s, without any."""


class Peer(Protocol):
    """Whoever talks to a board."""

    def read(self) -> bytes:
        """What it sends, once there is something; nothing at its end."""

    def write(self, data: bytes) -> None:
        """Hand over what the board has sent; called while it runs too, be there anything or not."""


class Streams:
    """Standard input and output; a terminal gets printable characters alone."""

    def __init__(self) -> None:
        self._table = _HARMLESS if os.isatty(1) else None
        self._open = True

    def read(self) -> bytes:
        """As Peer."""
        with suppress(OSError):
            return os.read(0, _CHUNK) if self._open else b""
        return b""

    def write(self, data: bytes) -> None:
        """As Peer."""
        try:
            _write(1, data.translate(self._table))
        except OSError:
            self._open = False


class PseudoTerminal:
    """A serial port that clients open and close one after another, as often as they like.

    Nothing is left of a client that has closed: not what it did not read, nor a command that it had begun. What it had
    commanded is done, as by a real board. Raises UserError where the system has no pseudo-terminals.
    """

    def __init__(self) -> None:
        try:
            import select
            import tty
        except ImportError:  # Windows
            raise UserError(
                "this system has no pseudo-terminals; without --pty the board is on standard input"
            ) from None
        self._ours, theirs = os.openpty()
        self._theirs: int | None = theirs
        """Open until the board is first told something, so that what it says before lies there for the first client."""
        self.path = os.ttyname(theirs)
        self._make_raw = tty.setraw  # which drops what nobody has read, too
        self._make_raw(theirs)
        self._poll, self._readable = select.poll(), select.POLLIN
        self._poll.register(self._ours, self._readable)
        self._served = True
        """Whether the client whose commands the board does, or has done, is still there."""
        self._begun = b""
        self._at_line_start, self._last = True, monotonic()

    def read(self) -> bytes:
        """Whole commands of whoever is there, waited for."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs, self._served = None, False
        while b"%" not in self._begun:
            if self._events() & self._readable and (received := self._received()):
                self._begun += received
                self._served = True
            else:
                self._forget()
                sleep(_LOOK_SECONDS)
        commands, end, self._begun = self._begun.rpartition(b"%")
        self._last = monotonic()
        return commands + end

    def write(self, data: bytes) -> None:
        """As Peer. A client that has heard nothing of a busy board for long gets an empty line between two of the board's."""
        if self._events(0) & ~self._readable:
            self._forget()
        if not self._served:
            return
        now = monotonic()
        if not data and self._at_line_start and now > self._last + _SILENT_SECONDS:
            data = b"\r\n"
        if data:
            self._at_line_start, self._last = data.endswith(b"\n"), now
            with suppress(OSError):  # it closes meanwhile
                _write(self._ours, data)

    def _events(self, milliseconds: int | None = None) -> int:
        """That there is something to read, or that nobody has the port open; without a limit waits for one of both."""
        return sum(events for _, events in self._poll.poll(milliseconds))

    def _received(self) -> bytes:
        with suppress(OSError):  # nobody has it open
            return os.read(self._ours, _CHUNK)
        return b""

    def _forget(self) -> None:
        """The client that was there."""
        if not self._served:
            return
        while (events := self._events(0)) != self._readable and events & self._readable and self._received():
            pass  # as long as nobody else is there
        theirs = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        self._make_raw(theirs)
        os.close(theirs)
        self._served, self._begun = False, b""


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def firmware_of(subject: Subject, board: Board) -> Path:
    """The program of a model for an emulated board, which has been measured there, now or before: it does what host C does.

    Raises UserError for a board that cannot be emulated, CellError where the build or the board fails.
    """
    require_emulated(board)
    with OverallProgress(Console(stderr=True), BOARD_SECONDS) as progress:
        (measured,) = measure_subject(subject, [Where(board)], progress).measurements
    return measured.program


def emulate(firmware: Path, board: Board, *, pty: bool) -> int:
    """Run a firmware's ELF file on an emulated board until its peer ends or Ctrl-C; returns 0.

    With ``pty`` the path of the pseudo-terminal is printed first. Raises UserError if the file is no firmware.
    """
    peer = PseudoTerminal() if pty else Streams()
    try:
        elf.sizes(firmware)  # that all sections are there
        fits = elf.overflow(firmware, board, enlarged(board)) == (0, 0)
        emulated = EmulatedBoard(
            firmware,
            board if fits else enlarged(board),
            max_cycles=_FOR_EVER,
            watch=lambda _: peer.write(emulated.sent()),
        )
    except OSError as error:
        raise UserError(f"{firmware}: {error.strerror}") from None
    except (elf.NoProgram, UcError) as error:
        raise UserError(f"{firmware} is no firmware for {board.name}: {error}") from None
    with emulated, suppress(KeyboardInterrupt):
        peer.write(emulated.run())
        if isinstance(peer, PseudoTerminal):
            print(peer.path, flush=True)
        while received := peer.read():
            emulated.write(received)
            peer.write(emulated.run())
    return 0
