"""Cycles of Cortex-M code: a fitted model of in-order cores with zero wait states (docs/timing.md).

Costs are in half cycles. A basic block has one cost, whatever came before it; what depends on the way it was reached
(a taken branch) is its ``entry`` cost, added when the block does not follow the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import capstone
from capstone import arm

Table = Literal["cortex-m0plus", "cortex-m4"]


@dataclass(frozen=True)
class BlockCost:
    """Half cycles of a basic block: always, and on top when it is entered by a taken branch; and its instructions."""

    always: int
    entry: int
    instructions: int


_LOADS = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh"}
_STORES = {"str", "strb", "strh"}
_MULTIPLE = {"ldm", "stm", "push", "pop", "ldmdb", "stmdb", "vldmia", "vstmia", "vldmdb", "vstmdb", "vpush", "vpop"}
_FP_ACCUMULATE = {"vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma", "vfnms"}
_FP_SLOW = {"vdiv", "vsqrt"}


def block_cost(code: bytes, address: int, table: Table) -> BlockCost:
    """The cost of the Thumb instructions in ``code``, which lie at ``address``.

    Raises ValueError for bytes that are no instructions.
    """
    instructions = list(_decoder().disasm(code, address))
    if sum(instruction.size for instruction in instructions) != len(code):
        raise ValueError(f"no instruction at {address + sum(i.size for i in instructions):#x}")
    if table == "cortex-m0plus":
        return BlockCost(sum(2 * _m0plus(_Decoded(i)) for i in instructions), 2, len(instructions))
    halves, previous = 0, None
    for instruction in instructions:
        current = _Decoded(instruction)
        halves += 2 * _m4(current, previous) + (instruction.size == 4 and instruction.address % 4 == 2)
        previous = current
    first = instructions[0]
    misaligned = first.size == 4 and first.address % 4 == 2
    return BlockCost(halves, 2 + 2 * misaligned, len(instructions))


@cache
def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    return decoder


class _Decoded:
    """What the tables ask about an instruction."""

    def __init__(self, instruction: Any) -> None:
        mnemonic = instruction.mnemonic.split(".")[0]
        conditional = instruction.cc not in (arm.ARM_CC_AL, arm.ARM_CC_INVALID)
        if conditional and mnemonic[-2:] in _CONDITIONS and instruction.id != arm.ARM_INS_IT:
            mnemonic = mnemonic[:-2]
        elif instruction.id == arm.ARM_INS_IT:
            mnemonic = "it"
        self.name: str = mnemonic
        operands = instruction.operands
        self.registers = [o.reg for o in operands if o.type == arm.ARM_OP_REG]
        self.memory = next((o.mem for o in operands if o.type == arm.ARM_OP_MEM), None)
        self.writeback = bool(instruction.writeback)
        reads, writes = instruction.regs_access()
        self.reads, self.writes = set(reads), set(writes)
        self.branches = arm.ARM_REG_PC in self.writes or instruction.group(capstone.CS_GRP_JUMP)
        self.double = any(arm.ARM_REG_D0 <= register <= arm.ARM_REG_D31 for register in self.registers)

    @property
    def base(self) -> set[int]:
        """Registers that make the address."""
        if self.memory is None:
            return set(self.registers[:1]) if self.name in _MULTIPLE else set()
        return {r for r in (self.memory.base, self.memory.index) if r}

    @property
    def is_load(self) -> bool:
        return self.name in _LOADS

    @property
    def is_store(self) -> bool:
        return self.name in _STORES

    @property
    def is_fp(self) -> bool:
        return self.name.startswith("v") and self.name not in ("vldr", "vstr") and self.name not in _MULTIPLE

    @property
    def count(self) -> int:
        """Registers moved by a multiple load or store."""
        named = self.name in ("push", "pop", "vpush", "vpop")
        listed = len(self.registers) - (0 if named else 1)
        return 2 * listed if self.double else listed


_CONDITIONS = {"eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "cs", "cc"}


def _m0plus(i: _Decoded) -> int:
    if i.name in _LOADS | _STORES:
        return 2
    if i.name in _MULTIPLE:
        return 2 + i.count if i.branches else 1 + i.count
    if i.name in ("bl", "blx"):
        return 2
    return 3 if i.name in ("mrs", "msr", "dmb", "dsb", "isb") else 1


def _m4(i: _Decoded, previous: _Decoded | None) -> int:
    return _m4_alone(i, previous) + (_m4_interlock(i, previous) if previous is not None else 0)


def _m4_alone(i: _Decoded, previous: _Decoded | None) -> int:
    """The instruction itself, pipelined behind a load where that makes it cheaper."""
    after_load = previous is not None and previous.is_load
    if i.is_load:
        pipelined = after_load and previous is not None and previous.registers[0] not in i.base
        return (1 if pipelined else 2) + (1 if i.branches else 0)
    if i.is_store:
        indexed = i.memory is not None and i.memory.index != 0
        return 2 if indexed and not after_load else 1
    if i.name in ("ldrd", "strd"):
        return 3
    if i.name in _MULTIPLE:
        return 1 + i.count
    if i.name in ("vldr", "vstr"):
        return 3 if i.double else 2
    if i.name in ("sdiv", "udiv"):
        return 7
    if i.name in _FP_ACCUMULATE:
        return 3
    if i.name in _FP_SLOW:
        return 14
    return {"it": 0, "mrs": 2, "msr": 2, "vmrs": 1, "dsb": 4, "isb": 4, "tbb": 3, "tbh": 3}.get(i.name, 1)


def _m4_interlock(i: _Decoded, previous: _Decoded) -> int:
    """One cycle for each hazard with the instruction before."""
    memory = i.is_load or i.is_store or i.name in ("ldrd", "strd")
    previous_memory = previous.is_load or previous.is_store or previous.name in ("ldrd", "strd")
    plain = not (previous_memory or previous.is_fp or previous.name in _MULTIPLE or previous.memory is not None)
    stalls = int(memory and plain and bool(previous.writes & i.base))
    stalls += int((i.is_load or i.name in ("ldm", "pop")) and previous.is_store)
    stalls += int(memory and previous_memory and i.writeback and previous.writeback and bool(i.base & previous.base))
    if i.is_fp and previous.is_fp:
        used = i.reads & previous.writes
        accumulator = set(i.registers[:1]) if i.name in _FP_ACCUMULATE else set()
        stalls += int(bool(used - accumulator - {arm.ARM_REG_FPSCR, arm.ARM_REG_FPSCR_NZCV}))
    return stalls
