# SPDX-License-Identifier: Apache-2.0
"""Functions of one int8 value, as tables of what they make of -128, -127, ..., 127.

With one rounding an entry is the real function of the real number, rounded to the grid of the output. With those of TensorFlow
Lite it is what TFLite-Micro's kernel makes, in its own fixed point (gemmlowp, fixedpoint.h).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.imports.constants import raw, real
from kilobench.compile.imports.program import Node
from kilobench.compile.imports.simplify import affine, clip_on, grid_of
from kilobench.compile.imports.walk import Params, Walk
from kilobench.compile.int8 import multiplier
from kilobench.compile.ops._gemmlowp import INT32_MAX, divide, exp_on_negative_values, inverse, scale_up
from kilobench.compile.ops._integers import TWICE, requantise
from kilobench.compile.ops.tflite_add import LEFT_SHIFT

Grid = tuple[float, int]
Table = NDArray[np.int8]
_Q = np.arange(-128, 128, dtype=np.int64)
_FUNCTIONS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid": lambda x, slope, offset: np.clip(slope * x + offset, 0, 1),
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, slope * x),
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "tanh": np.tanh,
}


def of_function(walk: Walk, node: Node) -> Table:
    """Of a node of one of these kinds."""
    source, made = _grids(walk, node, node.inputs[0])
    if walk.rounding == "tflite":
        if node.kind == "leaky_relu":
            return _leaky_relu(source, made, node.attrs["slope"])
        if node.kind == "hard_swish":
            return _hard_swish(source, made)
        if node.kind in _FIXED and made == _FIXED[node.kind][0]:
            return _of_fixed_point(node.kind, source)
    return _rounded(_FUNCTIONS[node.kind](_real(source), **node.attrs), made)


def of_prelu(walk: Walk, node: Node) -> Table:
    """Of one slope for all channels."""
    source, made = _grids(walk, node, node.inputs[0])
    slope = walk.values[node.inputs[1]]
    if walk.rounding == "once" or slope.grid is None:
        return _rounded(_FUNCTIONS["leaky_relu"](_real(source), real(slope).item()), made)
    x, times = _Q - source[1], int(raw(slope).flat[0]) - int(slope.grid.zero_point[0])
    below = _twice(x * times, source[0] * float(slope.grid.scale[0]) / made[0])
    return np.clip(np.where(x >= 0, _twice(x, source[0] / made[0]), below) + made[1], -128, 127).astype(np.int8)


def clipped(walk: Walk, source: Tensor, made: Grid, low: float, high: float) -> Table:
    """A cut to a range that goes to another grid."""
    steps = walk.scaled(_Q - source.zero_point, source.scale / made[0]) + made[1]
    return np.clip(steps, *clip_on(made, low, high)).astype(np.int8)


def with_constant(walk: Walk, node: Node, name: str) -> Table:
    """A sum, difference or product with one number, and ReLU if the node has it."""
    source, made = _grids(walk, node, name)
    constant = walk.values[node.inputs[1 - node.inputs.index(name)]]
    low = made[1] if "relu" in node.attrs else -128
    if walk.rounding == "tflite" and constant.grid is not None and raw(constant).dtype == np.int8:
        own = grid_of(constant)
        assert own is not None
        number = np.full(256, int(raw(constant).flat[0]) - own[1], dtype=np.int64)
        pair = [(_Q - source[1], source[0]), (number, own[0])]
        if node.inputs[0] != name:
            pair.reverse()
        return np.clip(_combined(node.kind, pair, made[0]) + made[1], low, 127).astype(np.int8)
    found = affine(walk.program, node)
    factor, offset = (1.0, 0.0) if found is None else (found[1].item(), found[2].item())
    return np.maximum(_rounded(factor * _real(source) + offset, made), np.int8(low))


def tflite_add(sources: list[Tensor], output: Tensor) -> Params:
    """Of tflite_add and tflite_sub: factors of both inputs to twice the larger scale, and from there to the output's."""
    most = 2 * max(source.scale for source in sources)
    factors = [source.scale / most for source in sources] + [most / (2.0**LEFT_SHIFT * output.scale)]
    m, t = multiplier(np.array(factors))
    return {"multiplier": m, "shift": t + np.int32(TWICE)}


def _grids(walk: Walk, node: Node, name: str) -> tuple[Grid, Grid]:
    """Of what a node reads and makes, both int8."""
    source, made = walk.to_int8(walk.place(name)).tensor, grid_of(walk.values[node.output])
    assert made is not None
    return (source.scale, source.zero_point), made


def _real(grid: Grid) -> NDArray[np.float64]:
    return (_Q - grid[1]).astype(np.float64) * grid[0]


def _rounded(value: NDArray[np.float64], grid: Grid) -> Table:
    return np.clip(np.rint(value / grid[0]) + grid[1], -128, 127).astype(np.int8)


# TFLite-Micro's


def _twice(value: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Integers times a factor, rounded twice."""
    m, t = multiplier(np.array([abs(factor)]))
    return requantise(value, np.sign(factor).astype(np.int32) * m, t + TWICE)


def _combined(kind: str, pair: list[tuple[NDArray[np.int64], float]], scale: float) -> NDArray[np.int64]:
    """A sum, difference or product of integers less their zero points, with their scales, in steps of a scale."""
    (a, scale_a), (b, scale_b) = pair
    if kind == "mul":
        return _twice(a * b, scale_a * scale_b / scale)
    most = 2 * max(scale_a, scale_b)
    first, second = _twice(a << LEFT_SHIFT, scale_a / most), _twice(b << LEFT_SHIFT, scale_b / most)
    return _twice(first + second if kind == "add" else first - second, most / (2.0**LEFT_SHIFT * scale))


def _leaky_relu(source: Grid, made: Grid, slope: float) -> Table:
    """Its factors are those of float32."""
    x, ratio = _Q - source[1], np.float32(source[0]) / np.float32(made[0])
    below = np.float32(source[0]) * np.float32(slope) / np.float32(made[0])
    steps = np.where(x >= 0, _twice(x, float(ratio)), _twice(x, float(below)))
    return np.clip(steps + made[1], -128, 127).astype(np.int8)


def _hard_swish(source: Grid, made: Grid) -> Table:
    """In 16 bits: x in 1/128 of its steps, by what is left of it of 0 to 1 between -3 and 3."""
    fine = np.float32(source[0]) * np.float32(1 / 128)
    out_m, out_shift = _factor16(float(fine / np.float32(made[0])))
    in_m, in_shift = _factor16(float(fine / np.float32(3 / 32768)))
    return np.array(
        [_hard_swish_of(int(q) - source[1], out_m, out_shift, in_m, in_shift, made[1]) for q in _Q], np.int8
    )


def _hard_swish_of(x: int, out_m: int, out_shift: int, in_m: int, in_shift: int, zero: int) -> int:
    fine = x * 128
    scaled = _multiply16(fine, out_m)
    gate = fine
    if in_shift > 0:
        gate = _saturate16(gate << (in_shift - 1))
    gate = _multiply16(gate, in_m)
    if in_shift > 0:
        gate = _saturate16(gate << 1)
    elif in_shift < 0:
        gate = divide(gate, -in_shift)
    gate = (gate + 2**15) >> 1
    product = gate * scaled
    high = product >> 15 if product >= 0 else -(-product >> 15)
    return min(max(divide(high, -out_shift) + zero, -128), 127)


def _factor16(real: float) -> tuple[int, int]:
    """A factor as 15 bits and a shift to the left."""
    m, t = multiplier(np.array([real]))
    return min((int(m[0]) + 2**15) >> 16, 2**15 - 1), 31 - int(t[0])


def _multiply16(a: int, b: int) -> int:
    """The upper half of 2ab in 16 bits, rounded half away from zero."""
    return min(divide(a * b, 15), 2**15 - 1)


def _saturate16(a: int) -> int:
    return min(max(a, -(2**15)), 2**15 - 1)


_FIXED: dict[str, tuple[Grid, int]] = {"sigmoid": ((1 / 256, -128), 23), "tanh": ((1 / 128, 0), 24)}
"""The grid of the output, and how many bits below it there are."""


def _of_fixed_point(kind: str, source: Grid) -> Table:
    """Of numbers of four integer bits, beyond which it is at an end of its range."""
    (_, zero), bits = _FIXED[kind]
    m, t = multiplier(np.array([source[0] * 2.0**27]))
    shift = 31 - int(t[0])
    radius = np.floor(15.0 * 2**27 / 2.0**shift)
    table = []
    for x in (_Q - source[1]).tolist():
        if abs(x) >= radius:
            table.append(127 if x > 0 else -128)
            continue
        raw_x = int(requantise(np.array([x]), m, t + TWICE)[0])
        table.append(min(max(divide(_fixed(kind, raw_x), bits) + zero, -128), 127))
    return np.array(table, dtype=np.int8)


@cache
def _fixed(kind: str, x: int) -> int:
    """Of a number of four integer bits, of no integer bits."""
    if x == 0:
        return 2**30 if kind == "sigmoid" else 0
    if kind == "sigmoid":
        part = exp_on_negative_values(-abs(x), 4)  # 1 / (1 + part)
        positive = scale_up(inverse((part + 2**31) >> 1), 1)
        return positive if x > 0 else INT32_MAX - positive
    part = exp_on_negative_values(-abs(x))  # twice the number; (1 - part) / (1 + part)
    positive = scale_up(inverse((part + 2**31) >> 1) - 2**29, 2)
    return positive if x > 0 else -positive
