"""Cycles of Cortex-M code: models of in-order cores with zero wait states (docs/timing.md).

Costs are in half cycles. A basic block has one cost, whatever came before it; what depends on the way it was reached
(a taken branch) is its ``entry`` cost, added when the block does not follow the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import capstone
from capstone import arm

Table = Literal["cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m33", "cortex-m4", "cortex-m7"]


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
_MULTIPLY_PREFIXES = ("mul", "mla", "mls", "smul", "smla", "smml", "smls", "smus", "smua", "umul", "umla", "umaal")
_M7_ALONE = {
    **{"sdiv": 6, "udiv": 6, "vdiv": 13, "vsqrt": 13},
    **{"dsb": 3, "isb": 3, "mrs": 1, "msr": 1, "tbb": 2, "tbh": 2},
}
_M3_MULTIPLY = {"mla": 1, "mls": 1, "umull": 3, "smull": 3, "umlal": 5, "smlal": 5}
"""Cycles more than on the M4; the long ones take 3 to 5 and 4 to 7, by their operands."""


def block_cost(code: bytes, address: int, table: Table) -> BlockCost:
    """The cost of the Thumb instructions in ``code``, which lie at ``address``.

    Raises ValueError for bytes that are no instructions.
    """
    instructions = list(_decoder().disasm(code, address))
    if sum(instruction.size for instruction in instructions) != len(code):
        raise ValueError(f"no instruction at {address + sum(i.size for i in instructions):#x}")
    decoded = [_Decoded(instruction) for instruction in instructions]
    if table == "cortex-m0plus":
        return BlockCost(sum(2 * _m0plus(i) for i in decoded), 2, len(decoded))
    if table == "cortex-m0":
        return BlockCost(sum(2 * _m0(i) for i in decoded), 4, len(decoded))
    if table == "cortex-m7":
        return BlockCost(2 * _m7(decoded), 2, len(decoded))
    misaligned = [instruction.size == 4 and instruction.address % 4 == 2 for instruction in instructions]
    cycles = sum(_m4(i, previous) for i, previous in zip(decoded, [None, *decoded], strict=False))
    if table == "cortex-m3":
        cycles += sum(_M3_MULTIPLY.get(i.name, 0) for i in decoded)
    return BlockCost(2 * cycles + sum(misaligned), 2 + 2 * misaligned[0], len(decoded))


@cache
def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8)
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
        self.conditional, self.sets_flags = conditional, bool(instruction.update_flags)
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
        return self.is_load or self.is_store or self.name in ("ldrd", "strd", "vldr", "vstr")

    @property
    def is_multiply(self) -> bool:
        return self.name.startswith(_MULTIPLY_PREFIXES)

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


def _m0(i: _Decoded) -> int:
    """As the M0+, but for barriers; the cycle more of its taken branches is in the block's entry (DDI 0432, table 3-1)."""
    if i.name == "blx":
        return 1
    return 4 if i.name in ("mrs", "msr", "dmb", "dsb", "isb") else _m0plus(i)


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


def _m7(instructions: list[_Decoded]) -> int:
    """Two instructions a cycle, in order: a scoreboard of when registers are ready; the block starts with all of them ready.

    An estimate after Arm's description of the pipeline, not fitted to silicon.
    """
    ready: dict[int, int] = {}
    multiplied: set[int] = set()  # what a multiplication wrote last; it can be added to one cycle sooner
    now, first = -1, None  # the cycle of the last issue; the instruction that still waits for a partner there
    for i in instructions:
        if i.name == "it":
            continue
        forwarded = i.accumulators & multiplied
        needed = max((ready.get(r, 0) - (r in forwarded) for r in i.sources), default=0)
        pairs = first is not None and needed <= now and _m7_pairs(first, i)
        if not pairs:
            now = max(now + 1, needed)
        alone = _m7_alone(i)
        for register in i.results:
            (multiplied.add if i.is_multiply else multiplied.discard)(register)
            ready[register] = now + alone + (_m7_latency(i) if register in i.registers else 1)
        first = None if pairs or alone else i
        now += alone
    return now + 1


def _m7_pairs(first: _Decoded, second: _Decoded) -> bool:
    """Whether both fit one cycle: nothing passes between them, and of every unit but the ALU there is one."""
    if _m7_alone(second) or first.branches:
        return False
    if first.results & second.sources or first.results & second.results - {arm.ARM_REG_CPSR}:
        return False
    both = ((first.is_memory, second.is_memory), (first.is_multiply, second.is_multiply), (first.is_fp, second.is_fp))
    return not any(a and b for a, b in both)


def _m7_alone(i: _Decoded) -> int:
    """Cycles after the first in which nothing else is issued; 0 for what can have a partner."""
    if i.name in _MULTIPLE:
        return max(1, (i.count + 1) // 2)
    return _M7_ALONE.get(i.name, int(i.branches and i.memory is not None))


def _m7_latency(i: _Decoded) -> int:
    """Cycles from issue until another instruction can use the result."""
    if i.is_fp:
        return 3
    return 2 if i.is_multiply or i.is_load or i.name in ("ldrd", "vldr") else 1
