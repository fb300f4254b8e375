# SPDX-License-Identifier: Apache-2.0
"""ONNX files of a few lines, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper, parser

_CODES = {"float": onnx.TensorProto.FLOAT, "int8": onnx.TensorProto.INT8, "uint8": onnx.TensorProto.UINT8}
_CODES |= {"int64": onnx.TensorProto.INT64}


def model(
    body: str,
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    shape: Sequence[int | str] = (1, 4, 9, 10),
    opset: int = 17,
    outputs: str = "y",
    dtypes: tuple[str, str] = ("float", "float"),
) -> onnx.ModelProto:
    """A file of these operators, in the syntax of onnx.parser, between ``x`` and the outputs."""
    arrays = {name: np.asarray(array) for name, array in (constants or {}).items()}
    graph = parser.parse_graph(f"g (float[1] x) => (float[1] {outputs.replace(' ', ', float[1] ')}) {{ {body} }}")
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("x", _CODES[dtypes[0]], shape))
    graph.output.extend(helper.make_tensor_value_info(name, _CODES[dtypes[1]], None) for name in outputs.split())
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


def saved(proto: Any, folder: Path) -> Path:
    """The path of a file with it."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Random ones, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
