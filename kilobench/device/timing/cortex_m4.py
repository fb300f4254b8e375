# SPDX-License-Identifier: Apache-2.0
"""Cortex-M4 (docs/timing.md)."""

from __future__ import annotations

from capstone import arm

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import MULTIPLE, Decoded, decoded

__all__ = ["cost", "decoded"]

_FP_ACCUMULATE = {"vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma", "vfnms"}
_FP_SLOW = {"vdiv", "vsqrt"}


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    cycles = sum(_cycles(i, previous) for i, previous in zip(block, [None, *block], strict=False))
    return BlockCost(2 * cycles + sum(i.misaligned for i in block), 2 + 2 * block[0].misaligned, len(block))


def _cycles(i: Decoded, previous: Decoded | None) -> int:
    return _alone(i, previous) + (_interlock(i, previous) if previous is not None else 0)


def _alone(i: Decoded, previous: Decoded | None) -> int:
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
    if i.name in MULTIPLE:
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


def _interlock(i: Decoded, previous: Decoded) -> int:
    """One cycle for each hazard with the instruction before."""
    memory = i.is_load or i.is_store or i.name in ("ldrd", "strd")
    previous_memory = previous.is_load or previous.is_store or previous.name in ("ldrd", "strd")
    plain = not (previous_memory or previous.is_fp or previous.name in MULTIPLE or previous.memory is not None)
    stalls = int(memory and plain and bool(previous.writes & i.base))
    stalls += int((i.is_load or i.name in ("ldm", "pop")) and previous.is_store)
    stalls += int(memory and previous_memory and i.writeback and previous.writeback and bool(i.base & previous.base))
    if i.is_fp and previous.is_fp:
        used = i.reads & previous.writes
        accumulator = set(i.registers[:1]) if i.name in _FP_ACCUMULATE else set()
        stalls += int(bool(used - accumulator - {arm.ARM_REG_FPSCR, arm.ARM_REG_FPSCR_NZCV}))
    return stalls
