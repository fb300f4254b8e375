# SPDX-License-Identifier: Apache-2.0
"""The graph while it is made of a program: where every value lies, and operators that bring it into another order or type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.compile.graphcheck import MAX_OPERATORS, MAX_PARAMETER_BYTES
from kilobench.compile.imports.layout import Blocks, Order, gathered, moves, order_of, regroup, sizes
from kilobench.compile.imports.program import Node, Program, Value
from kilobench.compile.imports.simplify import grid_of
from kilobench.compile.int8 import multiplier
from kilobench.compile.operator import operator, require
from kilobench.compile.ops._integers import TWICE, requantise
from kilobench.contracts import UserError

Rounding = Literal["once", "tflite"]
Params = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Narrow:
    """Of a layer whose weights have few bits: these, and by output channel their steps and the largest of them."""

    bits: int
    steps: NDArray[np.float64]
    largest: NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """A value, in a map: the order of its axes there, as axes of ``shape``."""

    tensor: Tensor
    shape: tuple[int, ...]
    order: Order


def unique(wanted: str, used: set[str]) -> str:
    """A name that is not used yet, and then is: letters, digits, dots and underscores."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", wanted.replace("/", ".")).strip("_.")[-180:] or "unnamed"
    found, count = plain, 1
    while found in used:
        count += 1
        found = f"{plain}_{count}"
    used.add(found)
    return found


class Walk:
    """A program, the graph made of it up to now, and what the steps of all kinds share."""

    def __init__(self, program: Program, rounding: Rounding, narrow: Mapping[str, Narrow]) -> None:
        self.program, self.values, self.rounding, self.narrow = program, program.values, rounding, narrow
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.placed: dict[str, Placed] = {}
        self._made: dict[tuple[Any, ...], Placed] = {}
        self._tensor_names: set[str] = set()
        self._op_names: set[str] = set()
        self._parameters = 0

    @contextmanager
    def naming(self, node: Node) -> Iterator[None]:
        """A ValueError inside becomes a UserError that names the node."""
        try:
            yield
        except ValueError as error:
            raise UserError(f"{node.name} ({node.kind}) {error}") from None

    # The input and the outputs

    def usual(self, rank: int) -> tuple[int, ...]:
        """All axes of a value as they follow each other in a map: channels last."""
        axes = tuple(range(rank))
        return axes if self.program.channels_last or rank not in (3, 4) else (0, *axes[2:], 1)

    def usual_blocks(self, shape: Sequence[int]) -> Blocks:
        """Of a map that holds a value as inputs and outputs do: [h, w, c]."""
        axes = self.usual(len(shape))
        height, width, channels = (order_of(part, shape) for part in (axes[:-2], axes[-2:-1], axes[-1:]))
        return height, width, channels

    def begin(self) -> None:
        """Makes the input of the graph, of the type that the file says."""
        value = self.values[self.program.input]
        dtypes = ("float32", "int8", "uint8")
        if value.dtype not in dtypes or (value.dtype != "float32" and value.grid is None):
            scaled = "without a scale" if value.dtype in dtypes else "input"
            raise UserError(
                f"{value.name} is {value.dtype} {scaled}; supported are {', '.join(dtypes)}, integers with a scale"
            )
        blocks = self.usual_blocks(value.shape)
        grid = None
        if value.dtype != "float32" and value.grid is not None:
            grid = float(value.grid.scale[0]), int(value.grid.zero_point[0])
        tensor = self.tensor(value.name, sizes(blocks, value.shape), value.dtype, grid)  # type: ignore[arg-type]
        placed = Placed(tensor, value.shape, sum(blocks, ()))
        made_for = grid_of(value)
        self.placed[value.name] = self.to_int8(placed, made_for) if value.dtype == "float32" and made_for else placed

    def graph(self) -> Graph:
        """All that has been made, with the outputs as inputs lie: [h, w, c], of the types that the file says."""
        outputs: list[str] = []
        first = next(iter(self.tensors))
        for name in self.program.outputs:
            value = self.values[name]
            placed = self.as_output(value)
            tensor = placed.tensor
            if tensor.dtype != "int32":  # which lie in order, and no operator moves
                tensor = self.blocked(placed, self.usual_blocks(value.shape))
            if tensor.name == first or tensor.name in outputs:
                tensor = self._reshape(tensor, tensor.shape)
            outputs.append(tensor.name)
        return Graph(self.tensors, tuple(self.ops), first, tuple(outputs))

    def as_output(self, value: Value) -> Placed:
        """A value in the type that the file says."""
        placed = self.place(value.name)
        if value.dtype == "float32":
            return self.to_float(placed)
        if value.dtype == "int8" and placed.tensor.dtype == "int8":
            return placed
        if value.dtype == "uint8":
            return self._to_uint8(self.to_int8(placed, grid_of(value)))
        if value.dtype in ("int32", "int64") and placed.tensor.dtype == "int32":
            return placed
        raise UserError(
            f"{value.name} is an output of type {value.dtype}; supported are float32, and int8 and uint8 with a scale"
        )

    # Where values lie

    def place(self, name: str) -> Placed:
        """Where a value lies, in a shape that has its axes."""
        placed, shape = self.placed[name], self.values[name].shape
        if placed.shape != shape:
            placed = self.ordered(placed, gathered(placed.shape, placed.order, shape))
            order = regroup(placed.shape, placed.order, shape)
            placed = self.placed[name] = Placed(placed.tensor, shape, order)
        return placed

    def ordered(self, placed: Placed, order: Order) -> Placed:
        """The same value with its axes in another order."""
        for blocks, axes in moves(placed.order, order):
            source = self.shaped(placed, sizes(blocks, placed.shape))
            made = tuple(axis for place in axes for axis in blocks[place])
            key = ("transpose", source.name, axes)
            if key not in self._made:
                shape = [source.shape[axis] for axis in axes]
                tensor = self.tensor(f"{source.name}.transpose", shape, source.dtype, (source.scale, source.zero_point))
                self.operator("transpose", tensor.name, [source], tensor, {"axes": axes}, {})
                self._made[key] = Placed(tensor, placed.shape, made)
            placed = Placed(self._made[key].tensor, placed.shape, made)
        return placed

    def shaped(self, placed: Placed, shape: Sequence[int]) -> Tensor:
        """The map of a value, in another shape of the same size."""
        wanted = (shape[0], shape[1], shape[2])
        return placed.tensor if placed.tensor.shape == wanted else self._reshape(placed.tensor, wanted)

    def blocked(self, placed: Placed, blocks: Blocks) -> Tensor:
        """The map of a value whose sides [h, w, c] are these of its axes."""
        return self.shaped(self.ordered(placed, sum(blocks, ())), sizes(blocks, placed.shape))

    def _reshape(self, source: Tensor, shape: tuple[int, int, int]) -> Tensor:
        key = ("reshape", source.name, shape)
        if key not in self._made or source.shape == shape:
            tensor = self.tensor(f"{source.name}.reshape", shape, source.dtype, (source.scale, source.zero_point))
            self.operator("reshape", tensor.name, [source], tensor, {"shape": shape}, {})
            self._made[key] = Placed(tensor, (), ())
        return self._made[key].tensor

    # Types

    def to_float(self, placed: Placed) -> Placed:
        """A value as float32."""
        if placed.tensor.dtype == "float32":
            return placed
        return self._converted("dequantise", self.to_int8(placed), "float32", None, {})

    def to_int8(self, placed: Placed, grid: tuple[float, int] | None = None) -> Placed:
        """A value as int8, on its own grid or this one."""
        tensor = placed.tensor
        if tensor.dtype == "float32":
            assert grid is not None
            return self._converted("quantise", placed, "int8", grid, {})
        if tensor.dtype == "uint8":
            return self._requantised("quantise", placed, 0, grid or (tensor.scale, tensor.zero_point - 128))
        require(tensor.dtype == "int8", f"reads {tensor.name}, which is {tensor.dtype}; supported is that as an output")
        if grid in (None, (tensor.scale, tensor.zero_point)):
            return placed
        assert grid is not None
        return self._requantised("requantise", placed, -128, grid)

    def _to_uint8(self, placed: Placed) -> Placed:
        tensor = placed.tensor
        table = {"table": np.arange(256).astype(np.uint8)}
        return self._converted("dequantise", placed, "uint8", (tensor.scale, tensor.zero_point + 128), table)

    def _requantised(self, kind: str, placed: Placed, first: int, grid: tuple[float, int]) -> Placed:
        """By a table of all 256 values, of which the first is this."""
        tensor = placed.tensor
        if (tensor.scale, tensor.zero_point + (-128 - first)) == grid:
            return self._converted(kind, placed, "int8", grid, {"table": np.arange(-128, 128).astype(np.int8)})
        steps = self.scaled(np.arange(first, first + 256) - tensor.zero_point, tensor.scale / grid[0])
        table = np.clip(steps + grid[1], -128, 127).astype(np.int8)
        return self._converted(kind, placed, "int8", grid, {"table": table})

    def _converted(
        self, kind: str, placed: Placed, dtype: DType, grid: tuple[float, int] | None, params: Params
    ) -> Placed:
        key = (kind, placed.tensor.name, dtype, grid)
        if key not in self._made:
            tensor = self.tensor(f"{placed.tensor.name}.{kind}", placed.tensor.shape, dtype, grid)
            self.operator(kind, tensor.name, [placed.tensor], tensor, {}, params)
            self._made[key] = Placed(tensor, (), ())
        return Placed(self._made[key].tensor, placed.shape, placed.order)

    # Numbers of int8

    def factor(self, real: NDArray[np.float64] | float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Positive real factors as multipliers and shifts that round as is asked for."""
        m, t = multiplier(np.atleast_1d(np.asarray(real, dtype=np.float64)))
        return m, self.shifts(t)

    def shifts(self, t: NDArray[np.int32]) -> NDArray[np.int32]:
        """Shifts that round as is asked for."""
        return t + np.int32(TWICE) if self.rounding == "tflite" else t

    def scaled(self, value: NDArray[np.int64], real: float) -> NDArray[np.int64]:
        """Integers times a positive real factor, rounded as is asked for."""
        m, t = self.factor(real)
        return requantise(value.astype(np.int64), m, t)

    # Making tensors and operators

    def tensor(self, name: str, shape: Sequence[int], dtype: DType, grid: tuple[float, int] | None = None) -> Tensor:
        """A new one."""
        height, width, channels = shape
        scale, zero_point = grid or (0.0, 0)
        tensor = Tensor(unique(name, self._tensor_names), (height, width, channels), dtype, scale, zero_point)
        self.tensors[tensor.name] = tensor
        return tensor

    def has_room(self, count: int) -> None:
        """Raises ValueError where parameters of so many bytes more are beyond what a graph may have."""
        total = self._parameters + count
        require(total <= MAX_PARAMETER_BYTES, f"needs parameters of {total} bytes, above {MAX_PARAMETER_BYTES}")

    def operator(
        self,
        kind: str,
        name: str,
        sources: Sequence[Tensor],
        output: Tensor,
        attrs: Mapping[str, Any],
        params: Params,
    ) -> None:
        """Adds one, without attributes that have their defaults."""
        known = operator(kind).attributes
        attrs = {key: value for key, value in attrs.items() if key not in known or value != known[key].default}
        size = sum(array.nbytes for array in params.values())
        self.has_room(size)
        self._parameters += size
        require(len(self.ops) < MAX_OPERATORS, f"is more than {MAX_OPERATORS} operators")
        arrays = {key: np.ascontiguousarray(array) for key, array in params.items()}
        name = unique(name, self._op_names)
        self.ops.append(Op(kind, name, tuple(source.name for source in sources), output.name, dict(attrs), arrays))

    def emit(
        self,
        kind: str,
        node: Node,
        sources: Sequence[Tensor],
        shape: Sequence[int],
        order: Order,
        *,
        attrs: Mapping[str, Any] | None = None,
        params: Params | None = None,
        grid: tuple[float, int] | None = None,
    ) -> None:
        """The operator of a node, of the type of its sources, and what brings its output to the grid of the value."""
        value = self.values[node.output]
        tensor = self.tensor(value.name, shape, sources[0].dtype, grid)
        assert prod(tensor.shape) == prod(value.shape)
        self.operator(kind, node.name, sources, tensor, attrs or {}, params or {})
        self.deliver(node, Placed(tensor, value.shape, order))

    def deliver(self, node: Node, placed: Placed) -> None:
        """A placed map is what a node makes, once it is on the grid of that."""
        grid = grid_of(self.values[node.output])
        self.placed[node.output] = placed if grid is None else self.to_int8(placed, grid)

    def integer(self, node: Node, names: Sequence[str]) -> bool:
        """Whether a node computes in int8: what it reads is, and what it makes has a grid."""
        types = {self.placed[name].tensor.dtype for name in names}
        return types <= {"int8", "uint8"} and self.values[node.output].grid is not None

    def typed(self, name: str, integer: bool, *, settled: bool = True) -> Placed:
        """A value as int8 or float32; where it is not settled, perhaps in the shape that it had before it was reshaped."""
        placed = self.place(name) if settled else self.placed[name]
        return self.to_int8(placed) if integer else self.to_float(placed)

    def moved(self, name: str) -> Placed:
        """A value in the type that it has, or int8 where it is uint8: what only moves values takes either."""
        placed = self.place(name)
        return self.to_int8(placed) if placed.tensor.dtype == "uint8" else placed
