# SPDX-License-Identifier: Apache-2.0
"""What boards, their cores and power meters are, as their files and data sheets say it.

This module imports nothing of kilobench, so that listing boards stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Memory:
    """One memory region of an MCU."""

    origin: int
    bytes: int


@dataclass(frozen=True)
class Cache:
    """Of a flash: sets of so many ways, and bytes of a line, all powers of two; the line used longest ago is replaced."""

    sets: int
    ways: int
    line: int


@dataclass(frozen=True)
class FlashTiming:
    """What a core waits for its flash, at the board's clock and as its Arduino core sets it up, from its reference manual."""

    wait_states: int
    """Cycles more that a read of the array takes than one that has its line at hand."""
    read_bytes: int
    """What one read brings; they stay at hand until the next one, but see ``data_buffer``."""
    reference: str
    """Manual and section."""
    data_wait_states: int | None = None
    """The same of a read of data, where it is not ``wait_states``."""
    instruction_cache: Cache | None = None
    data_cache: Cache | None = None
    unified_cache: Cache | None = None
    """In place of the other two: of instructions and data."""
    prefetch: bool = False
    """Whether the line after the one that is executed is read meanwhile."""
    data_buffer: bool = False
    """Whether, without a cache of data, what was read last stays at hand."""
    error: int = 50
    """By how much of what a core waits the model may be wrong, in %: more where the manual does not say all of the above."""


@dataclass(frozen=True)
class RunCurrent:
    """What the chip alone takes while it computes at the board's clock, from its data sheet."""

    ma: float
    """Milliamperes."""
    volts: float
    """Of the supply that the current is drawn from."""
    reference: str
    """Data sheet, section or table, and conditions."""

    @property
    def told(self) -> str:
        """As people read it."""
        return f"{self.ma:g} mA at {self.volts:g} V ({self.reference})"


@dataclass(frozen=True)
class Core:
    """A CPU core: all that the engine knows of it; read from ``hardware/cores/NAME.yaml``.

    Either it can be emulated and has ``flags``, ``emulator`` and ``timing``, or it has none of them.
    """

    name: str
    title: str
    counter: str
    """What counts its cycles: ``dwt``, ``systick`` or ``mcycle``, which the emulator has as well, or another."""
    reference: str
    """The manual that describes it."""
    features: tuple[str, ...] = ()
    """Of its instruction set: ``dsp``, ``fpu``."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """By toolchain, what makes the compiler compile for it."""
    emulator: str = ""
    """Name of unicorn's constant for its CPU model."""
    timing: str = ""
    """Name of its timing table, a file of ``kilobench/device/timing/``."""
    estimated: bool = False
    """Whether no count of silicon was held against the table, or one in ten is off by more than a tenth."""
    cycles_error: int | None = None
    """Within how many % nine of ten published counts of silicon lie, 5 at least; None where none was held against the table."""


@dataclass(frozen=True)
class Board:
    """A microcontroller board; read from ``hardware/boards/NAME.yaml``, numbers from its data sheet."""

    name: str
    title: str
    mcu: str
    core: Core
    """In the file its name."""
    clock_hz: int
    """The clock that the board runs at here: the one that its Arduino core sets up."""
    flash: Memory
    ram: tuple[Memory, ...]
    """RAM regions; the arena goes into the first (the largest), stack and statics into the last."""
    reference: str
    """Data sheet."""
    max_clock_hz: int = 0
    """What the data sheet allows; 0 where that is ``clock_hz``."""
    flash_wait_states: int | None = None
    """At ``clock_hz``; None where code does not run from flash, or only through a cache."""
    caches: str = ""
    """Between core and memory on the real board, for people."""
    flash_timing: FlashTiming | None = None
    """What cycles with the flash as on the board are estimated by; None where there is no model of it."""
    run_current: RunCurrent | None = None
    """What energy is estimated by; None where no data sheet says it for this clock."""
    usb: tuple[str, ...] = ()
    """Vendor and product, as ``0483:374B``, of the USB device that carries the board's serial port."""
    platformio: Mapping[str, str] = field(default_factory=dict)
    """Options of the real board's PlatformIO project: platform with its version, board, framework, and any further ones."""

    @property
    def ram_bytes(self) -> int:
        """All of its RAM in bytes."""
        return sum(region.bytes for region in self.ram)

    def estimated_uj(self, latency_ms: float | None, clock_hz: int) -> float | None:
        """Microjoules that its chip takes for so long, *estimated*; None where the current at this clock is not known."""
        if latency_ms is None or self.run_current is None or clock_hz != self.clock_hz:
            return None
        return self.run_current.ma * self.run_current.volts * latency_ms


@dataclass(frozen=True)
class PowerTrace:
    """The current that a board took, sampled at a fixed interval, and the voltage of its supply."""

    current_ua: NDArray[np.float64]
    """Microamperes, [samples]."""
    interval_s: float
    volts: float

    @property
    def seconds(self) -> float:
        """Length of the trace."""
        return len(self.current_ua) * self.interval_s

    @property
    def energy_uj(self) -> float:
        """Microjoules over the whole trace, of the whole board: voltage times the sum of current times interval.

        The energy per inference is that of a trace of N inferences, divided by N. What the board takes for the little else that
        it does in this time is part of it, so that N should be large enough for a second or so.
        """
        return float(self.volts * self.current_ua.sum() * self.interval_s)


class PowerMeter(Protocol):
    """A meter in the supply of a board. As a context manager: inside, it is connected and the board has its supply.

    One of a package is found by an entry point of the group ``kilobench.power``: ``NAME = MODULE:FUNCTION``, a function from
    what follows the name in ``--power NAME:...`` to the meter.
    """

    def __enter__(self) -> Self:
        """Connect. Raises UserError where there is no meter, or it does not answer."""
        ...

    def __exit__(self, *error: object) -> None:
        """Disconnect."""
        ...

    def sampled(self, work: Callable[[], object]) -> PowerTrace:
        """Do some work and return all samples from just before its begin until its end.

        Raises CellError where samples are lost; errors of the work pass through.
        """
        ...
