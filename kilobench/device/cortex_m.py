# SPDX-License-Identifier: Apache-2.0
"""An emulated Cortex-M: DWT->CYCCNT where the core has it, and SysTick with its exception.

The exception is taken between two basic blocks, and its entry and exit (some 30 cycles in 16.8 million) cost nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from unicorn import arm_const, unicorn_const

from kilobench.boards import Board
from kilobench.device.machine import Cycles, Machine
from kilobench.plugins.boards import PERIPHERALS

_SYSTEM = PERIPHERALS["the system space"].origin
_CYCCNT, _SYST_CSR, _SYST_RVR, _SYST_CVR = 0xE0001004, 0xE000E010, 0xE000E014, 0xE000E018
_ICSR, _PENDSTSET = 0xE000ED04, 1 << 26
_CPACR, _FPU = 0xE000ED88, 0xF << 20
_SYSTICK_VECTOR, _EXCEPTION_RETURN = 15, 0xFFFFFFF9
_STACKED = (
    *(arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2, arm_const.UC_ARM_REG_R3),
    *(arm_const.UC_ARM_REG_R12, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_XPSR),
)


class CortexM(Machine):
    """Starts by the vector table at the beginning of the flash."""

    MODE = unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB
    MODELS = arm_const
    PC = arm_const.UC_ARM_REG_PC
    STATE = 1  # Thumb

    def __init__(self, engine: Any, board: Board, counter: Cycles, changed: Callable[[], None]) -> None:
        super().__init__(engine, board, counter, changed)
        self._registers: dict[int, int] = {}
        self._cyccnt_zero = self._systick_zero = 0
        engine.mmio_map(_SYSTEM, 0x100000, self._read, None, self._write, None)

    def start(self) -> int:
        """Stack pointer and address are the first two vectors."""
        vectors = self.board.flash.origin
        self.engine.reg_write(arm_const.UC_ARM_REG_SP, self._word(vectors))
        return self._word(vectors + 4) & ~1

    # Exceptions (Armv7-M ARM, B1.5.6 and B1.5.8; the basic frame)

    def enter_exception(self) -> int:
        """SysTick's."""
        frame = [self.engine.reg_read(register) for register in _STACKED]
        above = self.engine.reg_read(arm_const.UC_ARM_REG_SP)
        stack = (above - 32) & ~7
        frame[-1] |= (above & 4) << 7
        self.engine.mem_write(stack, struct.pack("<8I", *frame))
        self.engine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self.engine.reg_write(arm_const.UC_ARM_REG_LR, _EXCEPTION_RETURN)
        self._schedule(self._registers[_SYST_RVR])
        return self._word(self.board.flash.origin + 4 * _SYSTICK_VECTOR) & ~1

    def returns_at(self, address: int) -> bool:
        """By the address that the link register had."""
        return address == _EXCEPTION_RETURN & ~1

    def leave_exception(self) -> int:
        """Back to where it came."""
        stack = self.engine.reg_read(arm_const.UC_ARM_REG_SP)
        frame = struct.unpack("<8I", self.engine.mem_read(stack, 32))
        for register, value in zip(_STACKED, frame, strict=True):
            self.engine.reg_write(register, value)
        self.engine.reg_write(arm_const.UC_ARM_REG_SP, stack + 32 + (frame[-1] >> 7 & 4))
        return frame[-2]

    def _schedule(self, reload: int) -> None:
        """The next SysTick exception, one period after the last."""
        self.next_exception = (self._systick_zero if self.next_exception is None else self.next_exception) + reload + 1
        self.changed()

    def _word(self, address: int) -> int:
        return int.from_bytes(self.engine.mem_read(address, 4), "little")

    # Peripherals

    def _read(self, engine: Any, offset: int, size: int, data: object) -> int:
        address = _SYSTEM + offset
        if address in (_CYCCNT, _SYST_CVR):
            self.counter.align()
        if address == _CYCCNT and self.board.core.counter == "dwt":
            return (self.cycles - self._cyccnt_zero) & 0xFFFFFFFF
        if address == _SYST_CVR:
            reload = self._registers.get(_SYST_RVR, 0) & 0xFFFFFF
            return reload - (self.cycles - self._systick_zero) % (reload + 1)
        if address == _ICSR:
            return _PENDSTSET if self.next_exception is not None and self.cycles >= self.next_exception else 0
        return self._registers.get(address, 0)

    def _write(self, engine: Any, offset: int, size: int, value: int, data: object) -> None:
        address = _SYSTEM + offset
        self._registers[address] = value & 0xFFFFFFFF
        if address == _CYCCNT:
            self._cyccnt_zero = self.cycles - value
        if address in (_SYST_CVR, _SYST_CSR):
            self._systick_zero, self.next_exception = self.cycles, None
            if self._registers.get(_SYST_CSR, 0) & 3 == 3:
                self._schedule(self._registers[_SYST_RVR])
        if address == _CPACR and value & _FPU == _FPU:
            engine.reg_write(arm_const.UC_ARM_REG_FPEXC, 1 << 30)
