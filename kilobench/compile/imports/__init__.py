# SPDX-License-Identifier: Apache-2.0
"""Models that other tools wrote: a file to a program (tflite, onnx, exported), and a program to a graph (lowering)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from kilobench.compile.graph import Graph
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.program import Program
from kilobench.compile.imports.walk import Rounding
from kilobench.contracts import UserError

LOADERS = {".tflite": "tflite:load_tflite", ".onnx": "onnx:load_onnx", ".pt2": "exported:load_pt2"}
"""By a file's ending, the module here that reads such files and its function."""
USUAL: dict[str, Rounding] = {".tflite": "tflite"}
"""How int8 results are rounded, by a file's ending, where nobody says: as the tool that the file is of does; else once."""
MAX_FILE_BYTES = 2**27
"""Of a model's file: more than any board holds."""


def load_model(path: Path, rounding: Rounding | None = None) -> Graph:
    """The graph of a file, whose ending says what it is, and how it is rounded unless that is given.

    Raises UserError, in one line that begins with the path.
    """
    try:
        load = _loader(path)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise UserError(f"it has more than {MAX_FILE_BYTES} bytes")
        return lower_program(load(data), rounding or usual_rounding(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def usual_rounding(path: Path) -> Rounding:
    """By its ending."""
    return USUAL.get(path.suffix.lower(), "once")


def _loader(path: Path) -> Callable[[bytes], Program]:
    """What reads such a file, imported now: each needs a package of its own."""
    if path.suffix not in LOADERS:
        raise UserError(f"it ends in {path.suffix!r}; supported are {', '.join(LOADERS)}")
    module, _, name = LOADERS[path.suffix].partition(":")
    load: Callable[[bytes], Program] = getattr(importlib.import_module(f"kilobench.compile.imports.{module}"), name)
    return load
