# SPDX-License-Identifier: Apache-2.0
"""An emulated RISC-V core of 32 bits, which starts at the beginning of the flash and counts its cycles in mcycle.

What unicorn has for mcycle is a clock of this machine, so every instruction that reads it is hooked. Each ends a basic block.
"""

from __future__ import annotations

import re
from typing import Any

from unicorn import riscv_const, unicorn_const

from kilobench.device.machine import Machine

_READS_MCYCLE = re.compile(rb"[\x73\xF3][\x20-\x2F]\x00[\xB0\xB8]", re.DOTALL)
"""``csrr`` of mcycle or of mcycleh to any register."""
_REGISTER, _UPPER_HALF = 7, 27
"""Bits of these: where the number of the register begins, and whether it is mcycleh."""
_TRAPS = {2: "an invalid instruction", 8: "a supervisor call"}


class RiscV(Machine):
    """In machine mode, without interrupts."""

    MODE = unicorn_const.UC_ARCH_RISCV, unicorn_const.UC_MODE_RISCV32
    MODELS = riscv_const
    PC = riscv_const.UC_RISCV_REG_PC

    def loaded(self, address: int, code: bytes) -> None:
        """Hook all that would read the counter, which data never does."""
        for found in _READS_MCYCLE.finditer(code):
            if (place := address + found.start()) % 2 == 0:
                word = int.from_bytes(found.group(), "little")
                self.engine.hook_add(unicorn_const.UC_HOOK_CODE, self._read_counter, word, place, place)

    def trap(self, number: int) -> str:
        """By the codes of mcause."""
        return _TRAPS.get(number, f"exception {number}")

    def _read_counter(self, engine: Any, address: int, size: int, word: int) -> None:
        self.counter.align()
        register = riscv_const.UC_RISCV_REG_X0 + (word >> _REGISTER & 31)
        engine.reg_write(register, self.cycles >> (32 if word >> _UPPER_HALF & 1 else 0) & 0xFFFFFFFF)
        engine.reg_write(self.PC, address + size)
