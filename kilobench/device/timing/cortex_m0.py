# SPDX-License-Identifier: Apache-2.0
"""Cortex-M0 (docs/timing.md)."""

from __future__ import annotations

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import Decoded, decoded
from kilobench.device.timing.cortex_m0plus import cycles

__all__ = ["cost", "decoded"]


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return BlockCost(sum(2 * _cycles(i) for i in block), 4, len(block))


def _cycles(i: Decoded) -> int:
    """As the M0+, but for barriers; the cycle more of its taken branches is in the block's entry (DDI 0432, table 3-1)."""
    if i.name == "blx":
        return 1
    return 4 if i.name in ("mrs", "msr", "dmb", "dsb", "isb") else cycles(i)
