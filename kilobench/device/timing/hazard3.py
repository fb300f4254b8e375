# SPDX-License-Identifier: Apache-2.0
"""Hazard3 as in the RP2350 (docs/timing.md)."""

from __future__ import annotations

from kilobench.device.blocks import BlockCost
from kilobench.device.rv32 import Decoded, decoded

__all__ = ["cost", "decoded"]

_DIVIDE = {"div", "divu", "rem", "remu"}


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    cycles = sum(_cycles(i, previous) for i, previous in zip(block, [None, *block], strict=False))
    first, last = block[0], block[-1]
    late = last.backward and first.address // 4 == last.address // 4
    return BlockCost(2 * cycles, 2 + 2 * first.misaligned, len(block), last.address if last.backward else 0, late)


def _cycles(i: Decoded, previous: Decoded | None) -> int:
    """Of one instruction; a jump's second cycle is in the entry of the block that it leads to."""
    if i.name in _DIVIDE:
        alone = 19
    elif i.name.startswith("amo"):
        alone = 4
    else:
        alone = 1
    return alone + i.waits_for(previous)
