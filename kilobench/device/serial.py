# SPDX-License-Identifier: Apache-2.0
"""A board at a serial port: one user at a time, a deadline to every wait."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from time import monotonic, sleep
from types import TracebackType
from typing import Self

import serial
from filelock import FileLock, Timeout

from kilobench.contracts import CellError
from kilobench.device.ports import OPENING_ERRORS, PORT_ERRORS
from kilobench.device.protocol import Damage, Gone
from kilobench.device.words import plain
from kilobench.paths import cache_dir

BAUD = 115200
_STEP = 0.05
_WRITE_SECONDS = 5.0
_RESET_SECONDS = 0.1
_LONGEST_LINE = 1 << 20
_LONGEST_NAME = 200
_TAKEN = "exclusively lock"
"""What pyserial says of a port that another program has."""


def label(port: str, board: str = "") -> str:
    """How errors name a port and the board at it."""
    port = plain(port, _LONGEST_NAME)
    return f"{board} at {port}" if board else port


@contextmanager
def claim(port: str, board: str = "") -> Iterator[None]:
    """Keep other kilobench processes from a port, under whatever name they know it; raises CellError if one has it."""
    folder = cache_dir() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{sha256(os.fsencode(os.path.realpath(port))).hexdigest()}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CellError(f"{label(port, board)}: open: another kilobench is using the port") from None
    try:
        yield
    finally:
        lock.release()


class SerialLink:
    """An open port; a kilobench.device.protocol.Transport.

    ``wait`` is for how many seconds to wait for a port that is not there yet, as after an upload. Raises CellError in one
    line if the port cannot be opened, or another program has it open exclusively.
    """

    def __init__(self, port: str, board: str = "", *, baud: int = BAUD, wait: float = 0) -> None:
        self.label = label(port, board)
        self._received = bytearray()
        end = monotonic() + wait
        while True:
            try:
                self._port = serial.Serial(port, baud, timeout=_STEP, write_timeout=_WRITE_SECONDS, exclusive=True)
                return
            except OPENING_ERRORS as error:
                problem = error
            if monotonic() >= end or _TAKEN in str(problem):
                raise CellError(f"{self.label}: open: {why(problem)}") from None
            sleep(_STEP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(*PORT_ERRORS):
            self._port.reset_output_buffer()  # else the system may wait half a minute for a board that takes no bytes
        self._port.close()

    def write(self, data: bytes) -> None:
        """Send; raises Damage if the bytes are not taken in time, Gone if the port has vanished."""
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise Damage("the port takes no more bytes") from None
        except PORT_ERRORS:
            raise Gone("the port has vanished") from None

    def readline(self, seconds: float) -> bytes:
        """The next line with its end; empty if none has come in time. What has come of it is kept."""
        end = monotonic() + seconds
        while (stop := self._received.find(b"\n") + 1) == 0 and len(self._received) < _LONGEST_LINE:
            if monotonic() >= end:
                return b""
            try:
                self._received += self._port.read(max(1, self._port.in_waiting))
            except PORT_ERRORS:
                raise Gone("the port has vanished") from None
        line = bytes(self._received[: stop or None])
        del self._received[: len(line)]
        return line

    def now(self) -> float:
        """Seconds on this machine's clock."""
        return monotonic()

    def reset(self) -> bool:
        """Restart the board by RTS and DTR, as Arduino boards and the ESP32's are wired; False where there are none."""
        try:
            self._port.dtr, self._port.rts = False, True
            sleep(_RESET_SECONDS)
            self._port.rts = False
            sleep(_RESET_SECONDS)
            self._port.dtr = self._port.rts = True
        except PORT_ERRORS:
            return False
        return True


def why(error: Exception) -> str:
    """In a few words why a port cannot be used."""
    text = str(error)
    if _TAKEN in text:
        return "another program is using the port"
    if "No such file" in text:
        return "there is no such port (kilobench boards lists those attached)"
    if "Permission" in text:
        return "no permission; add yourself to the group that the port belongs to"
    return plain(" ".join(text.split()), _LONGEST_NAME)
