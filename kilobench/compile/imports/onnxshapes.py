# SPDX-License-Identifier: Apache-2.0
"""Operators of ONNX that move numbers, and those that exporters compute shapes with, opsets 7 and later."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports.builder import MAX_CONSTANTS, axis_of
from kilobench.compile.imports.onnxmodel import TYPES, Op, Translate
from kilobench.compile.operator import require


def _identity(op: Op) -> str:
    return op.input()


def _dropout(op: Op) -> str:
    op.take("ratio", 0.5)
    op.take("seed", 0)
    require(not op.has(2) or not op.builder.raw(op.input(2)).any(), "is in training mode; supported is inference")
    return op.input()


def _cast(op: Op) -> str:
    builder, x = op.builder, op.input()
    dtype = TYPES.get(op.take("to", int), "")
    op.take("saturate", 1)
    op.take("round_mode", "up")
    require(dtype != "", "casts to a type that is not known here")
    if builder.is_constant(x):
        with np.errstate(all="ignore"):
            return builder.constant(builder.real(x).astype(dtype))
    found = builder.values[x].dtype
    same = dtype == found or (found == "int32" and dtype in ("int32", "int64"))
    require(same, f"casts {found} to {dtype}; supported are casts of constants, or none")
    return x


def _constant(op: Op) -> str:
    node = op.node.attrs
    require(len(node) == 1, f"has the attributes {sorted(node)!r:.50}; supported is one value")
    key = next(iter(node))
    kinds = {"value": np.ndarray, "value_float": float, "value_int": int, "value_floats": tuple, "value_ints": tuple}
    require(key in kinds, f"has the attribute {key}; supported are {', '.join(kinds)}")
    value = op.take(key, kinds[key])
    return op.builder.constant(value if key == "value" else np.array(value, np.float32 if "float" in key else np.int64))


def _shape(op: Op) -> str:
    rank = len(op.shape())
    begin, end, _ = slice(op.take("start", 0), op.take("end", rank)).indices(rank)
    return op.builder.constant(np.array(op.shape()[begin:end], dtype=np.int64))


def _size(op: Op) -> str:
    return op.builder.constant(np.int64(math.prod(op.shape())))


def _reshape(op: Op) -> str:
    shape, old = op.ints(1), op.shape()
    if not op.take("allowzero", 0):
        require(all(size != 0 or axis < len(old) for axis, size in enumerate(shape)), f"reshapes {old} to {shape}")
        shape = tuple(size or old[axis] for axis, size in enumerate(shape))
    if shape.count(-1) == 1:
        rest = math.prod(size for size in shape if size != -1)
        require(rest > 0 and math.prod(old) % rest == 0, f"reshapes {old} to {shape}")
        shape = tuple(math.prod(old) // rest if size == -1 else size for size in shape)
    require(all(size > 0 for size in shape), f"reshapes {old} to {shape}")
    return op.builder.reshape(op.input(), shape)


def _flatten(op: Op) -> str:
    shape, axis = op.shape(), op.take("axis", 1)
    require(-len(shape) <= axis <= len(shape), f"has the axis {axis} for {shape}")
    axis += len(shape) if axis < 0 else 0
    return op.builder.reshape(op.input(), (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _squeeze(op: Op) -> str:
    shape, axes = op.shape(), op.ints_of("axes", 1, 13)
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    chosen = {axis_of(axis, len(shape)) for axis in axes}
    require(all(shape[axis] == 1 for axis in chosen), f"drops the axes {axes} of {shape}")
    return op.builder.reshape(op.input(), [size for axis, size in enumerate(shape) if axis not in chosen])


def _unsqueeze(op: Op) -> str:
    shape, axes = op.shape(), op.ints_of("axes", 1, 13)
    require(bool(axes), "lacks axes")
    rank = len(shape) + len(axes or ())
    chosen = {axis_of(axis, rank) for axis in axes or ()}
    require(len(chosen) + len(shape) == rank, f"has an axis of {axes} twice")
    sizes = iter(shape)
    return op.builder.reshape(op.input(), [1 if axis in chosen else next(sizes) for axis in range(rank)])


def _transpose(op: Op) -> str:
    return op.builder.transpose(op.input(), op.take("perm", tuple(reversed(range(len(op.shape()))))))


def _concat(op: Op) -> str:
    return op.builder.concat([op.input(index) for index in range(len(op.inputs))], op.take("axis", int))


def _slice(op: Op) -> str:
    if op.opset < 10:
        starts, ends = op.take("starts", tuple), op.take("ends", tuple)
        axes, steps = op.take("axes", tuple(range(len(starts)))), (1,) * len(starts)
    else:
        starts, ends = op.ints(1), op.ints(2)
        axes = op.ints(3) if op.has(3) else tuple(range(len(starts)))
        steps = op.ints(4) if op.has(4) else (1,) * len(starts)
    require(len(starts) == len(ends) == len(axes) == len(steps), "has starts, ends, axes and steps of different counts")
    rank = len(op.shape())
    bounds = {axis_of(axis, rank): bound for axis, *bound in zip(axes, starts, ends, steps, strict=True)}
    require(len(bounds) == len(axes) and 0 not in steps, f"slices the axes {axes} with the steps {steps}")
    if op.builder.is_constant(op.input()):
        parts = [slice(*bounds.get(axis, (None,))) for axis in range(rank)]
        return op.builder.constant(op.builder.real(op.input())[tuple(parts)])
    return op.builder.slice(op.input(), {axis: (begin, end, step) for axis, (begin, end, step) in bounds.items()})


def _split(op: Op) -> list[str]:
    sizes, axis = op.ints_of("split", 1, 13), op.take("axis", 0)
    whole = op.shape()[axis_of(axis, len(op.shape()))]
    count = op.take("num_outputs", len(op.node.outputs))
    require(count == len(op.node.outputs) and 1 <= count <= whole, f"splits {whole} into {count}")
    if sizes is None:
        size = -(-whole // count)
        sizes = (size,) * (count - 1) + (whole - size * (count - 1),)
    return op.builder.split(op.input(), axis, sizes)


def _gather(op: Op) -> str:
    builder, axis = op.builder, op.take("axis", 0)
    if not builder.is_constant(op.input(0)):
        index = builder.raw(op.input(1))
        require(index.size == 1 and index.ndim == 0, "gathers several entries of a map; supported is one, or Slice")
        return builder.select(op.input(0), axis, int(index))
    array, index = builder.raw(op.input(0)), builder.raw(op.input(1))
    axis = axis_of(axis, array.ndim)
    size = array.shape[axis]
    fits = index.dtype.kind == "i" and ((-size <= index) & (index < size)).all()
    require(fits and index.size * array.size <= MAX_CONSTANTS // 8, f"gathers outside of {array.shape}")
    return builder.constant(array.take(index, axis))


def _expand(op: Op) -> str:
    builder, old, shape = op.builder, op.shape(), op.ints(1)
    new = np.broadcast_shapes(old, tuple(size if size > 0 else 0 for size in shape))
    if new == old:
        return op.input()
    require(math.prod(new) * 8 <= MAX_CONSTANTS, f"expands to {new}")
    return builder.constant(np.broadcast_to(builder.real(op.input()), new))


def _constant_of_shape(op: Op) -> str:
    shape = op.ints(0)
    value = op.take("value", np.zeros(1, dtype=np.float32))
    require(
        min(shape, default=0) >= 0 and math.prod(shape) * 8 <= MAX_CONSTANTS, f"makes a constant of the shape {shape}"
    )
    require(value.size == 1, f"has a value of the shape {value.shape}; supported is one number")
    return op.builder.constant(np.full(shape, value.reshape(-1)[0]))


def _pad(op: Op) -> str:
    mode, rank = op.take("mode", "constant"), len(op.shape())
    require(mode == "constant", f"has mode={mode!r:.30}, for which there is no kernel; supported is 'constant'")
    if op.opset < 11:
        pads, value = op.take("pads", tuple), op.take("value", 0.0)
    else:
        pads, value = op.ints(1), op.number(2, 0.0)
    axes = [axis_of(axis, rank) for axis in (op.ints(3) if op.has(3) else range(rank))]
    require(len(pads) == 2 * len(axes) and len(set(axes)) == len(axes), f"has {len(pads)} pads for {len(axes)} axes")
    sides = [dict(zip(axes, part, strict=True)) for part in (pads[: len(axes)], pads[len(axes) :])]
    before, after = ([side.get(axis, 0) for axis in range(rank)] for side in sides)
    value = _real_number(op, value)
    return op.builder.pad(op.input(), before, after, value)


def _real_number(op: Op, number: float) -> float:
    """What a number of an operator on integers means."""
    value = op.builder.values[op.input()]
    if value.dtype == "float32":
        return number
    require(value.grid is not None, f"pads {value.dtype} of unknown scale; supported is what QuantizeLinear makes")
    assert value.grid is not None
    return float((number - value.grid.zero_point[0]) * value.grid.scale[0])


def _resize(op: Op) -> str:
    """Resize and Upsample. Of the ways to choose a neighbour, those that come to one of the kernel's two are supported."""
    mode, shape = op.take("mode", "nearest"), op.shape()
    require(mode == "nearest", f"has mode={mode!r:.30}, for which there is no kernel; supported is 'nearest'")
    op.only("antialias", 0)
    op.only("keep_aspect_ratio_policy", "stretch")
    for name, default in (("cubic_coeff_a", -0.75), ("exclude_outside", 0), ("extrapolation_value", 0.0)):
        op.take(name, default)  # of other modes
    scales, sizes = _scales(op)
    axes = [axis_of(axis, len(shape)) for axis in op.take("axes", tuple(range(len(shape))))]
    given = sizes if sizes is not None else scales
    require(len(set(axes)) == len(axes) == len(given), f"has {len(given)} sizes or scales for {len(axes)} axes")
    new, factor = list(shape), [Fraction(1)] * len(shape)
    for axis, entry in zip(axes, given, strict=True):
        require(
            entry > 0 and entry * (1 if sizes is not None else shape[axis]) <= MAX_CONSTANTS,
            f"resizes {shape} by {given}",
        )
        new[axis] = int(entry) if sizes is not None else math.floor(entry * shape[axis])
        require(new[axis] > 0, f"resizes {shape} by {given}")
        factor[axis] = Fraction(new[axis], shape[axis]) if sizes is not None else Fraction(entry)
    require(tuple(new[:2]) == shape[:2], f"resizes {shape} to {tuple(new)}; supported are height and width")
    return _nearest_neighbours(op, new[2:], factor[2:])


def _scales(op: Op) -> tuple[tuple[Any, ...], tuple[int, ...] | None]:
    """Scales, and sizes or None. Upsample has scales only, Resize since opset 11 a region before them."""
    if op.node.kind == "Upsample" and op.opset < 9:
        return op.take("scales", tuple), None
    index = 1 if op.node.kind == "Upsample" or op.opset < 11 else 2
    if index == 2 and op.has(3) and op.builder.raw(op.input(3)).size:
        return (), op.ints(3)
    scales = op.builder.floats(op.input(index), "scale")
    require(scales.ndim == 1, f"has scales of the shape {scales.shape}")
    return tuple(scales.tolist()), None


def _nearest_neighbours(op: Op, sizes: list[int], factors: list[Fraction]) -> str:
    old = op.node.kind == "Upsample" or op.opset < 11
    where = op.take("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    rounding = op.take("nearest_mode", "floor" if old else "round_prefer_floor")
    before = op.shape()[2:]
    wanted = [_sources(where, rounding, *each) for each in zip(before, sizes, factors, strict=True)]
    for half_pixel in (False, True):
        offset = Fraction(1, 2) if half_pixel else 0
        found = [[int((i + offset) * n // size) for i in range(size)] for n, size in zip(before, sizes, strict=True)]
        if found == wanted:
            return op.builder.resize(op.input(), sizes, half_pixel)
    raise ValueError(
        f"has {where} coordinates and {rounding}, for which there is no kernel at these sizes; supported are asymmetric and floor"
    )


def _sources(where: str, rounding: str, before: int, after: int, factor: Fraction) -> list[int]:
    """Which entry each one comes from, along an axis."""
    half = Fraction(1, 2)
    place: dict[str, Callable[[int], Fraction]] = {
        "asymmetric": lambda i: i / factor,
        "half_pixel": lambda i: (i + half) / factor - half,
        "pytorch_half_pixel": lambda i: (i + half) / factor - half if after > 1 else Fraction(0),
        "align_corners": lambda i: Fraction(i * (before - 1), after - 1) if after > 1 else Fraction(0),
    }
    whole: dict[str, Callable[[Fraction], int]] = {
        "floor": math.floor,
        "ceil": math.ceil,
        "round_prefer_floor": lambda x: math.ceil(x - half),
        "round_prefer_ceil": lambda x: math.floor(x + half),
    }
    require(where in place, f"has coordinate_transformation_mode={where!r:.40}; supported are {', '.join(place)}")
    require(rounding in whole, f"has nearest_mode={rounding!r:.40}; supported are {', '.join(whole)}")
    require(after <= 2**16, f"resizes to {after}")
    return [min(max(whole[rounding](place[where](i)), 0), before - 1) for i in range(after)]


# Constants


def folded(function: Callable[..., NDArray[Any]]) -> Callable[[Op], str]:
    """What is computed of constants only, as exporters do with shapes."""

    def fold(op: Op) -> str:
        arrays = [op.builder.real(op.input(index)) for index in range(len(op.inputs))]
        size = math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
        require(size * 8 <= MAX_CONSTANTS, "makes too large a constant")
        try:
            with np.errstate(all="ignore"):
                return op.builder.constant(function(*arrays))
        except (TypeError, ArithmeticError) as error:
            raise ValueError(f"cannot be computed: {error}") from None

    return fold


def _reduce_prod(op: Op) -> str:
    array, axes = op.builder.raw(op.input()), op.ints_of("axes", 1, 18)
    chosen = tuple(axis_of(axis, array.ndim) for axis in axes) if axes else None
    return op.builder.constant(np.asarray(array.prod(chosen, keepdims=op.take("keepdims", 1) != 0)))


SHAPING: dict[str, Translate] = {
    "Cast": _cast,
    "Ceil": folded(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Equal": folded(np.equal),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": folded(np.floor),
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "ReduceProd": _reduce_prod,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Sqrt": folded(np.sqrt),
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    "Where": folded(np.where),
}
