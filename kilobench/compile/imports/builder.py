# SPDX-License-Identifier: Apache-2.0
"""Programs, operator by operator, for files whose maps are [batch, channels, ...] (ONNX, torch.export).

Every shape is worked out here, none is believed of a file; what can be computed of constants is computed at once. What is
wrong with an operator raises ValueError, which the importer completes with its name and kind.

Maps of one spatial dimension, [batch, channels, length], are computed as [batch, channels, 1, length] from the first
convolution or pool on: reshapes lead there and back, those that nothing reads are dropped in the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kilobench.compile.graphcheck import MAX_MAP_BYTES
from kilobench.compile.imports.constants import along
from kilobench.compile.imports.program import Grid, Node, Program, Value
from kilobench.compile.imports.shapes import MAX_NODES, MAX_RANK, output_shape
from kilobench.compile.imports.windows import Window, inserted
from kilobench.compile.operator import require
from kilobench.lines import one_line

MAX_CONSTANTS = 2**28
"""Bytes of all constants together, those that are computed too."""
MAX_SIZE = MAX_MAP_BYTES // 4
"""Entries of a map."""
INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
"""Types of what is quantised, int32 being that of biases."""

_FOLDED: dict[str, Callable[..., NDArray[Any]]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "relu": lambda x: np.maximum(x, 0),
    "clip": lambda x, low, high: np.clip(x, low, high),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    "slice": lambda x, begin, end, step: x[tuple(map(slice, begin, end, step))],
    "concat": lambda *parts, axis: np.concatenate(parts, axis),
}
"""What is computed of constants."""
_MOVES = {"max_pool", "resize_nearest", "reshape", "transpose", "slice", "concat", "pad"}
"""What moves numbers and makes none: integers may stay as they are."""
_BESIDE = {"quantise", "dequantise", "reshape", "transpose"}
"""What is made beside the operator that has the name in the file, as a rule."""
_ROWS = {"relu", "clip", "leaky_relu", "hard_sigmoid", "hard_swish", "sigmoid", "tanh", "prelu", "batch_norm"}
_ROWS |= {"add", "sub", "mul", "concat", "pad", "slice", "softmax"}
"""What is done to [batch, channels, 1, length] where a map of one dimension is at hand in that form."""


class Builder:
    """A Program in the making. ``at`` is the name of the file's operator that is being translated."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.at = ""
        self._names = Names()
        self._made: dict[str, Node] = {}
        self._rows: dict[str, str] = {}
        self._bytes = 0

    # Values

    def constant(self, array: ArrayLike, grid: Grid | None = None, name: str = "") -> str:
        """A new constant; with a grid, its raw integers."""
        array = np.asarray(array)
        self._bytes += array.nbytes
        require(self._bytes <= MAX_CONSTANTS, f"makes the constants larger than {MAX_CONSTANTS} bytes")
        return self._value(name or f"{self.at}.constant", array.shape, str(array.dtype), grid, array)

    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> str:
        """The input of the network."""
        _check_map(shape)
        return self._value(name, shape, dtype)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a value."""
        return self.values[name].shape

    def is_constant(self, *names: str) -> bool:
        """Whether all of some values are."""
        return all(self.values[name].array is not None for name in names)

    def raw(self, name: str) -> NDArray[Any]:
        """The numbers of a constant as they are stored; raises ValueError if it is none."""
        array = self.values[name].array
        require(array is not None, f"needs a constant where it reads {name}, which is computed")
        return np.asarray(array)

    def real(self, name: str) -> NDArray[Any]:
        """What the numbers of a constant mean: float32 of those with a grid, computed as ONNX and torch say."""
        return dequantised(self.raw(name), self.values[name].grid)

    def floats(self, name: str, what: str) -> NDArray[np.float64]:
        """Of a constant, finite."""
        array = self.real(name).astype(np.float64)
        require(np.isfinite(array).all(), f"has a {what} that is not finite")
        return array

    def producer(self, name: str) -> Node | None:
        """The node that makes a value."""
        return self._made.get(name)

    # Nodes

    def node(self, kind: str, *inputs: str, **attrs: Any) -> str:
        """A node of the table of program.py, or the constant that it comes to; returns the name of its output."""
        if kind in _FOLDED and self.is_constant(*inputs):
            return self._fold(kind, inputs, attrs)
        if kind in _ROWS and any(name in self._rows for name in inputs):
            return self._in_rows(kind, inputs, attrs)
        values = [self.values[name] for name in inputs]
        dtype = self._dtype(kind, values)
        for value in values:
            finite = value.array is None or bool(np.isfinite(value.array).all())
            require(finite, f"reads {value.name}, which holds a number that is not finite")
        shape = output_shape(self._program(), Node(kind, self.at, inputs, "", attrs))
        _check_map(shape)
        return self._emit(kind, inputs, attrs, shape, dtype, values[0].grid if kind in _MOVES else None)

    def conv(self, x: str, weight: str, bias: str, window: Window, groups: int) -> str:
        """A convolution of one or two dimensions; ``bias`` is empty for none. ``window`` is what slides."""
        w = self.values[weight]
        require(w.array is not None, "has a weight that is computed; supported are constants")
        rank = len(self.shape(x))
        require(rank in (3, 4) and len(w.shape) == rank, f"is of {len(w.shape) - 2} dimensions; supported are 1 and 2")
        if rank == 3:
            weight = self.reshape(weight, inserted(w.shape, 1))
        inputs = (self.rows(x), weight, bias) if bias else (self.rows(x), weight)
        y = self.node("conv", *inputs, **window.conv_attrs(self.shape(x)[2:]), groups=groups)
        return self._from_rows(y, rank)

    def pool(self, kind: str, x: str, window: Window) -> str:
        """max_pool or avg_pool of one or two dimensions. ``window`` is what slides."""
        rank = len(self.shape(x))
        require(rank in (3, 4), f"reads a map of the shape {self.shape(x)}; supported are 1 and 2 dimensions")
        attrs = window.pool_attrs(self.shape(x)[2:])
        counted = attrs.pop("counted")
        if kind == "avg_pool":
            attrs["counted"] = counted
        return self._from_rows(self.node(kind, self.rows(x), **attrs), rank)

    def dense(self, x: str, weight: str, bias: str = "") -> str:
        """The last axis of any map times a weight [out, in]."""
        require(len(self.shape(weight)) == 2, f"has a weight of the shape {self.shape(weight)}")
        return self.node("dense", x, weight, *filter(None, [bias]))

    def batch_norm(self, x: str, weight: str, bias: str, mean: str, variance: str, epsilon: float) -> str:
        """With fixed statistics, as a product and a sum; ``weight`` and ``bias`` are empty for none."""
        spread = self.floats(variance, "variance") + epsilon
        require(len(self.shape(x)) >= 2 and spread.shape == (self.shape(x)[1],), "does not have a variance per channel")
        require((spread > 0).all(), "has a variance, with epsilon, that is not above 0")
        factor = (self.floats(weight, "scale") if weight else 1.0) / np.sqrt(spread)
        offset = (self.floats(bias, "bias") if bias else 0.0) - self.floats(mean, "mean") * factor
        numbers = (_single(factor), _single(offset))
        require(all(part.shape == spread.shape for part in numbers), "does not have one parameter per channel")
        return self.node("batch_norm", x, *map(self.constant, numbers))

    def binary(self, kind: str, a: str, b: str) -> str:
        """add, sub or mul. A constant that is added to a convolution or dense layer without bias is its bias; written out hard
        sigmoids and hard swishes (Howard et al., Searching for MobileNetV3, 2019, section 5.2) are these again."""
        if kind in ("add", "mul") and self.is_constant(a) and not self.is_constant(b):
            a, b = b, a
        if kind == "add" and (y := self._with_bias(a, b)):
            return y
        return (self._hard(a, b) if kind == "mul" else "") or self.node(kind, a, b)

    def scaled(self, x: str, factor: float) -> str:
        """A product with a number."""
        return self.binary("mul", x, self.constant(np.float32(factor)))

    def divided(self, a: str, b: str) -> str:
        """A quotient by constants."""
        require(self.is_constant(b), "divides by what is computed; supported are constants")
        divisor = self.floats(b, "divisor")
        require((divisor != 0).all(), "divides by 0")
        return self.binary("mul", a, self.constant(_single(1 / divisor)))

    def clip(self, x: str, low: float, high: float) -> str:
        """Bounds, which may be infinite; two of them in a row are one."""
        require(low <= high, f"clips from {low} to {high}")
        before = self._made.get(x)
        if before is not None and before.kind in ("relu", "clip"):
            inner = (0.0, math.inf) if before.kind == "relu" else (before.attrs["low"], before.attrs["high"])
            if max(low, inner[0]) <= min(high, inner[1]):
                return self.clip(before.inputs[0], max(low, inner[0]), min(high, inner[1]))
        if (low, high) == (0.0, math.inf):
            return self.node("relu", x)
        return x if (low, high) == (-math.inf, math.inf) else self.node("clip", x, low=low, high=high)

    def leaky(self, x: str, slopes: str) -> str:
        """leaky_relu for one slope, else prelu for one per channel, shaped so that they broadcast with x."""
        numbers = self.floats(slopes, "slope").astype(np.float32)
        if numbers.size == 1:
            return self.node("leaky_relu", x, slope=float(numbers.reshape(())))
        rank = len(self.shape(x))
        wanted = tuple(size if axis == 1 else 1 for axis, size in enumerate(self.shape(x)))
        given = (1,) * (rank - numbers.ndim) + numbers.shape
        require(given == wanted, f"has slopes of the shape {numbers.shape}; supported is one for each channel")
        shaped = numbers.reshape(wanted[1:])
        return self.node("prelu", x, self.constant(shaped))

    def mean(self, x: str, axes: Sequence[int], keepdims: bool) -> str:
        """Over axes, counted from the end if negative."""
        shape = self.shape(x)
        chosen = tuple(sorted({axis_of(axis, len(shape)) for axis in axes}))
        require(bool(chosen), "averages no axis")
        kept = tuple(1 if axis in chosen else size for axis, size in enumerate(shape))
        wanted = kept if keepdims else tuple(size for axis, size in enumerate(shape) if axis not in chosen)
        if (four := self._rows.get(x)) is not None:
            x, chosen = four, tuple(axis + (axis >= 2) for axis in chosen)
        return self.reshape(self.node("mean", x, axes=chosen, keepdims=True), wanted)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """In the order that the numbers have; two of them in a row are one."""
        shape = tuple(shape)
        if shape == self.shape(x):
            return x
        before = self._made.get(x)
        if before is not None and before.kind == "reshape":
            return self.reshape(before.inputs[0], shape)
        return self.node("reshape", x, shape=shape)

    def transpose(self, x: str, axes: Sequence[int]) -> str:
        """Which axis of x each axis of the output is."""
        axes = tuple(axis_of(axis, len(axes)) for axis in axes)
        require(sorted(axes) == list(range(len(self.shape(x)))), f"has the axes {axes} for {self.shape(x)}")
        return x if list(axes) == sorted(axes) else self.node("transpose", x, axes=axes)

    def slice(self, x: str, bounds: dict[int, tuple[int, int, int]]) -> str:
        """Begin, end and step of axes, as Python has them."""
        shape = self.shape(x)
        found = {axis_of(axis, len(shape)): slice(*bound) for axis, bound in bounds.items()}
        require(len(found) == len(bounds), "slices an axis twice")
        require(all(part.step > 0 for part in found.values()), "slices backwards; supported are steps above 0")
        parts = [found.get(axis, slice(None)).indices(size) for axis, size in enumerate(shape)]
        begin, end, step = (tuple(column) for column in zip(*parts, strict=True))
        require(all(b < e for b, e in zip(begin, end, strict=True)), f"slices nothing out of {shape}")
        if (begin, end) == ((0,) * len(shape), shape) and set(step) == {1}:
            return x
        return self.node("slice", x, begin=begin, end=end, step=step)

    def split(self, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Parts along an axis."""
        axis = axis_of(axis, len(self.shape(x)))
        require(all(size > 0 for size in sizes) and sum(sizes) == self.shape(x)[axis], f"splits into {tuple(sizes)}")
        ends = np.cumsum(sizes).tolist()
        return [self.slice(x, {axis: (end - size, end, 1)}) for size, end in zip(sizes, ends, strict=True)]

    def select(self, x: str, axis: int, index: int) -> str:
        """One entry along an axis, which the output has no more."""
        shape = self.shape(x)
        axis = axis_of(axis, len(shape))
        require(-shape[axis] <= index < shape[axis], f"takes entry {index} of {shape[axis]}")
        index %= shape[axis]
        return self.reshape(self.slice(x, {axis: (index, index + 1, 1)}), shape[:axis] + shape[axis + 1 :])

    def concat(self, parts: Sequence[str], axis: int) -> str:
        """Along an axis, counted from the end if negative."""
        require(len(parts) > 0, "joins nothing")
        axis = axis_of(axis, len(self.shape(parts[0])))
        return parts[0] if len(parts) == 1 else self.node("concat", *parts, axis=axis)

    def pad(self, x: str, before: Sequence[int], after: Sequence[int], value: float) -> str:
        """With a number."""
        require(min(*before, *after) >= 0, "pads by less than nothing; supported is Slice")
        require(math.isfinite(value), f"pads with {value}; supported are finite numbers")
        if not any((*before, *after)):
            return x
        return self.node("pad", x, before=tuple(before), after=tuple(after), value=float(value))

    def softmax(self, x: str, axis: int) -> str:
        """Along an axis, counted from the end if negative."""
        return self.node("softmax", x, axis=axis_of(axis, len(self.shape(x))))

    def argmax(self, x: str, axis: int, keepdims: bool) -> str:
        """Along an axis; the first of the largest."""
        return self.node("argmax", x, axis=axis_of(axis, len(self.shape(x))), keepdims=keepdims)

    def resize(self, x: str, size: Sequence[int], half_pixel: bool) -> str:
        """Nearest neighbours of one or two dimensions."""
        rank = len(self.shape(x))
        require(rank in (3, 4), f"resizes a map of the shape {self.shape(x)}; supported are 1 and 2 dimensions")
        four = (1, *size) if rank == 3 else tuple(size)
        return self._from_rows(self.node("resize_nearest", self.rows(x), size=four, half_pixel=half_pixel), rank)

    # Quantisation

    def quantise(self, x: str, grid: Grid, dtype: str) -> str:
        """To integers, rounded half to even."""
        check_grid(grid, dtype, self.shape(x))
        if not self.is_constant(x):
            require(grid.axis is None, "quantises a map with a scale per channel; supported is one scale")
            require(self.values[x].dtype == "float32", f"quantises {self.values[x].dtype}; supported is float32")
            return self._emit("quantise", (x,), {}, self.shape(x), dtype, grid)
        scale, zero = along(grid, len(self.shape(x)))
        return self.constant(
            np.clip(np.rint(self.floats(x, "weight") / scale) + zero, *INTEGERS[dtype]).astype(dtype), grid
        )

    def dequantise(self, x: str, grid: Grid) -> str:
        """To floats; of constants, the same numbers with a grid."""
        value = self.values[x]
        check_grid(grid, value.dtype, value.shape)
        if value.array is not None:
            return self.constant(value.array, grid)
        require(value.dtype != "int32", "reads an int32 map; supported are int8 and uint8")
        require(grid.axis is None, "reads a map with a scale per channel; supported is one scale")
        self._state_grid(x, grid)
        return self._emit("dequantise", (x,), {}, value.shape, "float32", None)

    def _state_grid(self, x: str, grid: Grid) -> None:
        """Of integers that had none so far: the network's input, and what was moved of it."""
        value = self.values[x]
        if value.grid is not None:
            same = value.grid.scale == grid.scale and value.grid.zero_point == grid.zero_point
            require(same, f"reads {x} with another scale or zero point than that which it has")
            return
        value.grid = grid
        for name in self._made[x].inputs if x in self._made else ():
            if self.values[name].array is None:
                self._state_grid(name, grid)

    # The end

    def finish(self, source: str, outputs: Sequence[str]) -> Program:
        """The program, without what leads to none of its outputs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if node.output in needed:
                kept.append(node)
                needed |= set(node.inputs)
        require(source in needed, "its outputs do not depend on its input")
        values = {name: value for name, value in self.values.items() if name in needed}
        return Program(values, kept[::-1], source, tuple(outputs), channels_last=False)

    def _program(self) -> Program:
        return Program(self.values, self.nodes, "", (), channels_last=False)

    # Within

    def rows(self, x: str) -> str:
        """A map of one dimension as [batch, channels, 1, length]; of two, itself."""
        shape = self.shape(x)
        if len(shape) == 3 and x not in self._rows:
            self._rows[x] = self.reshape(x, inserted(shape, 1))
        return self._rows.get(x, x)

    def _from_rows(self, y: str, rank: int) -> str:
        if rank == 4 or len(self.shape(y)) != 4:
            return y
        shape = self.shape(y)
        three = self.reshape(y, (*shape[:2], shape[3]))
        self._rows[three] = y
        return three

    def _in_rows(self, kind: str, inputs: tuple[str, ...], attrs: dict[str, Any]) -> str:
        """An operator on maps of one dimension, done to them as [batch, channels, 1, length]."""
        moved = dict(attrs)
        if "axis" in attrs:
            moved["axis"] += attrs["axis"] >= 2
        for key, filler in (("before", 0), ("after", 0), ("begin", 0), ("end", 1), ("step", 1)):
            if key in attrs:
                moved[key] = inserted(attrs[key], filler)
        parts = [name if kind == "batch_norm" and i else self._row_operand(name) for i, name in enumerate(inputs)]
        return self._from_rows(self.node(kind, *parts, **moved), 3)

    def _row_operand(self, name: str) -> str:
        """An operand beside one of three axes: [channels, length] broadcasts as [channels, 1, length]."""
        shape = self.shape(name)
        if len(shape) == 2:
            return self.reshape(name, (shape[0], 1, shape[1]))
        return self.rows(name)

    def _with_bias(self, x: str, bias: str) -> str:
        """A layer without bias, with one; or nothing."""
        layer = self._made.get(self._rows.get(x, x))
        if layer is None or layer.kind not in ("conv", "dense") or len(layer.inputs) > 2 or not self.is_constant(bias):
            return ""
        shape, rank = self.shape(bias), len(self.shape(x))
        axis = 1 - rank if layer.kind == "conv" else -1
        channels = self.shape(layer.inputs[1])[0]
        per_channel = math.prod(shape) == channels and len(shape) >= -axis and shape[axis] == channels
        if not per_channel or self.values[bias].grid is not None or len(shape) > rank:
            return ""
        vector = self.constant(_single(self.floats(bias, "bias").reshape(channels)))
        return self._from_rows(self.node(layer.kind, *layer.inputs, vector, **layer.attrs), rank)

    def _hard(self, a: str, b: str) -> str:
        """A product that is a hard sigmoid or hard swish, or nothing."""
        if self._is_number(b, 1 / 6):
            if x := self._relu6_of_three_more(a):
                return self.node("hard_sigmoid", x, slope=1 / 6, offset=0.5)
            made = self._made.get(a)
            if made is not None and made.kind == "mul":
                for x, y in (made.inputs, made.inputs[::-1]):
                    if self._relu6_of_three_more(y) == x:
                        return self.node("hard_swish", x)
        for x, y in ((a, b), (b, a)):
            made = self._made.get(y)
            if made is not None and made.kind == "hard_sigmoid" and made.inputs == (x,):
                slope, offset = made.attrs["slope"], made.attrs["offset"]
                if abs(slope * 6 - 1) < 1e-5 and offset == 0.5:
                    return self.node("hard_swish", x)
        return ""

    def _relu6_of_three_more(self, y: str) -> str:
        """The x of min(max(x + 3, 0), 6), or nothing."""
        clip = self._made.get(y)
        if clip is None or clip.kind != "clip" or (clip.attrs["low"], clip.attrs["high"]) != (0, 6):
            return ""
        add = self._made.get(clip.inputs[0])
        fits = add is not None and add.kind == "add" and self._is_number(add.inputs[1], 3)
        return add.inputs[0] if fits and add is not None else ""

    def _is_number(self, name: str, number: float) -> bool:
        array = self.values[name].array
        return array is not None and array.size == 1 and bool(np.isclose(float(self.real(name).reshape(())), number))

    def _dtype(self, kind: str, values: list[Value]) -> str:
        """Of the output of a node; raises ValueError for types that it does not read."""
        types = ["float32" if value.grid is not None and value.array is not None else value.dtype for value in values]
        if kind in _MOVES and types[0] in ("int8", "uint8"):
            same = set(types) == {types[0]} and all(_same(value.grid, values[0].grid) for value in values)
            require(same, "joins integers of different types, scales or zero points")
            return types[0]
        other = next((found for found in types if found != "float32"), "")
        require(not other, f"reads {other}; supported is float32, or integers between quantisers")
        return "int32" if kind == "argmax" else "float32"

    def _fold(self, kind: str, inputs: tuple[str, ...], attrs: dict[str, Any]) -> str:
        values = [self.values[name] for name in inputs]
        shape = output_shape(self._program(), Node(kind, self.at, inputs, "", attrs))
        require(math.prod(shape) * 8 <= MAX_CONSTANTS, f"makes a constant of the shape {shape}")
        grid = values[0].grid
        if kind in ("reshape", "transpose") and grid is not None:
            return self.constant(
                _FOLDED[kind](self.raw(inputs[0]), **attrs), _moved(grid, kind, values[0].shape, attrs)
            )
        arrays = [self.real(name) for name in inputs]
        with np.errstate(all="ignore"):
            return self.constant(_FOLDED[kind](*arrays, **attrs))

    def _emit(
        self,
        kind: str,
        inputs: tuple[str, ...],
        attrs: dict[str, Any],
        shape: tuple[int, ...],
        dtype: str,
        grid: Grid | None,
    ) -> str:
        require(len(self.nodes) < MAX_NODES, f"is one of more than {MAX_NODES} operators")
        name = f"{self.at}.{kind}" if kind in _BESIDE else self.at
        output = self._value(name, shape, dtype, grid)
        self.nodes.append(Node(kind, output, inputs, output, attrs))
        self._made[output] = self.nodes[-1]
        return output

    def _value(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        grid: Grid | None = None,
        array: NDArray[Any] | None = None,
    ) -> str:
        name = self._names.fresh(printable(name))
        self.values[name] = Value(name, shape, dtype, grid, array)
        return name


def layer_name(path: str, kind: str, function: str) -> str:
    """Of an operator that a module of torch at this path called: the path for one of torch.nn, with the function for others."""
    if path and kind.startswith("torch.nn.modules.") and "container" not in kind:
        return printable(path)
    return printable(f"{path}.{function}" if path else function)


def printable(name: str) -> str:
    """A name as it may be shown, without spaces and not too long."""
    return one_line(name).replace(" ", "_")[-150:] or "unnamed"


class Names:
    """Names that are there once each."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def fresh(self, name: str) -> str:
        """The name, with a number if it is taken; then it is."""
        number = self._taken.get(name, 0) + 1
        while number > 1 and f"{name}_{number}" in self._taken:
            number += 1
        self._taken[name] = number
        found = name if number == 1 else f"{name}_{number}"
        self._taken.setdefault(found, 1)
        return found


def axis_of(axis: int, rank: int) -> int:
    """An axis that may be counted from the end; raises ValueError for one that there is not."""
    require(-rank <= axis < rank, f"has the axis {axis} for {rank} axes")
    return axis % rank


def dequantised(array: NDArray[Any], grid: Grid | None) -> NDArray[Any]:
    """The floats of integers, one float32 product each; without a grid, the numbers themselves."""
    if grid is None:
        return array
    scale, zero = along(grid, array.ndim)
    return (array.astype(np.int64) - zero).astype(np.float32) * scale.astype(np.float32)


def check_grid(grid: Grid, dtype: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError for one that integers of a tensor of this type and shape cannot have."""
    require(dtype in INTEGERS, f"has {dtype} numbers; supported are int8, uint8 and, for biases, int32")
    count = 1 if grid.axis is None else shape[axis_of(grid.axis, len(shape))]
    require(grid.scale.size == count, f"has {grid.scale.size} scales for {count} entries")
    require(grid.zero_point.size == count, f"has {grid.zero_point.size} zero points for {count} entries")
    bounds = np.finfo(np.float32)
    fits = (grid.scale >= bounds.tiny) & (grid.scale <= bounds.max)
    require(fits.all(), "has a scale that is not a positive, finite number")
    low, high = INTEGERS[dtype]
    require(((low <= grid.zero_point) & (grid.zero_point <= high)).all(), "has a zero point outside of its type")


def _moved(grid: Grid, kind: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> Grid:
    """The grid of a constant after reshape or transpose; raises ValueError where its axis is torn."""
    if grid.axis is None:
        return grid
    if kind == "transpose":
        return Grid(grid.scale, grid.zero_point, attrs["axes"].index(grid.axis))
    before, size = math.prod(shape[: grid.axis]), shape[grid.axis]
    new = attrs["shape"]
    for axis in range(len(new)):
        if math.prod(new[:axis]) == before and new[axis] == size:
            return Grid(grid.scale, grid.zero_point, axis)
    raise ValueError(f"reshapes {shape} to {new}, across the axis that has a scale per entry")


def _same(a: Grid | None, b: Grid | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a.scale, b.scale) and np.array_equal(a.zero_point, b.zero_point))


def _single(array: ArrayLike) -> NDArray[np.float32]:
    """As float32; raises ValueError for numbers beyond."""
    with np.errstate(over="ignore"):
        single = np.asarray(array, dtype=np.float64).astype(np.float32)
    require(np.isfinite(single).all(), "has a number beyond float32")
    return single


def _check_map(shape: tuple[int, ...]) -> None:
    require(len(shape) <= MAX_RANK, f"makes {len(shape)} axes; supported are up to {MAX_RANK}")
    whole = all(size >= 1 for size in shape) and math.prod(shape) <= MAX_SIZE
    require(whole, f"makes the shape {shape}; supported are 1 to {MAX_SIZE} entries")
