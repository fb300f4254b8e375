# SPDX-License-Identifier: Apache-2.0
"""Quantisers of PT2E (torch.ao.quantization, quantized_decomposed) and of torchao, by the names of their schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports.atencalls import Call, Ref
from kilobench.compile.imports.builder import INTEGERS, axis_of
from kilobench.compile.imports.program import Grid
from kilobench.compile.operator import require

_TYPES = {"dtype 1": "uint8", "dtype 2": "int8", "dtype 4": "int32"}
"""torch's ScalarType in the schema."""


def _numbers(call: Call, *names: str) -> NDArray[Any]:
    """A number or a constant tensor, as a vector."""
    name = next((name for name in names if call.has(name)), names[0])
    value = call.take(name, None)
    if isinstance(value, Ref):
        return call.builder.raw(value.name).reshape(-1)
    require(value is None or type(value) in (int, float), f"has {name}={value!r:.30}, which is no number or tensor")
    return np.array([0 if value is None else value])


def _grid(call: Call, axis: int | None) -> Grid:
    """Scales are float32, as torch computes with them."""
    scale = _numbers(call, "scale", "scales").astype(np.float32).astype(np.float64)
    zero = _numbers(call, "zero_point", "zero_points")
    with np.errstate(invalid="ignore"):
        whole = zero.astype(np.int64)
    require(np.array_equal(whole, zero), "has a zero point that is no whole number")
    whole = np.broadcast_to(whole, scale.shape) if whole.size == 1 else whole
    return Grid(scale, whole, None if scale.size == 1 else axis)


def _dtype(call: Call, name: str, x: str) -> str:
    code = call.take(name, None)
    require(code in _TYPES, f"has a type {str(code).removeprefix('dtype ')}; supported are int8 and uint8")
    dtype = _TYPES[code]
    low, high = call.take("quant_min", None), call.take("quant_max", None)
    full = (low, high) in ((None, None), INTEGERS[dtype])
    constant = call.builder.is_constant(x) or call.builder.values[x].dtype != "float32"
    require(full or constant, f"quantises to {low} to {high}; supported is all of {dtype}")
    call.idle("out_dtype", "eps")
    return dtype


def _axis(call: Call, x: str) -> int | None:
    """The axis that has scales: given, or that along which blocks have one entry."""
    shape = call.builder.shape(x)
    if call.has("axis"):
        return axis_of(call.integer("axis"), len(shape))
    if "block_size" not in call._left:
        return None
    blocks = call.ints("block_size")
    axes = [axis for axis, (block, size) in enumerate(zip(blocks, shape, strict=False)) if block != size]
    fits = len(blocks) == len(shape) and len(axes) <= 1 and all(blocks[axis] == 1 for axis in axes)
    require(fits, f"has blocks of {blocks} in {shape}; supported is a scale for all, or for each entry of one axis")
    return axes[0] if axes else None


def _quantise(call: Call) -> str:
    x = call.tensor("input")
    low, high = call.peek("quant_min"), call.peek("quant_max")
    name = "output_dtype" if call.has("output_dtype") else "dtype"
    dtype = _dtype(call, name, x)
    grid = _grid(call, _axis(call, x))
    call.idle("zero_point_domain")
    y = call.builder.quantise(x, grid, dtype)
    if call.builder.is_constant(y) and (low, high) != (None, None):
        require(type(low) is int and type(high) is int and low <= high, f"quantises to {low!r:.20} to {high!r:.20}")
        y = call.builder.constant(np.clip(call.builder.raw(y), int(low or 0), int(high or 0)), grid)
    return y


def _dequantise(call: Call) -> str:
    x = call.tensor("input")
    dtype = _dtype(call, "input_dtype" if call.has("input_dtype") else "dtype", x)
    call.only("output_dtype", None, "dtype 7")
    call.idle("zero_point_domain")
    require(call.builder.values[x].dtype == dtype, f"reads {call.builder.values[x].dtype} as {dtype}")
    return call.builder.dequantise(x, _grid(call, _axis(call, x)))


def _fake_quantise(call: Call) -> str:
    """To integers and back, as training does it (torch.fake_quantize_per_tensor_affine, and per channel)."""
    x = call.tensor("self", "input")
    bounds = call.integer("quant_min"), call.integer("quant_max")
    require(bounds == INTEGERS["int8"], f"quantises to {bounds[0]} to {bounds[1]}; supported is all of int8")
    axis = axis_of(call.integer("axis"), len(call.builder.shape(x))) if call.has("axis") else None
    grid = _grid(call, axis)
    return call.builder.dequantise(call.builder.quantise(x, grid, "int8"), grid)


FAKE_QUANTISERS: dict[str, Callable[[Call], Any]] = {
    "fake_quantize_per_tensor_affine": _fake_quantise,
    "fake_quantize_per_channel_affine": _fake_quantise,
}
QUANTISERS: dict[str, Callable[[Call], Any]] = {
    "quantize_per_tensor": _quantise,
    "quantize_per_channel": _quantise,
    "quantize_affine": _quantise,
    "dequantize_per_tensor": _dequantise,
    "dequantize_per_channel": _dequantise,
    "dequantize_affine": _dequantise,
}
