# SPDX-License-Identifier: Apache-2.0
"""Models that other tools wrote: a file to a program (tflite, onnx, exported), and a program to a graph (lowering)."""

from __future__ import annotations

from pathlib import Path

from kilobench.compile.graph import Graph
from kilobench.contracts import UserError


def load_model(path: Path, rounding: str = "once") -> Graph:
    """The graph of a file, by its ending."""
    raise UserError(f"{path}: files of this ending cannot be read yet")
