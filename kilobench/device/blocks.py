# SPDX-License-Identifier: Apache-2.0
"""What timing tables say of a basic block."""

from __future__ import annotations

from dataclasses import dataclass

MISPREDICTED = 2
"""Half cycles of a branch that was predicted to be taken, and is not (block_hook.c)."""


@dataclass(frozen=True)
class BlockCost:
    """Half cycles of a basic block: always, and on top when it is entered by a taken branch; and its instructions."""

    always: int
    entry: int
    instructions: int
    backward: int = 0
    """Of a core that predicts the backward branch which was taken last to be taken again: the address of one that ends it."""
    late: bool = False
    """Such a branch is not predicted where a jump leads to the block: its word is fetched at once."""
