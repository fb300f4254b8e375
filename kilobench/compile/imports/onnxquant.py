# SPDX-License-Identifier: Apache-2.0
"""Quantised operators of ONNX and of the domain com.microsoft, each as dequantise -> operator -> quantise.

After https://onnx.ai/onnx/operators/ and ONNX Runtime's ContribOperators.md. The module qdq makes integers of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kilobench.compile.imports.builder import axis_of
from kilobench.compile.imports.onnxlayers import convolved, gemm, global_average, matrix_product, pooled, softmax
from kilobench.compile.imports.onnxmodel import Op, Translate
from kilobench.compile.imports.program import Grid
from kilobench.compile.operator import require


def _quantise(op: Op, x: str, scale: str, zero: str, dtype: str = "uint8", axis: int = 1) -> str:
    """QuantizeLinear; the type is that of the zero point, or ``dtype`` where none is given."""
    dtype = op.builder.values[zero].dtype if zero else dtype
    return op.builder.quantise(x, _read_grid(op, scale, zero, axis, len(op.builder.shape(x))), dtype)


def _dequantise(op: Op, x: str, scale: str, zero: str, axis: int = 1) -> str:
    """DequantizeLinear."""
    if zero and op.builder.values[zero].dtype != op.builder.values[x].dtype:
        raise ValueError(f"reads {op.builder.values[x].dtype} with a zero point of {op.builder.values[zero].dtype}")
    return op.builder.dequantise(x, _read_grid(op, scale, zero, axis, len(op.builder.shape(x))))


def _read_grid(op: Op, scale: str, zero: str, axis: int, rank: int) -> Grid:
    """A grid of constants: a scale, or one for every entry along an axis."""
    scales = np.atleast_1d(op.builder.raw(scale))
    require(scales.dtype == np.float32, f"has a scale of {scales.dtype}; supported is float32")
    zeros = np.atleast_1d(op.builder.raw(zero)) if zero else np.zeros(scales.shape, dtype=np.int64)
    require(zeros.dtype.kind in "iu", f"has a zero point of {zeros.dtype}")
    flat = max(scales.shape) == scales.size and zeros.shape == scales.shape
    require(
        flat,
        f"has scales of {scales.shape} and zero points of {zeros.shape}; supported is one for each entry of an axis",
    )
    axes = None if scales.size == 1 else axis_of(axis, rank)
    return Grid(scales.reshape(-1).astype(np.float64), zeros.reshape(-1).astype(np.int64), axes)


def _quantize_linear(op: Op) -> str:
    op.only("block_size", 0)
    op.only("precision", 0)
    op.take("saturate", 1)
    types = {0: "uint8", 2: "uint8", 3: "int8"}
    code = op.take("output_dtype", 0)
    require(code in types, f"makes the type {code}; supported are int8 and uint8")
    return _quantise(op, op.input(0), op.input(1), op.optional(2), types[code], op.take("axis", 1))


def _dequantize_linear(op: Op) -> str:
    op.only("block_size", 0)
    require(op.take("output_dtype", 0) in (0, 1), "makes another type than float32")
    return _dequantise(op, op.input(0), op.input(1), op.optional(2), op.take("axis", 1))


def _map(op: Op, first: int) -> str:
    """A map with scale and zero point, which are three inputs."""
    return _dequantise(op, op.input(first), op.input(first + 1), op.optional(first + 2))


def _quantised(op: Op, y: str, first: int, dtype: str = "uint8") -> str:
    """The output, whose scale and zero point are two inputs."""
    return _quantise(op, y, op.input(first), op.optional(first + 1), dtype)


def _layer(op: Op, axis: int) -> tuple[str, str]:
    """Map and weight of a layer, whose weight has scales along an axis."""
    return _map(op, 0), _dequantise(op, op.input(3), op.input(4), op.optional(5), axis)


def _bias(op: Op, index: int) -> str:
    """A bias in steps of the products, if there is one."""
    if not op.has(index):
        return ""
    products = op.builder.raw(op.input(1)).reshape(-1).astype(np.float64) * op.builder.raw(op.input(4)).reshape(-1)
    grid = Grid(products, np.zeros(products.shape, dtype=np.int64), None if products.size == 1 else 0)
    return op.builder.dequantise(op.input(index), grid)


def _qlinear_conv(op: Op) -> str:
    x, weight = _layer(op, axis=0)
    return _quantised(op, convolved(op, x, weight, _bias(op, 8)), 6)


def _qlinear_matmul(op: Op) -> str:
    return _quantised(op, matrix_product(op, *_layer(op, axis=1)), 6)


def _qgemm(op: Op) -> str:
    a, b = _layer(op, axis=0 if op.node.attrs.get("transB") else 1)
    y = gemm(op, a, b, _bias(op, 6))
    return _quantised(op, y, 7) if op.has(7) else y


def _binary(kind: str) -> Translate:
    return lambda op: _quantised(op, op.builder.binary(kind, _map(op, 0), _map(op, 3)), 6)


def _unary(function: Callable[[Op, str], str]) -> Translate:
    return lambda op: _quantised(op, function(op, _map(op, 0)), 3)


def _channels_first(function: Callable[[Op, str], str]) -> Callable[[Op, str], str]:
    def pool(op: Op, x: str) -> str:
        op.only("channels_last", 0)
        return function(op, x)

    return pool


def _concat(op: Op) -> str:
    require(len(op.inputs) % 3 == 2, f"has {len(op.inputs)} inputs, not 2 and 3 for each part")
    parts = [_map(op, first) for first in range(2, len(op.inputs), 3)]
    grid = _read_grid(op, op.input(0), op.optional(1), 0, 1)
    dtype = op.builder.values[op.input(1)].dtype
    return op.builder.quantise(op.builder.concat(parts, op.take("axis", int)), grid, dtype)


def _leaky(op: Op, x: str) -> str:
    return op.builder.node("leaky_relu", x, slope=op.take("alpha", float(np.float32(0.01))))


QUANTISED: dict[str, Translate] = {
    "DequantizeLinear": _dequantize_linear,
    "QGemm": _qgemm,
    "QLinearAdd": _binary("add"),
    "QLinearAveragePool": _unary(_channels_first(lambda op, x: pooled("avg_pool", op, x))),
    "QLinearConcat": _concat,
    "QLinearConv": _qlinear_conv,
    "QLinearGlobalAveragePool": _unary(_channels_first(global_average)),
    "QLinearLeakyRelu": _unary(_leaky),
    "QLinearMatMul": _qlinear_matmul,
    "QLinearMul": _binary("mul"),
    "QLinearSigmoid": _unary(lambda op, x: op.builder.node("sigmoid", x)),
    "QLinearSoftmax": _unary(lambda op, x: softmax(op, x, op.take("opset", int))),
    "QuantizeLinear": _quantize_linear,
}
