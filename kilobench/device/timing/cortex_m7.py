# SPDX-License-Identifier: Apache-2.0
"""Cortex-M7: an estimate (docs/timing.md)."""

from __future__ import annotations

from capstone import arm

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import MULTIPLE, Decoded, decoded

__all__ = ["cost", "decoded"]

_ALONE = {
    **{"sdiv": 6, "udiv": 6, "vdiv": 13, "vsqrt": 13},
    **{"dsb": 3, "isb": 3, "mrs": 1, "msr": 1, "tbb": 2, "tbh": 2},
}


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return BlockCost(2 * _cycles(block), 1, len(block))


def _cycles(instructions: list[Decoded]) -> int:
    """Two instructions a cycle, in order: a scoreboard of when registers are ready; the block starts with all of them ready.

    An estimate after Arm's description of the pipeline.
    """
    ready: dict[int, int] = {}
    multiplied: set[int] = set()  # what a multiplication wrote last; it can be added to one cycle sooner
    now, first = -1, None  # the cycle of the last issue; the instruction that still waits for a partner there
    for i in instructions:
        if i.name == "it":
            continue
        forwarded = i.accumulators & multiplied
        needed = max((ready.get(r, 0) - (r in forwarded) for r in i.sources), default=0)
        pairs = first is not None and needed <= now and _pairs(first, i)
        if not pairs:
            now = max(now + 1, needed)
        alone = _alone(i)
        for register in i.results:
            (multiplied.add if i.is_multiply else multiplied.discard)(register)
            ready[register] = now + alone + (_latency(i) if register in i.registers else 1)
        first = None if pairs or _issues_alone(i) else i
        now += alone
    return now + 1


def _pairs(first: Decoded, second: Decoded) -> bool:
    """Whether both fit one cycle: nothing passes between them, and of every unit but the ALU there is one."""
    if _issues_alone(second) or first.branches:
        return False
    if first.results & second.sources or first.results & second.results - {arm.ARM_REG_CPSR}:
        return False
    both = ((first.is_memory, second.is_memory), (first.is_multiply, second.is_multiply), (first.is_fp, second.is_fp))
    return not any(a and b for a, b in both)


def _issues_alone(i: Decoded) -> bool:
    return i.name in MULTIPLE or _alone(i) > 0


def _alone(i: Decoded) -> int:
    """Cycles after the first in which nothing else is issued."""
    if i.name in MULTIPLE:
        return (i.count + 1) // 2 - 1 + i.branches
    return _ALONE.get(i.name, int(i.branches and i.memory is not None))


def _latency(i: Decoded) -> int:
    """Cycles from issue until another instruction can use the result."""
    if i.is_fp:
        return 3
    return 2 if i.is_multiply or i.is_load or i.name in ("ldrd", "vldr") else 1
