# SPDX-License-Identifier: Apache-2.0
"""Cortex-M0+ (docs/timing.md)."""

from __future__ import annotations

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import LOADS, MULTIPLE, STORES, Decoded, decoded

__all__ = ["cost", "decoded"]


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return BlockCost(sum(2 * cycles(i) for i in block), 2, len(block))


def cycles(i: Decoded) -> int:
    """Of one instruction, without its taken branch."""
    if i.name in LOADS | STORES:
        return 2
    if i.name in MULTIPLE:
        return 2 + i.count if i.branches else 1 + i.count
    if i.name in ("bl", "blx"):
        return 2
    return 3 if i.name in ("mrs", "msr", "dmb", "dsb", "isb") else 1
