# SPDX-License-Identifier: Apache-2.0
"""A Power Profiler Kit II behind a pseudo-terminal: what Nordic's meter sends, byte for byte, so that all above it is real.

Commands and the layout of a word: ppk2_api/ppk2_api.py and pc-nrfconnect-ppk, src/device/serialDevice.ts.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

RESISTORS = (1003.3506, 101.5865, 10.3027, 0.9636, 0.0564)
OFFSETS = (112.742, 75.5, 47.25, 41.75, 48.125)
SCALE = 1.8 / 163840
START, STOP, POWER, REGULATOR, MODE, META = 0x06, 0x07, 0x0C, 0x0D, 0x11, 0x19


def metadata() -> str:
    """What the meter says of its calibration: resistors and offsets are those above, gains 1, nothing else."""
    lines = ["Calibrated: 0"]
    for key, values in {"R": RESISTORS, "GS": [0.0] * 5, "GI": [1.0] * 5, "O": OFFSETS}.items():
        lines += [f"{key}{index}: {value:.4f}" for index, value in enumerate(values)]
    lines += [f"{key}{index}: 0.0" for key in ("S", "I") for index in range(5)]
    lines += [f"UG{index}: 1.00" for index in range(5)]
    return "\n".join([*lines, "HW: 9173", "IA: 56", "END"]) + "\n"


def quantum_ua(measuring_range: int) -> float:
    """The step of the current in a range, in microamperes: four steps of the converter."""
    return 4e6 * SCALE / RESISTORS[measuring_range]


def word(current_ua: float, measuring_range: int, counter: int, logic: int = 0xA5) -> bytes:
    """A sample as it is sent: 14 bits of the converter, 3 of the range, a counter of 6 bits, 8 digital inputs."""
    adc = round((current_ua / 1e6 * RESISTORS[measuring_range] / SCALE + OFFSETS[measuring_range]) / 4)
    assert 0 <= adc < 1 << 14
    return struct.pack("<I", adc | measuring_range << 14 | (counter & 63) << 18 | logic << 24)


def trace(currents_ua: Sequence[float], ranges: Sequence[int], first: int = 37) -> bytes:
    """A recording of currents, each in its range; the counter starts anywhere."""
    pairs = zip(currents_ua, ranges, strict=True)
    return b"".join(word(current, one, first + index) for index, (current, one) in enumerate(pairs))


class Ppk2Device:
    """The meter's end. It sends one recording after a start, in pieces, then nothing more, whatever is asked."""

    def __init__(
        self,
        recording: bytes,
        pieces: Sequence[int] = (512,),
        dumb: bool = False,
        cut: int = 0,
        says: str = "",
        flood: bytes = b"",
        slowly: int = 0,
    ) -> None:
        """``says``: lines that its calibration ends in; ``flood``: what it sends whenever it is asked nothing; ``slowly``: the
        bytes of its calibration that it sends at once, a fifth of a second before the rest.
        """
        self.says, self.flood, self.slowly = says, flood, slowly
        self.recording, self.pieces, self.dumb, self.cut = recording, list(pieces), dumb, cut
        self.commands: list[tuple[int, ...]] = []
        self.sent = threading.Event()
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.port, self._slave = os.ttyname(slave), slave
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        lengths = {POWER: 2, REGULATOR: 3, MODE: 2}
        waiting = b""
        with suppress(OSError):
            while not self._gone.is_set():
                if not select.select([self.master], [], [], 0 if self.flood else 0.02)[0]:
                    if self.flood and select.select([], [self.master], [], 0.02)[1]:
                        os.write(self.master, self.flood)
                    continue
                waiting += os.read(self.master, 100)
                while waiting and len(waiting) >= lengths.get(waiting[0], 1):
                    size = lengths.get(waiting[0], 1)
                    self._answer(tuple(waiting[:size]))
                    waiting = waiting[size:]

    def _answer(self, command: tuple[int, ...]) -> None:
        self.commands.append(command)
        if self.dumb:
            return
        if command == (META,):
            said = metadata().replace("END", f"{self.says}\nEND").encode()
            if self.slowly:
                os.write(self.master, said[: self.slowly])
                time.sleep(0.2)
            os.write(self.master, said[self.slowly :])
        if command == (START,):
            self._send()

    def _send(self) -> None:
        position, index = 0, 0
        while position < len(self.recording):
            if self.cut and position >= self.cut:
                os.close(self._slave)
                os.close(self.master)
                self.sent.set()
                self._gone.set()
                return
            piece = self.pieces[index % len(self.pieces)]
            position += os.write(self.master, self.recording[position : position + piece])
            index += 1
        self.sent.set()


@contextmanager
def attached(recording: bytes, **how: Any) -> Iterator[Ppk2Device]:
    """A meter that is there for a while."""
    device = Ppk2Device(recording, **how)
    device._thread.start()
    try:
        yield device
    finally:
        device._gone.set()
        device._thread.join(5)
        if not device.cut:
            os.close(device._slave)
            os.close(device.master)
