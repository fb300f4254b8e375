# SPDX-License-Identifier: Apache-2.0
"""Cortex-M33 (docs/timing.md)."""

from __future__ import annotations

from capstone import arm

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import MULTIPLE, Decoded, decoded

_OPERAND_2 = {"add", "adc", "sub", "sbc", "rsb", "and", "orr", "orn", "eor", "bic", "mvn", "cmp", "cmn", "tst", "teq"}
_COMPARE = {"cmp", "cmn", "tst", "teq"}
_TWO_STAGES = ("uxta", "sxta", "pkh", "sel", "usad", "ssat", "usat", "qadd", "qsub", "qdadd", "qdsub")
_SIMD = ("sadd", "ssub", "shadd", "shsub", "uadd", "usub", "uhadd", "uhsub", "uqadd", "uqsub")
_FP_ACCUMULATE = {"vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma", "vfnms"}
_MORE = {
    **{"ldrd": 1, "strd": 1, "sdiv": 6, "udiv": 6, "vdiv": 13, "vsqrt": 13},
    **{"dsb": 3, "isb": 3, "mrs": 1, "msr": 1, "tbb": 2, "tbh": 2},
}

__all__ = ["cost", "decoded"]


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return BlockCost(2 * _cycles(block), 2 + 2 * block[0].misaligned, len(block))


def _cycles(instructions: list[Decoded]) -> int:
    """One instruction a cycle, in order, and some with the one before: a scoreboard of when registers are ready.

    The block starts with all of them ready.
    """
    ready: dict[int, int] = {}
    late: set[int] = set()  # what came out of the second stage; stores and additions to a product take it there
    now, fpu_free, previous = -1, 0, None
    for i in instructions:
        together = previous is not None and _together(previous, i)
        if together and previous is not None:
            now += i.backwards and i.conditional and _sets_flags(previous)
        else:
            forwarded = late & (i.accumulators | (i.sources - i.base if i.is_store else set()))
            needed = max((ready.get(r, 0) - (r in forwarded) for r in i.sources), default=0)
            now = max(now + 1, needed, fpu_free if i.is_fp else 0) + _more(i)
        fpu_free = now + 3 if i.name in _FP_ACCUMULATE else fpu_free
        for register in i.results:
            latency = _latency(i) if register in i.registers else 1
            ready[register] = now + latency
            (late.add if latency > 1 and not i.is_fp else late.discard)(register)
        previous = i
    return now + 1


def _together(first: Decoded, second: Decoded) -> bool:
    """Whether both are issued in one cycle: of 16 bits, and the second is a branch or IT, or the first a NOP."""
    if first.wide or second.wide or first.branches:
        return False
    if second.name == "b":
        return second.conditional or not _sets_flags(first)
    return second.name == "it" or first.name == "nop"


def _operation(i: Decoded) -> str:
    """Its name, without the S of one that sets flags."""
    return i.name.removesuffix("s") if i.sets_flags else i.name


def _sets_flags(i: Decoded) -> bool:
    return i.sets_flags or i.name in _COMPARE


def _more(i: Decoded) -> int:
    """Cycles beyond the first."""
    if i.name in MULTIPLE:
        return i.count - 1 + i.branches
    if i.branches and i.memory is not None:
        return 1 + _MORE.get(i.name, 0)
    if i.double and i.name in ("vldr", "vstr"):
        return 1
    if _sets_flags(i) and (_operation(i) == "mul" or _shifted_constant(i)):
        return 1
    pair_to_core = i.name == "vmov" and len(i.registers) > 2 and i.registers[0] in _CORE
    return 1 if pair_to_core else _MORE.get(i.name, 0)


_CORE = range(arm.ARM_REG_R0, arm.ARM_REG_R12 + 1)


def _latency(i: Decoded) -> int:
    """Cycles from issue until another instruction can use the result."""
    if i.name in _FP_ACCUMULATE:
        return 3
    if i.is_fp or i.is_multiply or i.is_load or i.name == "ldrd" or i.name.startswith(_TWO_STAGES + _SIMD):
        return 2
    return 2 if _operation(i) in _OPERAND_2 and (i.shifts or _shifted_constant(i)) else 1


def _shifted_constant(i: Decoded) -> bool:
    """Whether a constant is one of 8 bits that are shifted, and no pattern of bytes."""
    if not i.wide or _operation(i) not in _OPERAND_2 or not i.immediates:
        return False
    value = i.immediates[-1] & 0xFFFFFFFF
    low, high = value & 0xFF, value >> 8 & 0xFF
    plain = value < (4096 if _operation(i) in ("add", "sub") else 256)
    return not plain and value not in (low * 0x00010001, high * 0x01000100, low * 0x01010101)
