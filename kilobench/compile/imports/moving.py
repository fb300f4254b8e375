# SPDX-License-Identifier: Apache-2.0
"""Pools, means and softmax, and what only moves values, in float32 and int8: one step each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.imports.layout import Blocks, Order, alone, blocks_of, order_of, sizes, split
from kilobench.compile.imports.program import Node
from kilobench.compile.imports.shapes import map_axes
from kilobench.compile.imports.simplify import grid_of
from kilobench.compile.imports.walk import Params, Placed, Walk
from kilobench.compile.int8 import multiplier
from kilobench.compile.operator import require
from kilobench.compile.ops._integers import TWICE


def max_pool(walk: Walk, node: Node) -> None:
    """The largest of every window, on the grid of what is read."""
    source = _map(walk, node)
    walk.emit("max_pool", node, [source], *_made(walk, node), attrs=_window(node), grid=_own(source))


def avg_pool(walk: Walk, node: Node) -> None:
    """The mean of every window; what is outside of the map, and not counted, is no part of it."""
    integer = walk.integer(node, node.inputs)
    source = _map(walk, node, walk.typed(node.inputs[0], integer))
    attrs = _window(node) | {"counted": node.attrs["counted"]}
    shape, order = _made(walk, node)
    divisors = {
        rows * columns for rows in _counted(node, source, 0, shape) for columns in _counted(node, source, 1, shape)
    }
    _average(walk, node, source, shape, order, attrs, sorted(divisors), integer)


def mean(walk: Walk, node: Node) -> None:
    """The mean over some axes: the average over a window of all of them, which have to lie together."""
    integer = walk.integer(node, node.inputs)
    placed, shape = walk.typed(node.inputs[0], integer), walk.values[node.inputs[0]].shape
    reduced = order_of(node.attrs["axes"], shape)
    kept = tuple(axis for axis in placed.order if axis not in reduced)
    places = sorted(placed.order.index(axis) for axis in reduced)
    if places and places[-1] - places[0] >= len(places):
        placed = walk.ordered(placed, tuple(axis for axis in placed.order if axis in reduced) + kept)
        places = list(range(len(places)))
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    before, inside, after = sizes((placed.order[:first], placed.order[first:last], placed.order[last:]), shape)
    height, width, channels = placed.tensor.shape
    if before == 1 and height * width == inside and channels == after:
        source, kernel = placed.tensor, (height, width)
    else:
        source, kernel = walk.shaped(placed, (before, inside, after)), (1, inside)
    attrs = {"kernel": kernel, "stride": (1, 1), "padding": (0, 0)}
    made = (source.shape[0] - kernel[0] + 1, source.shape[1] - kernel[1] + 1, source.shape[2])
    order = _renamed(placed, node.attrs["axes"], node.attrs["keepdims"], kept)
    _average(walk, node, source, made, order, attrs, [inside], integer)


def softmax(walk: Walk, node: Node) -> None:
    """Shares of 1 along an axis, which have to be the channels."""
    integer = walk.integer(node, node.inputs)
    placed, shape, axis = walk.typed(node.inputs[0], integer), walk.values[node.inputs[0]].shape, node.attrs["axis"]
    rest = tuple(other for other in placed.order if other != axis)
    placed = walk.ordered(placed, rest + order_of((axis,), shape))
    source = placed.tensor
    if source.shape[2] != shape[axis]:
        source = walk.shaped(placed, (1, prod(shape) // shape[axis], shape[axis]))
    kind = "softmax"
    grid = (1 / 256, -128) if integer else None
    if integer and walk.rounding == "tflite" and grid_of(walk.values[node.output]) == grid:
        kind = "tflite_softmax"
    walk.emit(kind, node, [source], source.shape, placed.order, grid=grid)


def argmax(walk: Walk, node: Node) -> None:
    """Where the largest value along an axis is."""
    axis, value = node.attrs["axis"], walk.values[node.output]
    placed = walk.moved(node.inputs[0])
    kept = [other for other in range(len(placed.shape)) if node.attrs["keepdims"] or other != axis]
    usual = tuple(kept[place] for place in order_of(walk.usual(len(kept)), value.shape))
    if usual != tuple(other for other in placed.order if other != axis):  # no operator moves whole numbers
        placed = walk.ordered(placed, usual + order_of((axis,), placed.shape))
    blocks, sides = _sides(walk, placed, [axis])
    source = walk.shaped(placed, sizes(blocks, placed.shape))
    shape = source.shape
    tensor = walk.tensor(value.name, [*shape[: sides[0]], 1, *shape[sides[0] + 1 :]], "int32")
    walk.operator("argmax", node.name, [source], tensor, {"axis": sides[0]}, {})
    order = _renamed(placed, [axis], node.attrs["keepdims"], [other for other in placed.order if other != axis])
    walk.placed[value.name] = Placed(tensor, value.shape, order)


def concat(walk: Walk, node: Node) -> None:
    """Maps one after the other along an axis, on one grid."""
    axis, made = node.attrs["axis"], walk.values[node.output]
    placed = [walk.place(name) for name in node.inputs]
    grid = _common_grid(placed, grid_of(made))
    placed = [walk.to_float(one) if grid is None else walk.to_int8(one, grid) for one in placed]
    lead = max(placed, key=lambda one: len(one.order))
    blocks, (side,) = _sides(walk, lead, [axis])
    sources = []
    for one in placed:
        own = _with(blocks, side, (axis,) if one.shape[axis] > 1 else ())
        sources.append(walk.shaped(walk.ordered(one, sum(own, ())), sizes(own, one.shape)))
    shape = list(sources[0].shape)
    shape[side] = made.shape[axis]
    order = sum(_with(blocks, side, (axis,)), ())
    walk.emit("concat", node, sources, shape, order_of(order, made.shape), attrs={"axis": side}, grid=grid)


def pad(walk: Walk, node: Node) -> None:
    """A value around a map."""
    before, after = node.attrs["before"], node.attrs["after"]
    axes = [axis for axis, both in enumerate(zip(before, after, strict=True)) if any(both)]

    def one(source: Tensor, chosen: list[int], sides: list[int]) -> tuple[dict[str, Any], Params, list[int]]:
        ends = [[0, 0, 0], [0, 0, 0]]
        for axis, side in zip(chosen, sides, strict=True):
            ends[0][side], ends[1][side] = before[axis], after[axis]
        value = np.array([node.attrs["value"]], np.float32)
        if source.dtype == "int8":
            steps = np.rint(value.astype(np.float64) / source.scale) + source.zero_point
            value = np.clip(steps, -128, 127).astype(np.int8)
        shape = [sum(parts) for parts in zip(source.shape, *ends, strict=True)]
        return {"before": tuple(ends[0]), "after": tuple(ends[1])}, {"value": value}, shape

    _along(walk, node, "pad", axes, one)


def cut(walk: Walk, node: Node) -> None:
    """Every step-th value of a part of a map."""
    begin, end, step = (node.attrs[key] for key in ("begin", "end", "step"))
    shape = walk.values[node.inputs[0]].shape
    axes = [axis for axis, size in enumerate(shape) if (begin[axis], end[axis], step[axis]) != (0, size, 1)]

    def one(source: Tensor, chosen: list[int], sides: list[int]) -> tuple[dict[str, Any], Params, list[int]]:
        first, made, by = [0, 0, 0], list(source.shape), [1, 1, 1]
        for axis, side in zip(chosen, sides, strict=True):
            first[side], made[side], by[side] = begin[axis], -(-(end[axis] - begin[axis]) // step[axis]), step[axis]
        by = [1 if size == 1 else every for every, size in zip(by, made, strict=True)]
        return {"begin": tuple(first), "size": tuple(made), "step": tuple(by)}, {}, made

    _along(walk, node, "slice", axes, one)


def reshape(walk: Walk, node: Node) -> None:
    """Other names for axes, once somebody asks for them."""
    walk.deliver(node, walk.placed[node.inputs[0]])


def transpose(walk: Walk, node: Node) -> None:
    """Other names for axes."""
    placed, axes = walk.place(node.inputs[0]), node.attrs["axes"]
    order = tuple(axes.index(axis) for axis in placed.order)
    walk.deliver(node, Placed(placed.tensor, walk.values[node.output].shape, order))


def resize(walk: Walk, node: Node) -> None:
    """A map of another size, of the values next to each place."""
    source = _map(walk, node)
    attrs = {key: node.attrs[key] for key in ("size", "half_pixel")}
    walk.emit("resize_nearest", node, [source], *_made(walk, node), attrs=attrs, grid=_own(source))


# Maps, windows and averages


def _map(walk: Walk, node: Node, placed: Placed | None = None) -> Tensor:
    """What a node reads, as [h, w, c] of int8 or float32."""
    placed, shape = placed or walk.moved(node.inputs[0]), walk.values[node.inputs[0]].shape
    height, width, channels = (order_of((axis,), shape) for axis in map_axes(walk.program))
    return walk.blocked(placed, (height, width, channels))


def _made(walk: Walk, node: Node) -> tuple[tuple[int, int, int], Order]:
    """Shape and order of the map that a node makes."""
    shape, axes = walk.values[node.output].shape, map_axes(walk.program)
    height, width, channels = (shape[axis] for axis in axes)
    return (height, width, channels), order_of(axes, shape)


def _window(node: Node) -> dict[str, Any]:
    top, left, bottom, right = node.attrs["padding"]
    extra = (bottom - top, right - left)
    return {"kernel": node.attrs["kernel"], "stride": node.attrs["stride"], "padding": (top, left), "extra": extra}


def _counted(node: Node, source: Tensor, axis: int, made: tuple[int, int, int]) -> set[int]:
    """How many taps of a window along an axis its divisor counts."""
    kernel, stride = node.attrs["kernel"][axis], node.attrs["stride"][axis]
    first, last = -node.attrs["counted"][axis], source.shape[axis] + node.attrs["counted"][axis + 2]
    starts = np.arange(made[axis], dtype=np.int64) * stride - node.attrs["padding"][axis]
    return set((np.minimum(starts + kernel, last) - np.maximum(starts, first)).tolist())


def _average(
    walk: Walk,
    node: Node,
    source: Tensor,
    shape: tuple[int, int, int],
    order: Order,
    attrs: dict[str, Any],
    divisors: list[int],
    integer: bool,
) -> None:
    require(divisors[0] >= 1, "has a window that counts nothing")
    kernel = attrs["kernel"]
    numbers = np.array(divisors if len(divisors) == 1 else range(1, kernel[0] * kernel[1] + 1), dtype=np.float64)
    grid = grid_of(walk.values[node.output]) if integer else None
    if grid is None:
        walk.emit(
            "avg_pool", node, [source], shape, order, attrs=attrs, params={"scale": (1 / numbers).astype(np.float32)}
        )
        return
    own = {key: value for key, value in attrs.items() if key != "counted"}
    if walk.rounding == "tflite" and node.kind == "avg_pool" and grid == _own(source) and not any(attrs["counted"]):
        walk.emit("tflite_avg_pool", node, [source], shape, order, attrs=own, grid=grid)
        return
    if walk.rounding == "tflite" and node.kind == "mean":
        m, t = _tflite_mean(source.scale / grid[0], divisors[0])
    else:
        m, t = walk.factor(source.scale / (grid[0] * numbers))
    walk.emit("avg_pool", node, [source], shape, order, attrs=attrs, params={"multiplier": m, "shift": t}, grid=grid)


def _tflite_mean(real: float, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The factor of a mean of so many as TensorFlow Lite has it (reduce.h, QuantizedMeanOrSum): an integer over another one."""
    m, t = multiplier(np.array([real]))
    shift = min(count.bit_length() - 1, 32, 62 - int(t[0]))
    return ((m.astype(np.int64) << shift) // count).astype(np.int32), t + np.int32(shift + TWICE)


# Along some axes

_One = Callable[[Tensor, list[int], list[int]], tuple[dict[str, Any], Params, list[int]]]
"""Of a map, axes, and the sides along which each lies alone: attributes, parameters, and the shape that is made."""


def _along(walk: Walk, node: Node, kind: str, axes: list[int], one: _One) -> None:
    """Operators that change the sizes of axes: one for all, or for each where they do not lie on sides of their own."""
    placed, value = walk.moved(node.inputs[0]), walk.values[node.output]
    steps = [axes] if _natural(walk, placed, axes) is not None else [[axis] for axis in axes]
    for chosen in steps if axes else []:
        blocks, sides = _sides(walk, placed, chosen)
        source = walk.shaped(placed, sizes(blocks, placed.shape))
        attrs, params, made = one(source, chosen, sides)
        whole = [value.shape[axis] if axis in chosen else size for axis, size in enumerate(placed.shape)]
        for axis, side in zip(chosen, sides, strict=True):
            blocks = _with(blocks, side, order_of((axis,), whole))
        name = value.name if chosen is steps[-1] else f"{value.name}.{chosen[0]}"
        tensor = walk.tensor(name, made, source.dtype, _own(source))
        walk.operator(kind, node.name, [source], tensor, attrs, params)
        placed = Placed(tensor, tuple(whole), sum(blocks, ()))
    walk.deliver(node, placed)


def _natural(walk: Walk, placed: Placed, axes: list[int]) -> tuple[Blocks, list[int]] | None:
    """The sides of the map as it is along which these axes lie alone."""
    blocks = blocks_of(placed.shape, placed.order, placed.tensor.shape)
    if blocks is None:
        return None
    sides = [alone(blocks, axis, walk.usual(len(placed.shape))) for axis in axes]
    found = [side for side in sides if side is not None]
    return (blocks, found) if len(set(found)) == len(sides) else None


def _sides(walk: Walk, placed: Placed, axes: list[int]) -> tuple[Blocks, list[int]]:
    """The same, or of one axis those of the map in another shape."""
    return _natural(walk, placed, axes) or (split(placed.order, axes[0], walk.usual(len(placed.shape))), [1])


def _with(blocks: Blocks, side: int, block: Order) -> Blocks:
    changed = [*blocks]
    changed[side] = block
    return changed[0], changed[1], changed[2]


def _renamed(placed: Placed, gone: Sequence[int], keepdims: bool, order: Sequence[int]) -> Order:
    """An order in the axes of a value that has lost some."""
    names = [axis for axis in range(len(placed.shape)) if keepdims or axis not in gone]
    return tuple(names.index(axis) for axis in order)


def _common_grid(placed: list[Placed], grid: tuple[float, int] | None) -> tuple[float, int] | None:
    """That of an output, or of all inputs; None where one of these is float32, or they differ."""
    if any(one.tensor.dtype == "float32" for one in placed):
        return None
    own = {_own(one.tensor) if one.tensor.dtype == "int8" else None for one in placed}
    return grid or (own.pop() if len(own) == 1 else None)


def _own(tensor: Tensor) -> tuple[float, int] | None:
    return (tensor.scale, tensor.zero_point) if tensor.dtype == "int8" else None
