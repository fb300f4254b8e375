# SPDX-License-Identifier: Apache-2.0
"""What contributions import: the contracts, and the engine's layers and tools, which are imported when they are asked for.

So that listing stays fast: nothing here imports torch or NumPy before use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kilobench.contracts import (
    Board,
    Budget,
    CellError,
    Core,
    Cost,
    DataUnavailable,
    Job,
    Memory,
    Method,
    Network,
    PowerMeter,
    PowerTrace,
    Progress,
    Shape,
    Source,
    Split,
    Task,
    Training,
    UserError,
    require_positive,
    silent,
)

if TYPE_CHECKING:
    from kilobench import data
    from kilobench.compile.imports.exported import lower
    from kilobench.learn.latent import int8_grid, weights_through
    from kilobench.learn.layers import Add, FakeQuant, SwapAxes, XnorConv2d, scaled
    from kilobench.learn.pruning import ChannelRanking
    from kilobench.learn.quantise import fold_norms, quantise
    from kilobench.learn.slimming import Slimmable
    from kilobench.learn.tracing import exchange, trace

LATER = {
    "Add": "kilobench.learn.layers",
    "ChannelRanking": "kilobench.learn.pruning",
    "FakeQuant": "kilobench.learn.layers",
    "Slimmable": "kilobench.learn.slimming",
    "SwapAxes": "kilobench.learn.layers",
    "XnorConv2d": "kilobench.learn.layers",
    "data": "kilobench",
    "exchange": "kilobench.learn.tracing",
    "fold_norms": "kilobench.learn.quantise",
    "int8_grid": "kilobench.learn.latent",
    "lower": "kilobench.compile.imports.exported",
    "quantise": "kilobench.learn.quantise",
    "scaled": "kilobench.learn.layers",
    "trace": "kilobench.learn.tracing",
    "weights_through": "kilobench.learn.latent",
}
"""Where names come from that are imported when they are asked for; kilobench.closure reads it, too."""

__all__ = [
    "Add",
    "Board",
    "Budget",
    "CellError",
    "ChannelRanking",
    "Core",
    "Cost",
    "DataUnavailable",
    "FakeQuant",
    "Job",
    "Memory",
    "Method",
    "Network",
    "PowerMeter",
    "PowerTrace",
    "Progress",
    "Shape",
    "Slimmable",
    "Source",
    "Split",
    "SwapAxes",
    "Task",
    "Training",
    "UserError",
    "XnorConv2d",
    "data",
    "exchange",
    "fold_norms",
    "int8_grid",
    "lower",
    "quantise",
    "require_positive",
    "scaled",
    "silent",
    "trace",
    "weights_through",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "data":
        return importlib.import_module("kilobench.data")
    return getattr(importlib.import_module(LATER[name]), name)
