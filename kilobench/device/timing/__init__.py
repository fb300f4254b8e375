# SPDX-License-Identifier: Apache-2.0
"""Cycles of Cortex-M code: models of in-order cores with zero wait states (docs/timing.md), a file for every table.

Costs are in half cycles. A basic block has one cost, whatever came before it; what depends on the way it was reached
(a taken branch) is its ``entry`` cost, added when the block does not follow the one before it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from kilobench.device.thumb import BlockCost, Decoded, decoded


@cache
def table(name: str) -> Callable[[list[Decoded]], BlockCost]:
    """The timing table of a core file: the function ``cost`` of the module that has its name, with underscores."""
    cost: Callable[[list[Decoded]], BlockCost] = import_module(f"kilobench.device.timing.{name.replace('-', '_')}").cost
    return cost


def block_cost(code: bytes, address: int, timing: str) -> BlockCost:
    """The cost by a timing table of the Thumb instructions in ``code``, which lie at ``address``.

    Raises ValueError for bytes that are no instructions.
    """
    return table(timing)(decoded(code, address))
