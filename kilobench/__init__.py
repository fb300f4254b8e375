# SPDX-License-Identifier: Apache-2.0
"""Benchmarks neural networks on microcontrollers: accuracy, flash, RAM and cycles from one binary."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kilobench.report.interface import Report, measure, records

__all__ = ["Report", "measure", "records"]

# Read when torch loads OpenMP: threads that wait for each other sleep instead of spinning. On cores that other programs use
# too, spinning makes a training step several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """What Python programs use, imported when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kilobench.report import interface

    return getattr(interface, name)
