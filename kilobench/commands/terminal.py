# SPDX-License-Identifier: Apache-2.0
"""``kilobench emulate``: an emulated board behind a pseudo-terminal, or on standard input and output."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from unicorn.unicorn_py3.unicorn import UcError

from kilobench.contracts import Board, UserError
from kilobench.device import elf
from kilobench.device.build import enlarged
from kilobench.device.emulator import EmulatedBoard

_CHUNK = 4096
_HARMLESS = bytes(byte if chr(byte) in "\t\r\n" or 32 <= byte < 127 else ord("?") for byte in range(256))


def serve(board: EmulatedBoard, source: int, sink: int, spare: int | None = None) -> None:
    """Carry bytes from file ``source`` to the board and from it to ``sink`` until the peer closes.

    ``spare`` is a file of the peer's end, which keeps it open until the peer has sent something and then is closed. Without
    one, a terminal at ``sink`` gets printable characters alone.
    """
    table = _HARMLESS if spare is None and os.isatty(sink) else None
    while True:
        sent = memoryview(board.run().translate(table))
        try:
            while sent:
                sent = sent[os.write(sink, sent) :]
            received = os.read(source, _CHUNK)
        except OSError:  # a pseudo-terminal that nobody has open any more
            return
        if not received:
            return
        if spare is not None:
            os.close(spare)
            spare = None
        board.write(received)


def _pseudo_terminal() -> tuple[int, int]:
    """Both ends of one that changes no bytes. Raises UserError where the system has none."""
    try:
        import tty
    except ImportError:  # Windows
        raise UserError("this system has no pseudo-terminals; without --pty the board is on standard input") from None
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    return ours, theirs


def emulate(firmware: Path, board: Board, *, pty: bool) -> int:
    """Run a firmware's ELF file on an emulated board until its peer closes or Ctrl-C; returns 0.

    With ``pty`` the path of the pseudo-terminal is printed first. Raises UserError if the file is no firmware.
    """
    try:
        elf.sizes(firmware)  # that all sections are there
        fits = elf.overflow(firmware, board, enlarged(board)) == (0, 0)
        emulated = EmulatedBoard(firmware, board if fits else enlarged(board))
    except OSError as error:
        raise UserError(f"{firmware}: {error.strerror}") from None
    except (elf.NoProgram, UcError) as error:
        raise UserError(f"{firmware} is no firmware for {board.name}: {error}") from None
    with emulated, suppress(KeyboardInterrupt):
        if not pty:
            serve(emulated, 0, 1)
            return 0
        ours, theirs = _pseudo_terminal()
        os.write(ours, emulated.run())  # as of a board that has started before anybody opens its port
        print(os.ttyname(theirs), flush=True)
        serve(emulated, ours, ours, theirs)
    return 0
