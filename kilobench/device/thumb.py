# SPDX-License-Identifier: Apache-2.0
"""Thumb instructions as timing tables see them."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import capstone
from capstone import arm

LOADS = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh"}
STORES = {"str", "strb", "strh"}
MULTIPLE = {"ldm", "stm", "push", "pop", "ldmdb", "stmdb", "vldmia", "vstmia", "vldmdb", "vstmdb", "vpush", "vpop"}
_MULTIPLY_PREFIXES = ("mul", "mla", "mls", "smul", "smla", "smml", "smls", "smus", "smua", "umul", "umla", "umaal")
_CONDITIONS = {"eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "cs", "cc"}


def decoded(code: bytes, address: int) -> list[Decoded]:
    """The Thumb instructions in ``code``, which lie at ``address``; raises ValueError for bytes that are none."""
    with _ONE_AT_A_TIME:
        instructions = list(_decoder().disasm(code, address))
        if sum(instruction.size for instruction in instructions) != len(code):
            raise ValueError(f"no instruction at {address + sum(i.size for i in instructions):#x}")
        return [Decoded(instruction) for instruction in instructions]


_ONE_AT_A_TIME = Lock()
"""Boards are emulated in several threads, which share a decoder that keeps state, as of IT blocks, outside of Python's lock."""


@cache
def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8)
    decoder.detail = True
    return decoder


class Decoded:
    """What the tables ask about an instruction.

    ``wide``: of 32 bits, ``misaligned``: across two words; ``shifts``: a register on its way in, as do the aliases LSL and UXTB;
    ``backwards``: a branch to where code lies that has been, as at the end of a loop.
    """

    def __init__(self, instruction: Any) -> None:
        mnemonic = instruction.mnemonic.split(".")[0]
        conditional = instruction.cc not in (arm.ARM_CC_AL, arm.ARM_CC_INVALID)
        if conditional and mnemonic[-2:] in _CONDITIONS and instruction.id != arm.ARM_INS_IT:
            mnemonic = mnemonic[:-2]
        elif instruction.id == arm.ARM_INS_IT:
            mnemonic = "it"
        self.name: str = mnemonic
        self.wide: bool = instruction.size == 4
        self.misaligned: bool = self.wide and instruction.address % 4 == 2
        self.conditional, self.sets_flags = conditional, bool(instruction.update_flags)
        operands = instruction.operands
        self.registers = [o.reg for o in operands if o.type == arm.ARM_OP_REG]
        self.immediates = [o.imm for o in operands if o.type == arm.ARM_OP_IMM]
        self.shifts = any(o.type == arm.ARM_OP_REG and o.shift.type for o in operands)
        self.memory = next((o.mem for o in operands if o.type == arm.ARM_OP_MEM), None)
        self.writeback = bool(instruction.writeback)
        reads, writes = instruction.regs_access()
        self.reads, self.writes = set(reads), set(writes)
        self.branches = arm.ARM_REG_PC in self.writes or instruction.group(capstone.CS_GRP_JUMP)
        self.backwards = self.branches and any(target <= instruction.address for target in self.immediates[-1:])
        self.double = any(arm.ARM_REG_D0 <= register <= arm.ARM_REG_D31 for register in self.registers)

    @property
    def base(self) -> set[int]:
        """Registers that make the address."""
        if self.memory is None:
            return set(self.registers[:1]) if self.name in MULTIPLE else set()
        return {r for r in (self.memory.base, self.memory.index) if r}

    @property
    def accumulators(self) -> set[int]:
        """Registers that an integer multiplication adds to."""
        if self.name.startswith(("smlal", "smlsl", "umlal", "umaal")):
            return set(self.registers[:2])
        return set(self.registers[3:4]) if self.is_multiply else set()

    @property
    def sources(self) -> set[int]:
        """What it waits for: ``reads``, completed where capstone leaves operands out; not what only a predicted branch needs."""
        operands = set() if self.is_memory else set(self.registers[1:]) - self.writes
        flags = {arm.ARM_REG_CPSR}
        read = self.reads | operands | self.accumulators | (flags if self.conditional else set())
        return read - {arm.ARM_REG_PC} - (flags if self.branches else set())

    @property
    def results(self) -> set[int]:
        """``writes``, and the flags where it sets them."""
        return self.writes | ({arm.ARM_REG_CPSR} if self.sets_flags else set())

    @property
    def is_memory(self) -> bool:
        """Whether it is one access to memory."""
        return self.is_load or self.is_store or self.name in ("ldrd", "strd", "vldr", "vstr")

    @property
    def is_multiply(self) -> bool:
        """Whether it is an integer multiplication."""
        return self.name.startswith(_MULTIPLY_PREFIXES)

    @property
    def is_load(self) -> bool:
        """Whether it loads one register."""
        return self.name in LOADS

    @property
    def is_store(self) -> bool:
        """Whether it stores one register."""
        return self.name in STORES

    @property
    def is_fp(self) -> bool:
        """Whether the FPU computes it."""
        return self.name.startswith("v") and self.name not in ("vldr", "vstr") and self.name not in MULTIPLE

    @property
    def count(self) -> int:
        """Registers moved by a multiple load or store."""
        named = self.name in ("push", "pop", "vpush", "vpop")
        listed = len(self.registers) - (0 if named else 1)
        return 2 * listed if self.double else listed
