# SPDX-License-Identifier: Apache-2.0
"""What the constants of a program are in numbers, and what becomes of nodes that read nothing else."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports.program import Grid, Node, Value
from kilobench.compile.operator import require

FOLDED = ("dequantise", "quantise", "reshape", "transpose")
"""Kinds that are computed when the file is read, where they read a constant."""


def real(value: Value) -> NDArray[np.float64]:
    """The numbers that a constant stands for."""
    array = raw(value).astype(np.float64)
    if value.grid is None or raw(value).dtype.kind == "f":
        return array
    scale, zero_point = along(value.grid, array.ndim)
    return (array - zero_point) * scale


def raw(value: Value) -> NDArray[Any]:
    """The numbers of a constant as they are stored."""
    if value.array is None:
        raise ValueError(f"reads {value.name}, which is no constant; supported are constants there")
    return value.array


def along(grid: Grid, rank: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scale and zero point in a shape that broadcasts with a constant of this rank."""
    shape = [1] * rank
    if grid.axis is not None and rank:
        shape[grid.axis] = grid.scale.size
    return grid.scale.reshape(shape), grid.zero_point.reshape(shape)


def fold(node: Node, source: Value, output: Value) -> Value:
    """The constant that a node of one of the kinds FOLDED makes of a constant; raises ValueError for other kinds."""
    require(node.kind in FOLDED, f"reads constants alone; supported is that of {', '.join(FOLDED)}")
    require(len(node.inputs) == 1, f"reads {len(node.inputs)} tensors, not 1")
    array, grid, dtype = raw(source), output.grid or source.grid, source.dtype
    if node.kind == "reshape":
        array, grid = array.reshape(output.shape), output.grid or _reshaped(source, output.shape)
    elif node.kind == "transpose":
        array = array.transpose(node.attrs["axes"])
        if output.grid is None and grid is not None and grid.axis is not None:
            grid = Grid(grid.scale, grid.zero_point, node.attrs["axes"].index(grid.axis))
    elif node.kind == "dequantise":
        array, grid, dtype = real(source).astype(np.float32), None, "float32"
    else:
        require(output.grid is not None, "makes a tensor without a scale")
        assert output.grid is not None
        scale, zero_point = along(output.grid, len(source.shape))
        kind, dtype = np.iinfo(output.dtype), output.dtype
        array = np.clip(np.rint(real(source) / scale) + zero_point, kind.min, kind.max).astype(dtype)
    return Value(output.name, output.shape, dtype, grid, array)


def _reshaped(source: Value, shape: tuple[int, ...]) -> Grid | None:
    """The grid of a constant in another shape, whose axis has to be there still."""
    grid = source.grid
    if grid is None or grid.axis is None or grid.scale.size == 1:
        return grid
    before = prod(source.shape[: grid.axis])
    for axis, size in enumerate(shape):
        if prod(shape[:axis]) == before and size == grid.scale.size:
            return Grid(grid.scale, grid.zero_point, axis)
    raise ValueError(f"reshapes a constant of {grid.scale.size} scales along axis {grid.axis} to {list(shape)}")
