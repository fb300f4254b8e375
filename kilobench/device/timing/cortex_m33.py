# SPDX-License-Identifier: Apache-2.0
"""Cortex-M33: an estimate, the M4's table unchanged (docs/timing.md)."""

from __future__ import annotations

from kilobench.device.blocks import BlockCost
from kilobench.device.thumb import Decoded, decoded
from kilobench.device.timing import cortex_m4

__all__ = ["cost", "decoded"]


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return cortex_m4.cost(block)
