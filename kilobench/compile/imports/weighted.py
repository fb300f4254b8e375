# SPDX-License-Identifier: Apache-2.0
"""Convolutions, dense layers, and factors per channel, in float32 and int8: one step each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile import int8
from kilobench.compile.graph import Tensor
from kilobench.compile.imports.constants import along, raw, real
from kilobench.compile.imports.layout import Order, order_of, sizes
from kilobench.compile.imports.program import Node, Value
from kilobench.compile.imports.shapes import map_axes
from kilobench.compile.imports.simplify import grid_of
from kilobench.compile.imports.walk import Params, Placed, Walk
from kilobench.compile.operator import require

Grid = tuple[float, int]


def conv(walk: Walk, node: Node) -> None:
    """A convolution; where every channel has kernels of its own, a depthwise one."""
    integer = walk.integer(node, node.inputs[:1])
    axes = map_axes(walk.program)
    height, width, channels = (order_of((axis,), walk.values[node.inputs[0]].shape) for axis in axes)
    source = walk.blocked(walk.typed(node.inputs[0], integer), (height, width, channels))
    out, taken, *kernel = walk.values[node.inputs[1]].shape
    top, left, bottom, right = node.attrs["padding"]
    attrs = {
        "kernel": (kernel[0], kernel[1]),
        "stride": node.attrs["stride"],
        "padding": (top, left),
        "extra": (bottom - top, right - left),
        "dilation": node.attrs["dilation"],
        "relu": "relu" in node.attrs,
    }
    depthwise = taken == 1 and node.attrs["groups"] > 1
    if not depthwise:
        attrs |= {"groups": node.attrs["groups"]} | _bits(walk, node)
    params = dict(_parameters(walk, node, source, integer, (out, taken, *kernel), (0, 2, 3, 1)))
    if depthwise:
        params["weight"] = params["weight"][..., 0].transpose(1, 2, 0)
    shape = walk.values[node.output].shape
    made = [shape[axis] for axis in axes]
    kind = "depthwise_conv2d" if depthwise else "conv2d"
    order = order_of(axes, shape)
    grid = grid_of(walk.values[node.output]) if integer else None
    walk.emit(kind, node, [source], made, order, attrs=attrs, params=params, grid=grid)


def dense(walk: Walk, node: Node) -> None:
    """A convolution over the whole map that holds its input, as that lies; a pointwise one over a last axis alone."""
    integer = walk.integer(node, node.inputs[:1])
    shape = walk.values[node.inputs[0]].shape
    grid = grid_of(walk.values[node.output]) if integer else None
    out = walk.values[node.output].shape
    if prod(shape[:-1]) == 1:
        placed = walk.typed(node.inputs[0], integer, settled=False)
        source = placed.tensor
        weight = (out[-1], *(placed.shape[axis] for axis in sorted(placed.order)))
        axes = (0, *(1 + sorted(placed.order).index(axis) for axis in placed.order))
        params = _parameters(walk, node, source, integer, weight, axes, source.shape)
        kernel, made = source.shape[:2], (1, 1, out[-1])
        order = order_of((len(out) - 1,), out)
    else:
        placed = walk.typed(node.inputs[0], integer)
        last = len(shape) - 1
        before = tuple(axis for axis in placed.order if axis != last)
        placed = walk.ordered(placed, before + order_of((last,), shape))
        source = placed.tensor
        if source.shape[2] != shape[last]:
            source = walk.shaped(placed, (1, *sizes((before,), shape), shape[last]))
        params = _parameters(walk, node, source, integer, (out[-1], shape[last]), (0, 1), (1, 1, shape[last]))
        kernel, made = (1, 1), (*source.shape[:2], out[-1])
        order = before + order_of((last,), out)
    attrs = {"kernel": kernel, "stride": (1, 1), "padding": (0, 0), "relu": "relu" in node.attrs} | _bits(walk, node)
    walk.emit("conv2d", node, [source], made, order, attrs=attrs, params=params, grid=grid)


def scale(walk: Walk, node: Node, name: str, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> None:
    """Factors and offsets that differ along some axes: a 1x1 depthwise convolution; its channels are these and all behind."""
    integer = walk.integer(node, [name])
    placed = walk.typed(name, integer)
    first, after = channels_of(placed, (factor, offset))
    source = walk.shaped(placed, first)
    walk.has_room(8 * first[2])
    factors, offsets = (per_channel(array, placed, after) for array in (factor, offset))
    factors, offsets = (np.broadcast_to(array, (first[2],)) for array in (factors, offsets))
    grid = grid_of(walk.values[node.output]) if integer else None
    if grid is not None:
        params = int8.conv_params(factors.reshape(-1, 1, 1, 1), offsets, source, _like(grid))
        params["shift"] = walk.shifts(params["shift"])
    else:
        params = {"weight": factors.astype(np.float32)[:, None, None, None], "bias": offsets.astype(np.float32)}
    params["weight"] = params["weight"].reshape(1, 1, -1)
    attrs = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "relu": "relu" in node.attrs}
    walk.emit("depthwise_conv2d", node, [source], source.shape, placed.order, attrs=attrs, params=params, grid=grid)


def channels_of(placed: Placed, arrays: tuple[NDArray[Any], ...]) -> tuple[tuple[int, int, int], Order]:
    """The shape of a map whose channels are all axes from the first on along which the arrays differ; and these axes."""
    rank, shape = len(placed.shape), placed.shape
    varying = {rank - array.ndim + axis for array in arrays for axis, size in enumerate(array.shape) if size > 1}
    if not varying:
        return placed.tensor.shape, ()
    after = placed.order[min(placed.order.index(axis) for axis in varying) :]
    channels = prod(shape[axis] for axis in after)
    height, width, last = placed.tensor.shape
    return ((height, width, last) if last == channels else (1, height * width * last // channels, channels)), after


def per_channel(array: NDArray[Any], placed: Placed, after: Order) -> NDArray[Any]:
    """Numbers that broadcast with a value, one for each place of these of its axes as they lie; a scalar as one."""
    if array.size == 1:
        return array.reshape(1)
    array = array.reshape((1,) * (len(placed.shape) - array.ndim) + array.shape)
    ordered = array.transpose(*after, *(axis for axis in range(array.ndim) if axis not in after))
    kept = ordered.reshape([ordered.shape[i] for i in range(len(after))])
    return np.broadcast_to(kept, [placed.shape[axis] for axis in after]).reshape(-1)


def _parameters(
    walk: Walk,
    node: Node,
    source: Tensor,
    integer: bool,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    taps: tuple[int, int, int] | None = None,
) -> Params:
    """Weights in another shape, with their axes in another order, then as [O, *taps], and what goes with them."""
    weight = walk.values[node.inputs[1]]
    bias = walk.values[node.inputs[2]] if len(node.inputs) == 3 else None
    walk.has_room(prod(weight.shape) * (1 if integer else 4))

    def laid(array: NDArray[Any]) -> NDArray[Any]:
        ordered = array.reshape(shape).transpose(axes)
        return ordered if taps is None else ordered.reshape(-1, *taps)

    grid = grid_of(walk.values[node.output])
    if not integer or grid is None:
        require(node.name not in walk.narrow, "is marked for weights of few bits, but is none of int8")
        biases = np.zeros(shape[0]) if bias is None else real(bias)
        return {"weight": laid(real(weight)).astype(np.float32), "bias": biases.astype(np.float32)}
    output = _like(grid)
    if (given := _as_given(walk, node, weight, bias, source, output)) is not None:
        return given | {"weight": laid(given["weight"])}
    biases = np.zeros(shape[0]) if bias is None else real(bias)
    params = int8.conv_params(laid(real(weight)), biases, source, output, _narrow_grid(walk, node, real(weight)))
    return params | {"shift": walk.shifts(params["shift"])}


def _bits(walk: Walk, node: Node) -> dict[str, Any]:
    """The attribute that says how narrow weights are, if they are."""
    return {"bits": walk.narrow[node.name].bits} if node.name in walk.narrow else {}


def _narrow_grid(walk: Walk, node: Node, weight: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]] | None:
    """Bits and steps of narrow weights, which must be those that were marked."""
    if (narrow := walk.narrow.get(node.name)) is None:
        return None
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    same = largest.shape == narrow.largest.shape and np.allclose(largest, narrow.largest, rtol=1e-4)
    require(same, f"is marked for weights of {narrow.bits} bits, but what follows it is folded into them")
    return narrow.bits, narrow.steps


def _as_given(
    walk: Walk, node: Node, weight: Value, bias: Value | None, source: Tensor, output: Tensor
) -> dict[str, NDArray[Any]] | None:
    """Integer weights and biases of the file as they are, with factors; None where they have to be rounded anew."""
    if weight.grid is None or raw(weight).dtype.kind not in "iu":
        return None
    scales, zero_point = along(weight.grid, len(weight.shape))
    if weight.grid.scale.size > 1 and weight.grid.axis != 0:
        return None
    q = raw(weight).astype(np.int32) - zero_point
    if q.min() < -128 or q.max() > 127:
        require(walk.rounding == "once", f"has weights from {q.min()} to {q.max()}; supported are -128 to 127")
        return None
    scales = np.broadcast_to(scales.reshape(-1), (len(q),))
    steps = source.scale * scales
    biases = np.zeros(len(q)) if bias is None else _biases(bias, steps)
    if np.abs(biases).max() > int8.INT32:
        return None
    m, t = walk.factor(steps / output.scale)
    return {"weight": q.astype(np.int8), "bias": biases.astype(np.int32), "multiplier": m, "shift": t}


def _biases(bias: Value, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Biases in steps of the sums; integers whose scale that is are these already."""
    stored = raw(bias)
    if bias.grid is not None and stored.dtype.kind in "iu":
        scale, zero_point = along(bias.grid, 1)
        if np.allclose(scale, steps, rtol=1e-3, atol=0):
            return (stored - zero_point).astype(np.float64)
    return np.rint(real(bias) / steps)


def _like(grid: Grid) -> Tensor:
    return Tensor("output", (1, 1, 1), "int8", *grid)
