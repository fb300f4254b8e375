# SPDX-License-Identifier: Apache-2.0
"""What the operators of TensorFlow Lite are in the terms of a program (schema.fbs and its reference kernels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

import numpy as np

from kilobench.compile.imports import flatfile
from kilobench.compile.imports.flatfile import Operator
from kilobench.compile.imports.program import Grid, Value
from kilobench.compile.imports.tfliteimport import RANGES, TfliteImport
from kilobench.compile.operator import require


def _same(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> tuple[int, int, int, int]:
    """Padding with which there are as many windows as strides fit: more below and right where it is odd."""
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, kernel, stride, strict=True)]
    top, left = (total // 2 for total in totals)
    return top, left, totals[0] - top, totals[1] - left


def _window(operator: Operator, source: Value, kernel: Sequence[int]) -> dict[str, Any]:
    """Stride and padding."""
    options = operator.options
    stride = (options["StrideH"], options["StrideW"])
    require(len(source.shape) == 4, f"reads {list(source.shape)}; supported are 4 axes")
    require(min(stride) >= 1, f"has stride={stride}; supported are strides from 1 on")
    require(options["Padding"] in (0, 1), f"has padding={options['Padding']}; supported are SAME and VALID")
    padding = (0, 0, 0, 0) if options["Padding"] == 1 else _same(source.shape[1:3], kernel, stride)
    return {"stride": stride, "padding": padding}


def _weights(walk: TfliteImport, operator: Operator, source: Value, made: Value) -> list[Value]:
    """Weights and bias of an operator: constants whose types suit what it reads."""
    walk.same_type([source], made)
    weight = walk.value(operator.inputs[1])
    require(
        weight.array is not None or weight.dtype == "float32",
        "has weights that are no constant; supported are constants",
    )
    if made.dtype == "float32":
        known = weight.dtype == "float32" or (weight.dtype in ("int8", "uint8") and weight.grid is not None)
    else:
        known = weight.dtype == made.dtype and weight.grid is not None
    require(
        known,
        f"has {weight.dtype} weights for {made.dtype}; supported are weights of that type with a scale, or float32",
    )
    found = [weight]
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = walk.value(operator.inputs[2])
        wanted = "float32" if made.dtype == "float32" else "int32"
        require(bias.dtype == wanted, f"has a {bias.dtype} bias for {made.dtype}; supported is {wanted}")
        found.append(bias if bias.dtype == "float32" else _in_steps(walk, made.name, bias, source, weight))
    return found


def _in_steps(walk: TfliteImport, name: str, bias: Value, source: Value, weight: Value) -> Value:
    """A bias of integers, which are steps of the products, whatever scale the file gives them."""
    assert source.grid is not None and weight.grid is not None
    scale = source.grid.scale * weight.grid.scale
    grid = Grid(scale, np.zeros(len(scale), np.int64), 0 if len(scale) > 1 else None)
    return walk.fresh(f"{name}.bias", bias.shape, bias.dtype, grid, bias.array)


def _laid(walk: TfliteImport, name: str, weight: Value, axes: tuple[int, ...]) -> Value:
    """Weights with their axes in another order; of those that a node makes, by a node."""
    shape = tuple(weight.shape[axis] for axis in axes)
    grid = weight.grid
    if grid is not None and grid.axis is not None:
        require(grid.axis == axes[0], f"has weights with scales along axis {grid.axis}; supported is axis {axes[0]}")
        grid = Grid(grid.scale, grid.zero_point, 0)
    array = None if weight.array is None else weight.array.transpose(axes)
    laid = walk.fresh(f"{name}.weight", shape, weight.dtype, grid, array)
    if array is None:
        walk.node("transpose", [weight], laid, axes=axes)
    return laid


def _conv(walk: TfliteImport, operator: Operator) -> None:
    """Weights [O, KH, KW, I]."""
    source, made = walk.ends(operator)
    weight, *bias = _weights(walk, operator, source, made)
    require(len(weight.shape) == 4, f"has weights {list(weight.shape)}; supported are 4 axes")
    require(len(source.shape) == 4, f"reads {list(source.shape)}; supported are 4 axes")
    before, groups = walk.activated(operator, made), max(1, source.shape[-1] // weight.shape[3])
    _convolve(walk, operator, source, [_laid(walk, made.name, weight, (0, 3, 1, 2)), *bias], before, groups)
    walk.activate(operator, before, made)


def _depthwise(walk: TfliteImport, operator: Operator) -> None:
    """Weights [1, KH, KW, O]."""
    source, made = walk.ends(operator)
    weight, *bias = _weights(walk, operator, source, made)
    require(
        len(weight.shape) == 4 and weight.shape[0] == 1, f"has weights {list(weight.shape)}; supported are [1, h, w, o]"
    )
    groups = source.shape[-1] if source.shape else 1
    multiplier = operator.options["DepthMultiplier"]
    fits = multiplier == 0 or multiplier * groups == weight.shape[3]
    require(fits, f"has depth_multiplier={multiplier} for {groups} channels to {weight.shape[3]}")
    before = walk.activated(operator, made)
    _convolve(walk, operator, source, [_laid(walk, made.name, weight, (3, 0, 1, 2)), *bias], before, groups)
    walk.activate(operator, before, made)


def _convolve(
    walk: TfliteImport, operator: Operator, source: Value, weights: list[Value], made: Value, groups: int
) -> None:
    dilation = (operator.options["DilationHFactor"], operator.options["DilationWFactor"])
    require(min(dilation) >= 1, f"has dilation={dilation}; supported is 1 and more")
    reach = [(k - 1) * d + 1 for k, d in zip(weights[0].shape[2:], dilation, strict=True)]
    window = _window(operator, source, reach)
    walk.node("conv", [source, *weights], made, dilation=dilation, groups=groups, **window)


def _dense(walk: TfliteImport, operator: Operator) -> None:
    """All axes but the last one of weights [O, I] are a batch; without keep_num_dims the output has two axes."""
    source, made = walk.ends(operator)
    weights = _weights(walk, operator, source, made)
    format_ = operator.options["WeightsFormat"]
    require(format_ == 0, f"has weights_format={format_}; supported is DEFAULT")
    require(len(weights[0].shape) == 2, f"has weights {list(weights[0].shape)}; supported are 2 axes")
    grid = weights[0].grid
    require(grid is None or grid.axis in (None, 0), "has weights with scales along axis 1; supported is axis 0")
    out, taken = weights[0].shape
    if not source.shape or source.shape[-1] != taken:
        rows, rest = divmod(prod(source.shape), taken)
        require(rest == 0, f"has weights {[out, taken]} for {list(source.shape)}")
        flat = walk.like(f"{made.name}.flat", source, (rows, taken))
        walk.node("reshape", [source], flat, shape=flat.shape)
        source = flat
    before = walk.activated(operator, made)
    shape = (*source.shape[:-1], out)
    dense = before if before.shape == shape else walk.like(f"{made.name}.rows", before, shape)
    walk.node("dense", [source, *weights], dense)
    if dense is not before:
        walk.node("reshape", [dense], before, shape=before.shape)
    walk.activate(operator, before, made)


def _pool(walk: TfliteImport, operator: Operator) -> None:
    average = operator.kind == "AVERAGE_POOL_2D"
    source, made = walk.ends(operator, moves=True)
    kernel = (operator.options["FilterHeight"], operator.options["FilterWidth"])
    require(min(kernel) >= 1, f"has filter={kernel}; supported are sizes from 1 on")
    before = walk.activated(operator, made)
    counted = {"counted": (0, 0, 0, 0)} if average else {}
    window = _window(operator, source, kernel)
    walk.node("avg_pool" if average else "max_pool", [source], before, kernel=kernel, **window, **counted)
    walk.activate(operator, before, made)


def _binary(walk: TfliteImport, operator: Operator) -> None:
    sources, made = [walk.value(place) for place in operator.inputs], walk.value(operator.outputs[0])
    walk.same_type(sources, made)
    before = walk.activated(operator, made)
    walk.node(operator.kind.lower(), sources, before)
    walk.activate(operator, before, made)


def _divide(walk: TfliteImport, operator: Operator) -> None:
    """By a constant: its inverse is a factor."""
    source, made = walk.ends(operator)
    divisor = walk.value(operator.inputs[1])
    require(
        made.dtype == "float32" and divisor.array is not None,
        "divides by what is no float32 constant; supported is one",
    )
    assert divisor.array is not None
    require(bool((np.abs(divisor.array) > 1e-30).all()), "divides by 0")
    inverse = walk.fresh(
        f"{made.name}.inverse",
        divisor.shape,
        "float32",
        None,
        (1 / divisor.array.astype(np.float64)).astype(np.float32),
    )
    before = walk.activated(operator, made)
    walk.node("mul", [source, inverse], before)
    walk.activate(operator, before, made)


def _extreme(walk: TfliteImport, operator: Operator) -> None:
    """The larger or smaller of a map and one number."""
    constant = [walk.value(place).array for place in operator.inputs]
    order = 0 if constant[0] is None else 1
    source, bound = walk.value(operator.inputs[order]), walk.value(operator.inputs[1 - order])
    made = walk.value(operator.outputs[0])
    walk.same_type([source, bound], made)
    walk.same_grid([source, bound], made)
    require(
        bound.array is not None and bound.array.size == 1, "reads two maps; supported is one, and one constant number"
    )
    assert bound.array is not None
    number = float(bound.array.flat[0])
    if bound.grid is not None:
        number = float((number - bound.grid.zero_point[0]) * bound.grid.scale[0])
    low, high = (number, inf) if operator.kind == "MAXIMUM" else (-inf, number)
    walk.node("clip", [source], made, low=low, high=high)


def _clip(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator)
    low, high = RANGES[operator.kind]
    walk.node("clip", [source], made, low=low, high=high)


def _function(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator)
    kinds = {"HARD_SWISH": "hard_swish", "LOGISTIC": "sigmoid", "TANH": "tanh", "LEAKY_RELU": "leaky_relu"}
    attrs = {"slope": float(operator.options["Alpha"])} if operator.kind == "LEAKY_RELU" else {}
    walk.node(kinds[operator.kind], [source], made, **attrs)


def _prelu(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator)
    slopes = walk.value(operator.inputs[1])
    walk.same_type([source, slopes], made)
    walk.node("prelu", [source, slopes], made)


def _softmax(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator)
    require(operator.options["Beta"] == 1, f"has beta={operator.options['Beta']:g}; supported is 1")
    walk.node("softmax", [source], made, axis=max(0, len(source.shape) - 1))


def _argmax(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.value(operator.inputs[0]), walk.value(operator.outputs[0])
    walk.same_type([source], source)
    require(made.dtype in ("int32", "int64"), f"makes {made.dtype}; supported are int32 and int64")
    axes = walk.numbers(operator.inputs[1], "axes")
    require(len(axes) == 1, f"has {len(axes)} axes; supported is one")
    axis, rank = walk.axis(axes[0], len(source.shape)), len(source.shape)
    walk.node("argmax", [source], made, axis=axis, keepdims=len(made.shape) == rank)


def _concat(walk: TfliteImport, operator: Operator) -> None:
    sources, made = [walk.value(place) for place in operator.inputs], walk.value(operator.outputs[0])
    walk.same_type(sources, made)
    walk.same_grid(sources, made)
    axis = walk.axis(operator.options["Axis"], len(made.shape))
    before = walk.activated(operator, made)
    walk.node("concat", sources, before, axis=axis)
    walk.activate(operator, before, made)


def _pad(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator, moves=True)
    around = walk.numbers(operator.inputs[1], "paddings")
    rank = len(source.shape)
    require(
        len(around) == 2 * rank and min(around, default=0) >= 0, f"has paddings={list(around)!r:.80} for {rank} axes"
    )
    number = 0.0
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        value = walk.value(operator.inputs[2])
        walk.same_type([source, value], made)
        walk.same_grid([value], made)
        require(value.array is not None and value.array.size == 1, "has a value that is no constant number")
        assert value.array is not None
        number = float(value.array.flat[0])
        if value.grid is not None:
            number = float((number - value.grid.zero_point[0]) * value.grid.scale[0])
    walk.node("pad", [source], made, before=around[::2], after=around[1::2], value=number)


def _split(walk: TfliteImport, operator: Operator) -> None:
    """SPLIT reads axis, x; SPLIT_V reads x, sizes, axis."""
    equal = operator.kind == "SPLIT"
    source = walk.value(operator.inputs[1 if equal else 0])
    axes = walk.numbers(operator.inputs[0 if equal else 2], "axes")
    require(len(axes) == 1, f"has {len(axes)} axes; supported is one")
    axis, count = walk.axis(axes[0], len(source.shape)), len(operator.outputs)
    size = source.shape[axis]
    sizes = [size // count] * count if equal else list(walk.numbers(operator.inputs[1], "sizes"))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = size - sum(sizes) - 1
    fits = len(sizes) == count and min(sizes) >= 1 and sum(sizes) == size
    require(fits, f"has the sizes {sizes!r:.80} for {count} parts of {size}")
    ends = np.cumsum(sizes).tolist()
    for place, begin, end in zip(operator.outputs, [0, *ends], ends, strict=False):
        _cut(walk, source, walk.value(place), axis, begin, end)


def _cut(walk: TfliteImport, source: Value, made: Value, axis: int, begin: int, end: int) -> None:
    """A part along one axis."""
    walk.same_type([source], made)
    walk.same_grid([source], made)
    rank = len(source.shape)
    ranges = {"begin": (0,) * rank, "end": source.shape, "step": (1,) * rank}
    ranges["begin"] = tuple(begin if i == axis else 0 for i in range(rank))
    ranges["end"] = tuple(end if i == axis else size for i, size in enumerate(source.shape))
    walk.node("slice", [source], made, **ranges)


def _slice(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator, moves=True)
    begin, size = (
        walk.numbers(place, what) for place, what in zip(operator.inputs[1:], ("begin", "size"), strict=True)
    )
    rank = len(source.shape)
    require(len(begin) == len(size) == rank, f"has begin={list(begin)!r:.60}, size={list(size)!r:.60} for {rank} axes")
    end = tuple(n if s == -1 else b + s for b, s, n in zip(begin, size, source.shape, strict=True))
    walk.node("slice", [source], made, begin=begin, end=end, step=(1,) * rank)


def _strided_slice(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator, moves=True)
    names, rank = ("begin", "end", "strides"), len(source.shape)
    begin, end, step = (walk.numbers(place, what) for place, what in zip(operator.inputs[1:], names, strict=True))
    for name in ("EllipsisMask", "NewAxisMask", "Offset"):
        require(not operator.options[name], f"has {name}={operator.options[name]}; supported is 0")
    require(len(begin) == len(end) == len(step) <= rank, f"has begin={list(begin)!r:.60} for {rank} axes")
    require(min(step, default=1) >= 1, f"has strides={list(step)}; supported are strides from 1 on")
    masks = [operator.options[f"{name}Mask"] for name in ("Begin", "End", "ShrinkAxis")]
    parts = []
    for axis, size in enumerate(source.shape):
        bits = [mask >> axis & 1 for mask in masks] if axis < len(begin) else [1, 1, 0]
        first = 0 if bits[0] else min(begin[axis] + size * (begin[axis] < 0), size)
        last = size if bits[1] else min(end[axis] + size * (end[axis] < 0), size)
        every = 1 if axis >= len(begin) or bits[2] else step[axis]
        parts.append((first, first + 1 if bits[2] else last, every))
    cut = [tuple(part[i] for part in parts) for i in range(3)]
    require(
        all(0 <= a < b <= n for a, b, n in zip(cut[0], cut[1], source.shape, strict=True)),
        f"has begin={cut[0]}, end={cut[1]} for {list(source.shape)}",
    )
    shape = tuple(-(-(b - a) // s) for a, b, s in parts)
    whole = made if made.shape == shape else walk.like(f"{made.name}.part", made, shape)
    walk.node("slice", [source], whole, begin=cut[0], end=cut[1], step=cut[2])
    if whole is not made:
        require(prod(shape) == prod(made.shape), f"makes {list(made.shape)} of {list(shape)}")
        walk.node("reshape", [whole], made, shape=made.shape)


def _reshape(walk: TfliteImport, operator: Operator) -> None:
    """Its other inputs and options say what the shape of the output does."""
    source, made = walk.ends(operator, moves=True)
    walk.node("reshape", [source], made, shape=made.shape)


def _transpose(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator, moves=True)
    rank = len(source.shape)
    axes = tuple(walk.axis(axis, rank) for axis in walk.numbers(operator.inputs[1], "axes"))
    walk.node("transpose", [source], made, axes=axes)


def _mean(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator)
    walk.node("mean", [source], made, axes=_axes(walk, operator, source), keepdims=bool(operator.options["KeepDims"]))


def _axes(walk: TfliteImport, operator: Operator, source: Value) -> tuple[int, ...]:
    found = walk.numbers(operator.inputs[1], "axes")
    return tuple(sorted({walk.axis(axis, len(source.shape)) for axis in found}))


def _reduce_max(walk: TfliteImport, operator: Operator) -> None:
    """Over height and width: a pool of one window."""
    source, made = walk.ends(operator, moves=True)
    axes = _axes(walk, operator, source)
    require(
        len(source.shape) == 4 and axes == (1, 2),
        f"has axes={list(axes)} of {list(source.shape)}; supported are 1 and 2 of 4",
    )
    pooled = walk.like(f"{made.name}.map", made, (source.shape[0], 1, 1, source.shape[3]))
    kernel = source.shape[1:3]
    walk.node("max_pool", [source], pooled, kernel=kernel, stride=(1, 1), padding=(0, 0, 0, 0))
    walk.node("reshape", [pooled], made, shape=made.shape)


def _resize(walk: TfliteImport, operator: Operator) -> None:
    source, made = walk.ends(operator, moves=True)
    size = walk.numbers(operator.inputs[1], "sizes")
    require(not operator.options["AlignCorners"], "has align_corners=True; supported is False")
    walk.node("resize_nearest", [source], made, size=size, half_pixel=bool(operator.options["HalfPixelCenters"]))


def _convert(walk: TfliteImport, operator: Operator) -> None:
    """QUANTIZE to integers with a scale, DEQUANTIZE to floats."""
    source, made = walk.value(operator.inputs[0]), walk.value(operator.outputs[0])
    known = source.dtype == "float32" or (source.dtype in ("int8", "uint8") and source.grid is not None)
    require(known, f"reads {source.dtype} without a scale; supported are float32, and int8 and uint8 with one")
    if operator.kind == "DEQUANTIZE":
        require(made.dtype == "float32", f"makes {made.dtype}; supported is float32")
        walk.node("dequantise", [source], made)
    else:
        known = made.dtype in ("int8", "uint8") and made.grid is not None
        require(known, f"makes {made.dtype}; supported are int8 and uint8 with a scale")
        walk.node("quantise", [source], made)


def _unpack(walk: TfliteImport, operator: Operator) -> None:
    """A part for each place along an axis, without that axis."""
    source = walk.value(operator.inputs[0])
    axis = walk.axis(operator.options["Axis"], len(source.shape))
    require(source.shape[axis] == len(operator.outputs), f"makes {len(operator.outputs)} parts of {source.shape[axis]}")
    shape = tuple(1 if i == axis else size for i, size in enumerate(source.shape))
    for index, place in enumerate(operator.outputs):
        made = walk.value(place)
        part = walk.like(f"{made.name}.part", made, shape)
        _cut(walk, source, part, axis, index, index + 1)
        walk.node("reshape", [part], made, shape=made.shape)


def _pack(walk: TfliteImport, operator: Operator) -> None:
    """Inputs side by side along a new axis."""
    sources, made = [walk.value(place) for place in operator.inputs], walk.value(operator.outputs[0])
    walk.same_type(sources, made)
    walk.same_grid(sources, made)
    axis = walk.axis(operator.options["Axis"], len(made.shape))
    parts = []
    for source in sources:
        part = walk.like(f"{source.name}.part", source, (*source.shape[:axis], 1, *source.shape[axis:]))
        walk.node("reshape", [source], part, shape=part.shape)
        parts.append(part)
    walk.node("concat", parts, made, axis=axis)


def _blocks(walk: TfliteImport, operator: Operator) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: [h, w, block, block, c] in either order."""
    source, made = walk.ends(operator, moves=True)
    block = operator.options["BlockSize"]
    require(
        len(source.shape) == len(made.shape) == 4 and block >= 1, f"has block_size={block} for {list(source.shape)}"
    )
    deep, flat = (source, made) if operator.kind == "DEPTH_TO_SPACE" else (made, source)
    height, width, channels = deep.shape[1], deep.shape[2], flat.shape[3]
    fits = flat.shape[1:3] == (height * block, width * block) and deep.shape[3] == channels * block * block
    require(fits, f"has block_size={block} for {list(source.shape)} to {list(made.shape)}")
    apart = (1, height, width, block, block, channels), (1, height, block, width, block, channels)
    split, ordered = apart if deep is source else apart[::-1]
    first, second = (
        walk.like(f"{made.name}.{part}", made, shape) for part, shape in (("split", split), ("ordered", ordered))
    )
    walk.node("reshape", [source], first, shape=split)
    walk.node("transpose", [first], second, axes=(0, 1, 3, 2, 4, 5))
    walk.node("reshape", [second], made, shape=made.shape)


_Translate = Callable[[TfliteImport, Operator], None]
_MANY = (1, flatfile.MAX_ENDS)
_ONE = (1, 1)
OPERATORS: dict[str, tuple[_Translate, tuple[int, int], tuple[int, int]]] = {
    "CONV_2D": (_conv, (2, 3), _ONE),
    "DEPTHWISE_CONV_2D": (_depthwise, (2, 3), _ONE),
    "FULLY_CONNECTED": (_dense, (2, 3), _ONE),
    "AVERAGE_POOL_2D": (_pool, _ONE, _ONE),
    "MAX_POOL_2D": (_pool, _ONE, _ONE),
    "ADD": (_binary, (2, 2), _ONE),
    "SUB": (_binary, (2, 2), _ONE),
    "MUL": (_binary, (2, 2), _ONE),
    "DIV": (_divide, (2, 2), _ONE),
    "MAXIMUM": (_extreme, (2, 2), _ONE),
    "MINIMUM": (_extreme, (2, 2), _ONE),
    "RELU": (_clip, _ONE, _ONE),
    "RELU6": (_clip, _ONE, _ONE),
    "RELU_N1_TO_1": (_clip, _ONE, _ONE),
    "RELU_0_TO_1": (_clip, _ONE, _ONE),
    "HARD_SWISH": (_function, _ONE, _ONE),
    "LOGISTIC": (_function, _ONE, _ONE),
    "TANH": (_function, _ONE, _ONE),
    "LEAKY_RELU": (_function, _ONE, _ONE),
    "PRELU": (_prelu, (2, 2), _ONE),
    "SOFTMAX": (_softmax, _ONE, _ONE),
    "ARG_MAX": (_argmax, (2, 2), _ONE),
    "CONCATENATION": (_concat, _MANY, _ONE),
    "PACK": (_pack, _MANY, _ONE),
    "UNPACK": (_unpack, _ONE, _MANY),
    "PAD": (_pad, (2, 2), _ONE),
    "PADV2": (_pad, (3, 3), _ONE),
    "SPLIT": (_split, (2, 2), _MANY),
    "SPLIT_V": (_split, (3, 3), _MANY),
    "SLICE": (_slice, (3, 3), _ONE),
    "STRIDED_SLICE": (_strided_slice, (4, 4), _ONE),
    "RESHAPE": (_reshape, (1, 2), _ONE),
    "SQUEEZE": (_reshape, _ONE, _ONE),
    "EXPAND_DIMS": (_reshape, (2, 2), _ONE),
    "TRANSPOSE": (_transpose, (2, 2), _ONE),
    "MEAN": (_mean, (2, 2), _ONE),
    "REDUCE_MAX": (_reduce_max, (2, 2), _ONE),
    "RESIZE_NEAREST_NEIGHBOR": (_resize, (2, 2), _ONE),
    "QUANTIZE": (_convert, _ONE, _ONE),
    "DEQUANTIZE": (_convert, _ONE, _ONE),
    "DEPTH_TO_SPACE": (_blocks, _ONE, _ONE),
    "SPACE_TO_DEPTH": (_blocks, _ONE, _ONE),
}
"""How an operator is translated, and how many inputs and outputs it has, at least and at most."""
