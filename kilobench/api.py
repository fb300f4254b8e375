# SPDX-License-Identifier: Apache-2.0
"""What contributions import: the contracts, and the engine's layers and tools, which are imported when they are asked for.

So that listing stays fast: nothing here imports torch or NumPy before use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kilobench.contracts import (
    Budget,
    CellError,
    Cost,
    DataUnavailable,
    Frontend,
    Job,
    Method,
    Network,
    Progress,
    Shape,
    Source,
    Split,
    Step,
    Task,
    Training,
    UserError,
    require_positive,
    silent,
    skip,
)

if TYPE_CHECKING:
    from kilobench import data
    from kilobench.boards import Board, Core, Memory, PowerMeter, PowerTrace
    from kilobench.compile.imports.exported import lower
    from kilobench.learn.latent import int8_grid, weights_through
    from kilobench.learn.layers import (
        Add,
        BinaryConv2d,
        FakeQuant,
        PiecewiseLinear,
        SwapAxes,
        XnorConv2d,
        approx_sign,
        scaled,
        sign,
    )
    from kilobench.learn.learned import LearnedClip, LearnedStep, ranges_through
    from kilobench.learn.narrow import narrow
    from kilobench.learn.pruning import ChannelRanking
    from kilobench.learn.quantise import fold_norms, quantise
    from kilobench.learn.rounding import narrowable, output_error, round_weights
    from kilobench.learn.slimming import Slimmable
    from kilobench.learn.tracing import exchange, trace

LATER = {
    "Add": "kilobench.learn.layers",
    "BinaryConv2d": "kilobench.learn.layers",
    "Board": "kilobench.boards",
    "ChannelRanking": "kilobench.learn.pruning",
    "Core": "kilobench.boards",
    "FakeQuant": "kilobench.learn.layers",
    "LearnedClip": "kilobench.learn.learned",
    "LearnedStep": "kilobench.learn.learned",
    "Memory": "kilobench.boards",
    "PiecewiseLinear": "kilobench.learn.layers",
    "PowerMeter": "kilobench.boards",
    "PowerTrace": "kilobench.boards",
    "Slimmable": "kilobench.learn.slimming",
    "SwapAxes": "kilobench.learn.layers",
    "XnorConv2d": "kilobench.learn.layers",
    "approx_sign": "kilobench.learn.layers",
    "data": "kilobench",
    "exchange": "kilobench.learn.tracing",
    "fold_norms": "kilobench.learn.quantise",
    "int8_grid": "kilobench.learn.latent",
    "lower": "kilobench.compile.imports.exported",
    "narrow": "kilobench.learn.narrow",
    "narrowable": "kilobench.learn.rounding",
    "output_error": "kilobench.learn.rounding",
    "quantise": "kilobench.learn.quantise",
    "ranges_through": "kilobench.learn.learned",
    "round_weights": "kilobench.learn.rounding",
    "scaled": "kilobench.learn.layers",
    "sign": "kilobench.learn.layers",
    "trace": "kilobench.learn.tracing",
    "weights_through": "kilobench.learn.latent",
}
"""Where names come from that are imported when they are asked for; kilobench.closure reads it, too."""

__all__ = [
    "Add",
    "BinaryConv2d",
    "Board",
    "Budget",
    "CellError",
    "ChannelRanking",
    "Core",
    "Cost",
    "DataUnavailable",
    "FakeQuant",
    "Frontend",
    "Job",
    "LearnedClip",
    "LearnedStep",
    "Memory",
    "Method",
    "Network",
    "PiecewiseLinear",
    "PowerMeter",
    "PowerTrace",
    "Progress",
    "Shape",
    "Slimmable",
    "Source",
    "Split",
    "Step",
    "SwapAxes",
    "Task",
    "Training",
    "UserError",
    "XnorConv2d",
    "approx_sign",
    "data",
    "exchange",
    "fold_norms",
    "int8_grid",
    "lower",
    "narrow",
    "narrowable",
    "output_error",
    "quantise",
    "ranges_through",
    "require_positive",
    "round_weights",
    "scaled",
    "sign",
    "silent",
    "skip",
    "trace",
    "weights_through",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "data":
        return importlib.import_module("kilobench.data")
    return getattr(importlib.import_module(LATER[name]), name)
