# SPDX-License-Identifier: Apache-2.0
"""Power meters: what ``--power`` names, and Nordic's Power Profiler Kit II (PPK2)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Self

from kilobench.boards import PowerMeter, PowerTrace
from kilobench.contracts import CellError, UserError
from kilobench.device.ports import OPENING_ERRORS
from kilobench.device.words import shown
from kilobench.extras import needed
from kilobench.plugins.spec import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GROUP = "kilobench.power"
_SECONDS = 2.0
"""How long a meter may take to answer."""
_MOST_BYTES_A_SECOND, _MOST_BYTES_AT_ONCE = 800_000, 1 << 20
"""Twice what 100 000 samples a second are, and what a port may have kept."""
_CALIBRATION = ("R", "GS", "GI", "O", "S", "I", "UG")
"""What the meter says of its five ranges, resistors in ohms first."""
_MOST_CALIBRATION = 1e9


def meter(spec: str) -> PowerMeter:
    """The meter of ``NAME[:...]``, not yet connected, as in ``ppk2:/dev/ttyACM0,ampere=1800``.

    Raises UserError with the nearest name if there is none, and how to install what is missing.
    """
    name, _, rest = spec.partition(":")
    if name == "ppk2":
        return ppk2(rest)
    points = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in points:
        known = ["ppk2", *points]
        raise UserError(f"no power meter {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    try:
        return points[name].load()(rest)
    except (ImportError, AttributeError) as error:
        raise UserError(f"the power meter {name!r} cannot be used: {error}") from None


def ppk2(text: str) -> Ppk2:
    """A PPK2 of ``[PORT][,ampere=MILLIVOLTS|,source=MILLIVOLTS]``; without a port the one that is attached.

    ``ampere`` (the default, 3300): it measures the current of a board that has its own supply of this voltage. ``source``: it is
    the supply. Raises UserError for anything else, and where the package is missing.
    """
    port, _, option = text.partition(",")
    mode, _, millivolts = (option or "ampere=3300").partition("=")
    if mode not in ("ampere", "source") or not millivolts.isdecimal() or not 800 <= int(millivolts) <= 5000:
        raise UserError(f"ppk2: {option!r} is neither ampere=MILLIVOLTS nor source=MILLIVOLTS, from 800 to 5000")
    return Ppk2(port, mode, int(millivolts))


class Ppk2:
    """Nordic's Power Profiler Kit II by the PyPI package ppk2-api: 100 000 samples a second.

    The package decodes what the meter sends; a word of 32 bits is 14 bits of the converter, 3 of the range, and, from bit 18, a
    counter of 6 bits, by which lost samples are noticed (Nordic's own application reads it so: pc-nrfconnect-ppk,
    src/device/serialDevice.ts).
    """

    interval_s = 1e-5

    def __init__(self, port: str, mode: str, millivolts: int) -> None:
        try:
            from ppk2_api.ppk2_api import PPK2_API
        except ImportError:
            raise needed("ppk2", "the power meter ppk2") from None
        self.mode, self.millivolts = mode, millivolts
        self._connection, self._port = PPK2_API, port
        self._api: Any = None

    def __enter__(self) -> Self:
        """Connect, read the calibration, and have the board supplied."""
        from kilobench.device.serial import label, why

        self._port = self._port or self._attached()
        try:
            self._api = self._connection(self._port, timeout=1, write_timeout=1, exclusive=True)
            self._api.stop_measuring()  # of a program that was killed
            self._quiet()
            if not self._calibrated():
                raise UserError(f"{self._port}: no PPK2 answers there")
        except OPENING_ERRORS as error:
            self._close()
            raise UserError(f"ppk2: {label(self._port)}: {why(error)}") from None
        except UserError:
            self._close()
            raise
        self._api.set_source_voltage(self.millivolts)
        (self._api.use_source_meter if self.mode == "source" else self._api.use_ampere_meter)()
        self._api.toggle_DUT_power("ON")
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect; a board that had its supply from the meter is switched off."""
        if self.mode == "source":
            self._api.toggle_DUT_power("OFF")
        self._close()

    def sampled(self, work: Callable[[], object]) -> PowerTrace:
        """See kilobench.api.PowerMeter: the whole board's current, every 10 microseconds."""
        reader = _Reader(self._api.get_data)
        self._api.start_measuring()
        reader.start()
        try:
            if not reader.began.wait(_SECONDS):
                raise CellError(f"{self._port}: the PPK2 sends no samples")
            work()
        finally:
            self._api.stop_measuring()
            reader.stop()
        if reader.failure:
            raise CellError(f"{self._port}: the PPK2 was lost while it measured: {reader.failure}")
        return PowerTrace(self._decoded(bytes(reader.data)), self.interval_s, self.millivolts / 1000)

    def _decoded(self, data: bytes) -> NDArray[np.float64]:
        """Microamperes. The package makes samples of parts of words, and of nothing, too, so that it is given all at once."""
        import numpy as np

        words = np.frombuffer(data[: len(data) // 4 * 4], dtype="<u4")
        counters = (words >> 18 & 63).astype(np.int64)
        if gaps := int(np.count_nonzero((np.diff(counters) & 63) != 1)):
            raise CellError(
                f"{self._port}: samples of the PPK2 were lost in {gaps} place(s); use another port or computer"
            )
        samples = np.array(self._api.get_samples(words.tobytes())[0], dtype=np.float64)
        if len(samples) != len(words) or not np.isfinite(samples).all():
            raise CellError(f"{self._port}: the PPK2 sent {len(data)} bytes that are not all samples")
        return samples

    def _attached(self) -> str:
        found = sorted(self._connection.list_devices())
        if not found:
            raise UserError("no PPK2 is attached; give its port, as in --power ppk2:/dev/ttyACM0")
        return str(found[0])

    def _calibrated(self) -> bool:
        """Whether the meter sent its calibration."""
        self._api._read_metadata = self._answer
        if not self._api.get_modifiers():
            return False
        self._check_calibration(self._api.modifiers)
        self._quiet()
        return True

    def _answer(self) -> str | None:
        """All that the meter says of its calibration, in however many pieces it comes; None where it does not end.

        The package takes the piece that ends it for all of it, and has its own values for the rest.
        """
        said, start = b"", time.monotonic()
        while b"END" not in said:
            if time.monotonic() - start > _SECONDS or len(said) > _MOST_BYTES_AT_ONCE:
                return None
            time.sleep(0.001)
            said += self._api.get_data()
        return said.decode(errors="replace")

    def _check_calibration(self, said: dict[str, Any]) -> None:
        """Raises UserError naming the first value that no meter has; the package takes all that can be read as a float."""
        for key in _CALIBRATION:
            values = said[key] if isinstance(said[key], dict) else {"": said[key]}
            for index, value in values.items():
                number = value if isinstance(value, float | int) else math.nan
                if not abs(number) < _MOST_CALIBRATION or (key == _CALIBRATION[0] and number <= 0):
                    found = shown(f"{value}")
                    raise UserError(
                        f"{self._port}: calibration of the PPK2: {key}{index} is {found}, no number in range"
                    )

    def _quiet(self) -> None:
        """Read until nothing comes any more; raises UserError where that does not end."""
        reader = _Reader(self._api.get_data)
        reader.start()
        reader.stop()
        if reader.failure:
            raise UserError(f"{self._port}: no PPK2 answers there: {reader.failure}")

    def _close(self) -> None:
        if self._api is not None:
            self._api.ser.close()


class _Reader(threading.Thread):
    """Reads what the meter sends, which is more than the system's buffer holds for long."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        super().__init__(daemon=True)
        self._read, self._last, self._given_up = read, threading.Event(), threading.Event()
        self.data = bytearray()
        self.began = threading.Event()
        self.failure = ""

    def run(self) -> None:
        """Until it is stopped and nothing has come for a twentieth of a second."""
        start = heard = time.monotonic()
        try:
            while not self._given_up.is_set() and (not self._last.is_set() or time.monotonic() - heard < 0.05):
                if new := self._read():
                    self.data += new
                    self.began.set()
                    heard = time.monotonic()
                else:
                    time.sleep(0.001)
                if len(self.data) > _MOST_BYTES_AT_ONCE + _MOST_BYTES_A_SECOND * (time.monotonic() - start):
                    self.failure = "it sends more than samples are"
                    return
        except Exception as error:  # whatever pyserial makes of a port that is gone
            self.failure = f"the port has vanished ({type(error).__name__})"

    def stop(self) -> None:
        """Read the rest."""
        self._last.set()
        self.join(_SECONDS)
        if self.is_alive():
            self._given_up.set()
            self.failure = self.failure or "it does not stop sending"
