# SPDX-License-Identifier: Apache-2.0
"""What an imported network computes, and what it is compared with: onnxruntime and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph
from kilobench.compile.imports.program import Program
from kilobench.compile.simulate import simulate


def run(graph: Graph, program: Program, x: NDArray[Any]) -> list[NDArray[Any]]:
    """Outputs of a graph for inputs of the file's shape, [n, ...], in the shapes that the file says."""
    tensor = graph.tensors[graph.input]
    maps = simulate(graph, np.ascontiguousarray(last(x)).reshape(-1, *tensor.shape))
    shapes = [program.values[name].shape for name in program.outputs]
    return [first(maps[name], shape) for name, shape in zip(graph.outputs, shapes, strict=True)]


def last(x: NDArray[Any]) -> NDArray[Any]:
    """[n, channels, ...] with its channels last, if it has more axes."""
    return np.moveaxis(x, 1, -1) if x.ndim in (3, 4) else x


def first(y: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A map [n, h, w, c] in the shape that a file says of one."""
    if len(shape) not in (3, 4):
        return y.reshape(len(y), *shape[1:])
    return np.moveaxis(y.reshape(len(y), *shape[2:], shape[1]), -1, 1)


def reference(path: Path, x: NDArray[Any]) -> list[NDArray[Any]]:
    """Outputs of an .onnx file by onnxruntime, one input at a time, without what it would fuse.

    Where it multiplies bytes their sums saturate in 16 bits on processors with AVX2 alone, but for a form that fusing brings.
    """
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    bytewise = any(node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm") for node in onnx.load(path).graph.node)
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_EXTENDED if bytewise else level.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: x[i : i + 1]}) for i in range(len(x))]
    return [np.concatenate([np.atleast_1d(row[i]) for row in rows]) for i in range(len(rows[0]))]


def close(found: NDArray[Any], wanted: NDArray[Any], tolerance: float = 1e-4) -> bool:
    """Whether floats differ by no more than this share of the largest; other numbers not at all."""
    if wanted.dtype != np.float32:
        return found.shape == wanted.shape and np.array_equal(found, wanted)
    return found.shape == wanted.shape and bool(abs(found - wanted).max() <= tolerance * max(abs(wanted).max(), 1e-3))
