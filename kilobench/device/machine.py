# SPDX-License-Identifier: Apache-2.0
"""What an emulated board asks of the architecture of its core: cortex_m.py and riscv.py answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kilobench.boards import Board


class Cycles(Protocol):
    """A counter of kilobench.device.counter, as peripherals see it."""

    def half_cycles(self) -> int:
        """So far."""

    def align(self) -> None:
        """To a whole cycle."""


class Machine:
    """Registers, start, exceptions and system peripherals of a core on an engine of unicorn; this one has no exceptions.

    ``changed`` is called when ``next_exception`` has changed. A read of a counter sees the cycles up to and including the basic
    block that reads it, rounded up to whole ones.
    """

    MODE: tuple[int, int]
    """Architecture and mode, as unicorn numbers them."""
    MODELS: Any
    """Where unicorn's numbers of its CPU models are."""
    PC: int
    """unicorn's number of that register."""
    STATE = 0
    """What is added to an address where execution begins."""

    def __init__(self, engine: Any, board: Board, counter: Cycles, changed: Callable[[], None]) -> None:
        self.engine, self.board, self.counter, self.changed = engine, board, counter, changed
        self.next_exception: int | None = None
        """The cycle in which it is due."""

    @property
    def cycles(self) -> int:
        """Whole cycles since the start."""
        return self.counter.half_cycles() // 2

    def loaded(self, address: int, code: bytes) -> None:
        """A part of the program is in memory."""

    def start(self) -> int:
        """Set up for the first instruction of the program; its address."""
        return self.board.flash.origin

    def enter_exception(self) -> int:
        """Take the exception that is due; the address of its handler."""
        raise NotImplementedError

    def returns_at(self, address: int) -> bool:
        """Whether a jump to an address without memory is the end of a handler."""
        return False

    def leave_exception(self) -> int:
        """Go on behind an exception; the address."""
        raise NotImplementedError

    def trap(self, number: int) -> str:
        """What an exception of unicorn is that the program ran into."""
        return f"exception {number} (breakpoint, supervisor call or sleep)"
