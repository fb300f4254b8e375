# SPDX-License-Identifier: Apache-2.0
"""Whether a program is what kilobench.compile.imports.program says, and the shape that every node of it makes.

Programs are made of files that come from anybody. What is checked here, fusions and lowering take for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan, prod

import numpy as np

from kilobench.compile.graphcheck import MAX_MAP_BYTES
from kilobench.compile.imports.program import Node, Program, Value
from kilobench.compile.operator import require
from kilobench.compile.ops._window import MAX_WINDOW
from kilobench.contracts import UserError

Shape = tuple[int, ...]

MAX_NODES, MAX_RANK, MAX_CONCAT = 2000, 8, 64
"""Of a program; axes of a value; inputs of a concatenation."""
_DTYPES = ("float32", "int8", "uint8", "int16", "int32", "int64")


def check_program(program: Program) -> None:
    """Raises UserError, in one line that names the node or value, for a program that cannot be lowered whatever it says."""
    require_(len(program.nodes) <= MAX_NODES, f"it has {len(program.nodes)} operators, above {MAX_NODES}")
    for value in program.values.values():
        try:
            _check_value(value)
        except ValueError as error:
            raise UserError(f"{value.name} {error}") from None
    require_(program.input in program.values, f"its input {program.input!r} is no tensor")
    made = {name for name, value in program.values.items() if value.array is not None}
    require_(program.input not in made, f"its input {program.input} is a constant")
    made.add(program.input)
    for node in program.nodes:
        try:
            require(
                set(node.inputs) <= made, f"reads {sorted(set(node.inputs) - made)[:1]}, which nothing before it makes"
            )
            require(node.output in program.values, f"makes {node.output!r}, which is no tensor")
            require(node.output not in made, f"makes {node.output}, which is there already")
            shape = output_shape(program, node)
            said = program.values[node.output].shape
            require(shape == said, f"makes {list(shape)}, where {list(said)} is said to be made")
        except ValueError as error:
            raise UserError(f"{node.name} ({node.kind}) {error}") from None
        made.add(node.output)
    for name in program.outputs:
        require_(name in made, f"its output {name!r} is made by no operator")
    require_(len(set(program.outputs)) == len(program.outputs) > 0, "its outputs are not named once each")


def require_(holds: bool, text: str) -> None:
    """Raise UserError with this text if something does not hold."""
    if not holds:
        raise UserError(text)


def _check_value(value: Value) -> None:
    shape, grid = value.shape, value.grid
    require(value.dtype in _DTYPES, f"has the type {value.dtype}; supported are {', '.join(_DTYPES)}")
    whole = len(shape) <= MAX_RANK and all(type(size) is int and size >= 1 for size in shape)
    require(whole, f"has the shape {list(shape)!r:.80}; supported are up to {MAX_RANK} axes, none empty")
    largest = MAX_MAP_BYTES // np.dtype(value.dtype).itemsize
    require(prod(shape) <= largest, f"has the shape {list(shape)}, of more values than {largest}")
    if value.array is not None:
        require(
            value.array.shape == shape and str(value.array.dtype) == value.dtype,
            "holds numbers of another shape or type",
        )
        finite = value.array.dtype.kind != "f" or bool(np.isfinite(value.array).all())
        require(finite, "holds a number that is not finite")
    if grid is None:
        return
    require(
        grid.scale.ndim == 1 and grid.scale.shape == grid.zero_point.shape, "has scales and zero points of two shapes"
    )
    float32 = np.finfo(np.float32)
    good = np.isfinite(grid.scale) & (grid.scale >= float32.tiny) & (grid.scale <= float32.max)
    require(bool(good.all()), f"has the scale {grid.scale[~good][:1].tolist()}; supported are positive numbers")
    kind = np.iinfo(value.dtype if value.dtype != "float32" else "int8")
    inside = (grid.zero_point >= kind.min) & (grid.zero_point <= kind.max)
    require(bool(inside.all()), f"has the zero point {grid.zero_point[~inside][:1].tolist()}, out of {value.dtype}")
    count = 1
    if grid.axis is not None and grid.scale.size > 1:
        require(value.array is not None, f"has {grid.scale.size} scales; supported is one of what is no constant")
        require(0 <= grid.axis < len(shape), f"has scales along axis {grid.axis} of {list(shape)}")
        count = shape[grid.axis]
    require(grid.scale.size == count, f"has {grid.scale.size} scales, not {count}")


def output_shape(program: Program, node: Node) -> Shape:
    """Of a node whose inputs are there; raises ValueError for attributes or inputs that do not suit its kind."""
    require(node.kind in _KINDS, f"is of a kind that there is not; supported are {', '.join(sorted(_KINDS))}")
    infer, least, most, attrs = _KINDS[node.kind]
    require(least <= len(node.inputs) <= most, f"reads {len(node.inputs)} tensors, not {least} to {most}")
    require(
        set(node.attrs) == set(attrs.split()), f"has the attributes {sorted(node.attrs)}, not {sorted(attrs.split())}"
    )
    return infer(program, node, [program.values[name].shape for name in node.inputs])


def channel_axis(program: Program, rank: int) -> int:
    """Of a value of this rank."""
    return rank - 1 if program.channels_last or rank < 2 else 1


def map_axes(program: Program) -> tuple[int, int, int]:
    """Which axes of a value of rank 4 are height, width and channels."""
    return (1, 2, 3) if program.channels_last else (2, 3, 1)


def _numbers(node: Node, key: str, count: int, low: int, high: int = MAX_WINDOW) -> Shape:
    value = node.attrs[key]
    whole = isinstance(value, tuple) and len(value) == count and all(type(v) is int and low <= v <= high for v in value)
    require(whole, f"has {key}={value!r:.80}; supported are {count} whole numbers from {low} to {high}")
    return value


def _axis(node: Node, rank: int) -> int:
    axis = node.attrs["axis"]
    require(type(axis) is int and 0 <= axis < rank, f"has axis={axis!r:.20}; supported are 0 to {rank - 1}")
    return axis


def _float(node: Node, key: str, infinite: bool = False) -> float:
    value = node.attrs[key]
    good = (
        type(value) is float
        and (isfinite(value) or (infinite and not isnan(value)))
        and (abs(value) < 3e38 or infinite)
    )
    require(good, f"has {key}={value!r:.30}; supported are finite numbers")
    return value


def _map(program: Program, node: Node, shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels."""
    require(len(shape) == 4, f"reads {list(shape)}; supported are 4 axes")
    require(shape[0] == 1, f"reads a batch of {shape[0]}; supported is 1")
    height, width, channels = (shape[axis] for axis in map_axes(program))
    return height, width, channels


def _mapped(program: Program, height: int, width: int, channels: int) -> Shape:
    return (1, height, width, channels) if program.channels_last else (1, channels, height, width)


def _windows(node: Node, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
    stride, padding = _numbers(node, "stride", 2, 1), _numbers(node, "padding", 4, 0)
    around = (padding[0] + padding[2], padding[1] + padding[3])
    fits = all(n + p >= k for n, p, k in zip(size, around, kernel, strict=False))
    require(fits, f"has kernel={tuple(kernel)}, padding={padding} for a map of {size[0]} x {size[1]}")
    height, width = ((n + p - k) // s + 1 for n, p, k, s in zip(size, around, kernel, stride, strict=False))
    return height, width


def _weights(program: Program, node: Node, rank: int) -> Shape:
    weight = program.values[node.inputs[1]]
    require(weight.array is not None, "has weights that are no constant; supported are constants")
    require(len(weight.shape) == rank, f"has weights of the shape {list(weight.shape)}; supported are {rank} axes")
    if len(node.inputs) == 3:
        bias = program.values[node.inputs[2]]
        require(bias.array is not None, "has a bias that is no constant; supported are constants")
        require(
            bias.shape == weight.shape[:1], f"has a bias of the shape {list(bias.shape)}, not {list(weight.shape[:1])}"
        )
    return weight.shape


def _conv(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    size = _map(program, node, shapes[0])
    out, taken, *kernel = _weights(program, node, 4)
    dilation = _numbers(node, "dilation", 2, 1)
    groups = node.attrs["groups"]
    whole = type(groups) is int and groups >= 1 and taken * groups == size[2] and out % groups == 0
    require(whole, f"has groups={groups!r:.20} and weights {list(shapes[1])} for {size[2]} channels")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    return _mapped(program, *_windows(node, size, reach), out)


def _dense(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    out, taken = _weights(program, node, 2)
    fits = len(shapes[0]) >= 1 and shapes[0][-1] == taken
    require(fits, f"has weights {[out, taken]} for {list(shapes[0])}, whose last axis is no {taken}")
    return (*shapes[0][:-1], out)


def _pool(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    size = _map(program, node, shapes[0])
    kernel = _numbers(node, "kernel", 2, 1)
    made = _windows(node, size, kernel)
    padding = node.attrs["padding"]
    less = all(p < k for p, k in zip(padding, (*kernel, *kernel), strict=True))
    require(less, f"has padding={padding} for kernel={kernel}; supported is less padding than kernel")
    if node.kind == "avg_pool":
        counted = _numbers(node, "counted", 4, 0)
        fits = all(c <= p for c, p in zip(counted, padding, strict=True))
        require(fits, f"counts {counted} of the padding {padding}")
    return _mapped(program, *made, size[2])


def _mean(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    axes, rank = node.attrs["axes"], len(shapes[0])
    good = (
        isinstance(axes, tuple)
        and 1 <= len(set(axes)) == len(axes)
        and all(type(a) is int and 0 <= a < rank for a in axes)
    )
    require(good, f"has axes={axes!r:.50}; supported are some of 0 to {rank - 1}")
    return _reduced(node, shapes[0], axes)


def _reduced(node: Node, shape: Shape, axes: Sequence[int]) -> Shape:
    keep = node.attrs["keepdims"]
    require(type(keep) is bool, f"has keepdims={keep!r:.20}")
    if keep:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _argmax(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    return _reduced(node, shapes[0], (_axis(node, len(shapes[0])),))


def _binary(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise ValueError(f"reads {list(shapes[0])} and {list(shapes[1])}, which do not broadcast") from None


def _norm(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    channels = shapes[0][channel_axis(program, len(shapes[0]))] if shapes[0] else 1
    for name, shape in zip(node.inputs[1:], shapes[1:], strict=True):
        require(program.values[name].array is not None, f"has {name} that is no constant; supported are constants")
        require(shape == (channels,), f"has {name} of the shape {list(shape)}, not {[channels]}")
    return shapes[0]


def _unary(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    for key in node.attrs:
        _float(node, key, infinite=node.kind == "clip")
    if node.kind == "clip":
        require(node.attrs["low"] <= node.attrs["high"], f"has low={node.attrs['low']} above high={node.attrs['high']}")
    if node.kind == "quantise":
        require(program.values[node.output].grid is not None, "makes a tensor without a scale")
    return shapes[0]


def _prelu(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    require(
        program.values[node.inputs[1]].array is not None, "has slopes that are no constant; supported are constants"
    )
    require(_binary(program, node, shapes) == shapes[0], f"has slopes {list(shapes[1])} for {list(shapes[0])}")
    return shapes[0]


def _softmax(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    _axis(node, len(shapes[0]))
    return shapes[0]


def _concat(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    axis = _axis(node, len(shapes[0]))
    rest = {(*shape[:axis], 0, *shape[axis + 1 :]) for shape in shapes}
    require(len(rest) == 1, f"joins {[list(shape) for shape in shapes]!r:.120} along axis {axis}")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _pad(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    rank = len(shapes[0])
    _float(node, "value")
    both = zip(shapes[0], _numbers(node, "before", rank, 0), _numbers(node, "after", rank, 0), strict=True)
    return tuple(size + before + after for size, before, after in both)


def _slice(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    shape = shapes[0]
    begin, end, step = (
        _numbers(node, key, len(shape), low, MAX_MAP_BYTES) for key, low in (("begin", 0), ("end", 1), ("step", 1))
    )
    within = all(b < e <= n for b, e, n in zip(begin, end, shape, strict=True))
    require(within, f"has begin={begin}, end={end} for {list(shape)}")
    return tuple(-(-(e - b) // s) for b, e, s in zip(begin, end, step, strict=True))


def _reshape(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    shape = node.attrs["shape"]
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 1 for size in shape)
    require(whole and prod(shape) == prod(shapes[0]), f"has shape={shape!r:.80} for {list(shapes[0])}")
    return shape


def _transpose(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    axes = node.attrs["axes"]
    every = (
        isinstance(axes, tuple) and all(type(a) is int for a in axes) and sorted(axes) == list(range(len(shapes[0])))
    )
    require(every, f"has axes={axes!r:.50} for {list(shapes[0])}")
    return tuple(shapes[0][axis] for axis in axes)


def _resize(program: Program, node: Node, shapes: Sequence[Shape]) -> Shape:
    channels = _map(program, node, shapes[0])[2]
    height, width = _numbers(node, "size", 2, 1)
    require(type(node.attrs["half_pixel"]) is bool, f"has half_pixel={node.attrs['half_pixel']!r:.20}")
    return _mapped(program, height, width, channels)


_Infer = Callable[[Program, Node, Sequence[Shape]], Shape]
_KINDS: dict[str, tuple[_Infer, int, int, str]] = {
    "conv": (_conv, 2, 3, "stride dilation padding groups"),
    "dense": (_dense, 2, 3, ""),
    "max_pool": (_pool, 1, 1, "kernel stride padding"),
    "avg_pool": (_pool, 1, 1, "kernel stride padding counted"),
    "mean": (_mean, 1, 1, "axes keepdims"),
    "add": (_binary, 2, 2, ""),
    "sub": (_binary, 2, 2, ""),
    "mul": (_binary, 2, 2, ""),
    "batch_norm": (_norm, 3, 3, ""),
    "prelu": (_prelu, 2, 2, ""),
    "softmax": (_softmax, 1, 1, "axis"),
    "argmax": (_argmax, 1, 1, "axis keepdims"),
    "concat": (_concat, 1, MAX_CONCAT, "axis"),
    "pad": (_pad, 1, 1, "before after value"),
    "slice": (_slice, 1, 1, "begin end step"),
    "reshape": (_reshape, 1, 1, "shape"),
    "transpose": (_transpose, 1, 1, "axes"),
    "resize_nearest": (_resize, 1, 1, "size half_pixel"),
    "clip": (_unary, 1, 1, "low high"),
    "leaky_relu": (_unary, 1, 1, "slope"),
    "hard_sigmoid": (_unary, 1, 1, "slope offset"),
    **dict.fromkeys(("relu", "hard_swish", "sigmoid", "tanh", "quantise", "dequantise"), (_unary, 1, 1, "")),
}
"""How the shape is found, the least and the largest number of inputs, the attributes."""
