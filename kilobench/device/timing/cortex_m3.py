# SPDX-License-Identifier: Apache-2.0
"""Cortex-M3: the M4's table with other multiplications (docs/timing.md)."""

from __future__ import annotations

from dataclasses import replace

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import Decoded, decoded
from kilobench.device.timing import cortex_m4

__all__ = ["cost", "decoded"]

_MULTIPLY = {"mla": 1, "mls": 1, "umull": 3, "smull": 3, "umlal": 5, "smlal": 5}
"""Cycles more than on the M4; the long ones take 3 to 5 and 4 to 7, by their operands."""


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    as_m4 = cortex_m4.cost(block)
    return replace(as_m4, always=as_m4.always + 2 * sum(_MULTIPLY.get(i.name, 0) for i in block))
