# SPDX-License-Identifier: Apache-2.0
"""RISC-V instructions of 32-bit cores as timing tables see them."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import capstone
from capstone import riscv

_LOADS = {"lb", "lbu", "lh", "lhu", "lw", "lwsp", "lr.w", "sc.w"}
_STORES = {"sb", "sh", "sw", "swsp"}
_JUMPS = {"jal", "jalr", "j", "jr", "ret"}
_WRITE_NOTHING = {"csrw", "csrs", "csrc"}
_CHANGE_FIRST = {"addi", "addi16sp", "add", "sub", "xor", "or", "and", "andi", "slli", "srli", "srai"}
"""Of 16 bits: what they write they read as well."""


def decoded(code: bytes, address: int) -> list[Decoded]:
    """The instructions in ``code``, which lie at ``address``; raises ValueError for bytes that are none."""
    with _ONE_AT_A_TIME:
        instructions = list(_decoder().disasm(code, address))
        if sum(instruction.size for instruction in instructions) != len(code):
            raise ValueError(f"no instruction at {address + sum(i.size for i in instructions):#x}")
        return [Decoded(instruction) for instruction in instructions]


_ONE_AT_A_TIME = Lock()
"""Boards are emulated in several threads, which share a decoder."""


@cache
def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC)
    decoder.detail = True
    return decoder


class Decoded:
    """What the tables ask about an instruction, which has the same ``name`` in 16 and in 32 bits.

    ``misaligned``: of 32 bits across two words; ``backward``: the target of a branch lies before it.
    """

    def __init__(self, instruction: Any) -> None:
        self.short: bool = instruction.size == 2
        self.name: str = instruction.mnemonic.removeprefix("c.")
        self.address: int = instruction.address
        self.misaligned: bool = not self.short and self.address % 4 == 2
        operands = instruction.operands
        of_memory = (o.mem.base for o in operands if o.type == riscv.RISCV_OP_MEM)
        self.registers = [*(o.reg for o in operands if o.type == riscv.RISCV_OP_REG), *of_memory]
        self.is_branch: bool = instruction.group(riscv.RISCV_GRP_BRANCH_RELATIVE)
        self.backward: bool = self.is_branch and operands[-1].imm >> 31 & 1 == 1

    @property
    def is_jump(self) -> bool:
        """Whether it goes elsewhere whatever happens."""
        return self.name in _JUMPS

    @property
    def is_load(self) -> bool:
        """Whether its result comes from memory, a cycle later than others."""
        return self.name in _LOADS

    @property
    def sources(self) -> set[int]:
        """Registers that it needs to begin with; what is stored it needs a cycle later only."""
        if self.name == "ret":
            return {riscv.RISCV_REG_RA}
        all_of_them = self.is_branch or self.is_jump or self.name in _WRITE_NOTHING
        changed = self.short and self.name in _CHANGE_FIRST
        return set(self.registers if all_of_them or changed else self.registers[1:]) - {riscv.RISCV_REG_ZERO}

    def waits_for(self, previous: Decoded | None) -> bool:
        """Whether it needs what the load right before it brings."""
        return previous is not None and previous.is_load and previous.registers[0] in self.sources
