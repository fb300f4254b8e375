# SPDX-License-Identifier: Apache-2.0
"""ESP32-C3: an estimate (docs/timing.md)."""

from __future__ import annotations

from kilobench.device.blocks import BlockCost
from kilobench.device.rv32 import Decoded, decoded
from kilobench.device.timing import hazard3

__all__ = ["cost", "decoded"]


def cost(block: list[Decoded]) -> BlockCost:
    """The cost of a basic block."""
    return BlockCost(hazard3.cost(block).always, 4, len(block))
