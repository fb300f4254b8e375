# SPDX-License-Identifier: Apache-2.0
"""Sums, products and functions of single values, in float32 and int8: one step each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kilobench.compile import int8
from kilobench.compile.graph import Tensor
from kilobench.compile.imports import tables
from kilobench.compile.imports.constants import real
from kilobench.compile.imports.layout import Order, blocks_of, order_of, sizes
from kilobench.compile.imports.program import Node
from kilobench.compile.imports.simplify import affine, clip_on, clip_range, grid_of
from kilobench.compile.imports.walk import Params, Placed, Walk
from kilobench.compile.imports.weighted import channels_of, per_channel, scale
from kilobench.compile.operator import require


def binary(walk: Walk, node: Node) -> None:
    """A sum, difference or product of two maps, or of a map and a constant."""
    if (found := affine(walk.program, node)) is not None:
        name, factor, offset = found
        if factor.size == 1 and offset.size == 1 and walk.integer(node, [name]):
            _tabled(walk, node, "requantise", name, tables.with_constant(walk, node, name))
        else:
            scale(walk, node, name, factor, offset)
        return
    require(
        all(walk.values[name].array is None for name in node.inputs),
        "has a constant larger than the map; supported is one no larger",
    )
    integer = walk.integer(node, node.inputs)
    placed = [_raised(walk.typed(name, integer), len(walk.values[node.output].shape)) for name in node.inputs]
    order = _common_order(walk, placed, walk.values[node.output].shape)
    sources = _broadcast(walk, placed, order)
    shape = [max(sizes) for sizes in zip(*(source.shape for source in sources), strict=True)]
    grid = grid_of(walk.values[node.output]) if integer else None
    kind, params = (node.kind, {}) if grid is None else _of_two(walk, node.kind, sources, grid)
    walk.emit(kind, node, sources, shape, order, attrs={"relu": "relu" in node.attrs}, params=params, grid=grid)


def norm(walk: Walk, node: Node) -> None:
    """Factors and offsets of channels that no convolution has taken."""
    found = affine(walk.program, node)
    assert found is not None
    scale(walk, node, *found)


def clip(walk: Walk, node: Node) -> None:
    """Values cut to a range, in place; one that all of int8 lies within is nothing."""
    placed = walk.place(node.inputs[0])
    low, high = clip_range(node)
    if placed.tensor.dtype == "float32":
        limit = float(np.finfo(np.float32).max)
        params = {"low": np.array([max(low, -limit)], np.float32), "high": np.array([min(high, limit)], np.float32)}
        walk.emit("clip", node, [placed.tensor], placed.tensor.shape, placed.order, params=params)
        return
    placed = walk.to_int8(placed)
    grid, made = (placed.tensor.scale, placed.tensor.zero_point), grid_of(walk.values[node.output])
    if made not in (None, grid):
        _tabled(walk, node, "requantise", node.inputs[0], tables.clipped(walk, placed.tensor, made, low, high))
        return
    least, most = clip_on(grid, low, high)
    if (least, most) == (-128, 127):
        walk.placed[node.output] = placed
        return
    params = {"low": np.array([least], np.int8), "high": np.array([most], np.int8)}
    walk.emit("clip", node, [placed.tensor], placed.tensor.shape, placed.order, params=params, grid=grid)


def function(walk: Walk, node: Node) -> None:
    """A function of every value: in int8 a table, in float32 its kernel."""
    if walk.integer(node, node.inputs[:1]):
        _tabled(walk, node, node.kind, node.inputs[0], tables.of_function(walk, node))
        return
    placed = walk.typed(node.inputs[0], False)
    params = {key: np.array([value], np.float32) for key, value in node.attrs.items()}
    walk.emit(node.kind, node, [placed.tensor], placed.tensor.shape, placed.order, params=params)


def prelu(walk: Walk, node: Node) -> None:
    """A factor per channel for what is below zero."""
    name, slopes = node.inputs[0], real(walk.values[node.inputs[1]])
    integer = walk.integer(node, [name])
    if integer and slopes.size == 1:
        _tabled(walk, node, "leaky_relu", name, tables.of_prelu(walk, node))
        return
    placed = walk.typed(name, integer)
    shape, after = channels_of(placed, (slopes,))
    source = walk.shaped(placed, shape)
    walk.reserve(8 * shape[2])
    slopes = np.broadcast_to(per_channel(slopes, placed, after), (shape[2],))
    grid = grid_of(walk.values[node.output]) if integer else None
    params: Params = {"slope": slopes.astype(np.float32)}
    if grid is not None:
        m, t = walk.factor(source.scale / grid[0])
        negative, shift = walk.factor(np.maximum(np.abs(slopes), 1e-30) * source.scale / grid[0])
        signed = (np.sign(slopes) * negative).astype(np.int32)
        params = {"multiplier": m, "shift": t, "multiplier_negative": signed, "shift_negative": shift}
    walk.emit("prelu", node, [source], source.shape, placed.order, params=params, grid=grid)


def convert(walk: Walk, node: Node) -> None:
    """Another type: the grid of what is made says which; without one it is float32."""
    placed = walk.placed[node.inputs[0]]
    walk.deliver(node, placed if walk.values[node.output].grid is not None else walk.to_float(placed))


def _tabled(walk: Walk, node: Node, kind: str, name: str, table: NDArray[np.int8]) -> None:
    placed = walk.to_int8(walk.place(name))
    grid = grid_of(walk.values[node.output])
    walk.emit(kind, node, [placed.tensor], placed.tensor.shape, placed.order, params={"table": table}, grid=grid)


def _of_two(walk: Walk, kind: str, sources: list[Tensor], grid: tuple[float, int]) -> tuple[str, Params]:
    """The operator of a sum, difference or product in int8, and its parameters."""
    output = Tensor("output", (1, 1, 1), "int8", *grid)
    if kind == "mul":
        m, t = walk.factor(sources[0].scale * sources[1].scale / output.scale)
        return kind, {"multiplier": m, "shift": t}
    if walk.rounding == "tflite":
        return f"tflite_{kind}", tables.tflite_add(sources, output)
    params = int8.add_params(sources, output)
    return kind, params


def _raised(placed: Placed, rank: int) -> Placed:
    """A value with axes of size 1 before its own."""
    more = rank - len(placed.shape)
    return Placed(placed.tensor, (1,) * more + placed.shape, tuple(axis + more for axis in placed.order))


def _common_order(walk: Walk, placed: list[Placed], shape: tuple[int, ...]) -> Order:
    """That of an input which has all axes of the output, or the usual one."""
    whole = [one.order for one in placed if len(one.order) == len(order_of(range(len(shape)), shape))]
    return whole[0] if whole else order_of(walk.usual(len(shape)), shape)


def _broadcast(walk: Walk, placed: list[Placed], order: Order) -> list[Tensor]:
    """Both maps with these axes, in shapes that broadcast."""
    placed = [walk.ordered(one, tuple(axis for axis in order if axis in one.order)) for one in placed]
    if placed[0].order == placed[1].order:
        first = placed[0].tensor
        return [first, walk.shaped(placed[1], first.shape)]
    blocks = _blocks(placed, order)
    return [
        walk.shaped(one, sizes([[a for a in block if a in one.order] for block in blocks], one.shape)) for one in placed
    ]


def _blocks(placed: list[Placed], order: Order) -> Sequence[Sequence[int]]:
    """Axes side by side of which each map has all or none: those of a map as it is, or else as few as there are."""
    for one in placed:
        blocks = blocks_of(one.shape, one.order, one.tensor.shape) if one.order == order else None
        if blocks is not None and all(
            len({a in other.order for a in block}) <= 1 for block in blocks for other in placed
        ):
            return blocks
    runs: list[list[int]] = []
    having = {axis: [axis in one.order for one in placed] for axis in order}
    for axis in order:
        if runs and having[runs[-1][-1]] == having[axis]:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    require(len(runs) <= 3, f"broadcasts {len(runs)} runs of axes; supported are 3")
    empty: list[list[int]] = [[], [], []]
    return empty[len(runs) :] + runs
