# SPDX-License-Identifier: Apache-2.0
"""Cycles of machine code: models of in-order cores with zero wait states (docs/timing.md), a file for every table.

A table has two functions: ``decoded`` of its architecture, and ``cost`` of a basic block that this has decoded. Costs are in half
cycles. A basic block has one cost, whatever came before it; what depends on the way it was reached (a taken branch) is its
``entry`` cost, added when the block does not follow the one before it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from kilobench.device.blocks import BlockCost


@cache
def table(name: str) -> Any:
    """The timing table of a core file: the module that has its name, with underscores."""
    return import_module(f"kilobench.device.timing.{name.replace('-', '_')}")


def block_cost(code: bytes, address: int, timing: str) -> BlockCost:
    """The cost by a timing table of the instructions in ``code``, which lie at ``address``.

    Raises ValueError for bytes that are no instructions.
    """
    made: BlockCost = table(timing).cost(table(timing).decoded(code, address))
    return made
