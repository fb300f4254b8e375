# SPDX-License-Identifier: Apache-2.0
"""Quantisers between operators to grids of values: dequantise -> operator -> quantise, of ONNX and PT2E, to integer operators.

An operator becomes one of integers where all maps that it reads are dequantised and all that read its output quantise it, to one
grid: its output then is these integers, and means the same. What is not so stays in floats between quantisers that stay.
Operators that only move numbers, ReLU and argmax commute with dequantisation and need no quantiser behind them. uint8 maps
become int8, numbers and zero point less 128, but for the network's own inputs and outputs, which get a quantiser.

After the ONNX specification, QuantizeLinear and DequantizeLinear: ``q = clamp(rint(x / scale) + zero_point)`` and
``x = (q - zero_point) * scale``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports.builder import Names, dequantised
from kilobench.compile.imports.program import Grid, Node, Program, Value
from kilobench.compile.operator import require

_MOVES = {"max_pool", "resize_nearest", "reshape", "transpose", "slice", "concat", "pad"}
_COMPUTES = {"conv", "dense", "avg_pool", "mean", "add", "sub", "mul", "batch_norm", "prelu", "softmax"}
_COMPUTES |= {"hard_swish", "hard_sigmoid", "sigmoid", "tanh", "leaky_relu"}
_BOUNDS = {"relu", "clip"}
_COMMUTES = _BOUNDS | (_MOVES - {"concat", "pad"})
_LAYERS = ("conv", "dense")


def fold_quantisers(program: Program, *, trained: bool = False) -> Program:
    """The same network with grids on values. Of one ``trained`` here, weights between integer maps are rounded to int8 as well.

    Raises ValueError, with ``name (kind)`` of a node, for grids that no kernel has.
    """
    folder = _Folder(program, trained)
    for node in program.nodes:
        try:
            folder.visit(node)
        except ValueError as error:
            raise ValueError(f"{node.name} ({node.kind}) {error}") from None
    return folder.finish()


class _Folder:
    """One pass in execution order. By the names of the file's values, of floats or integers, ``ints`` has the int8 values
    that are or mean them, and ``reals`` the others."""

    def __init__(self, program: Program, trained: bool) -> None:
        self.old, self.nodes, self.trained = program, list[Node](), trained
        self.values: dict[str, Value] = {}
        self.ints: dict[str, str] = {}
        self.reals: dict[str, str] = {}
        self._names = Names()
        self._quantisers: dict[tuple[str, float, int], str] = {}
        self._wanted = self._all_wanted()
        source = program.values[program.input]
        self.values[self._names.fresh(source.name)] = source
        if source.dtype == "float32":
            self.reals[source.name] = source.name
        else:
            require(source.grid is not None, f"the input {source.name} is {source.dtype} without scale and zero point")
            grid = self._signed_grid(source.name)
            self.ints[source.name] = source.name if source.dtype == "int8" else self._quantise(source.name, grid)

    def visit(self, node: Node) -> None:
        """Translate a node: to one of integers where that means the same."""
        source = node.inputs[0]
        if node.kind == "dequantise":
            self.ints[node.output] = self.ints[source]
        elif node.kind == "quantise":
            known = self.ints.get(source) or self._real(source)
            self.ints[node.output] = self._quantise(known, self._signed_grid(node.output))
        elif not self._as_integers(node):
            value = self.old.values[node.output]
            inputs = tuple(map(self._real, node.inputs))
            self.reals[node.output] = self._add(node.kind, node.name, inputs, value, None, node.attrs)

    def finish(self) -> Program:
        """The program, without what nothing reads any more."""
        outputs = tuple(map(self._output, self.old.outputs))
        needed, kept = {self.old.input, *outputs}, []
        for node in reversed(self.nodes):
            if node.output in needed:
                kept.append(node)
                needed |= set(node.inputs)
        values = {name: value for name, value in self.values.items() if name in needed}
        return Program(values, kept[::-1], self.old.input, outputs, self.old.channels_last)

    def _all_wanted(self) -> dict[str, Grid | None]:
        """By float value, the grid to which all that reads it quantises it, perhaps behind what commutes with that."""
        wanted: dict[str, Grid | None] = dict.fromkeys(self.old.outputs)
        for node in reversed(self.old.nodes):
            grid = None
            if node.kind == "quantise":
                grid = self._signed_grid(node.output)
            elif node.kind in _COMMUTES:
                grid = wanted[node.output]
            for name in node.inputs:
                known = wanted.setdefault(name, grid)
                if known is None or grid is None or not same_grid(known, grid):
                    wanted[name] = None
        return wanted

    # Integer operators

    def _as_integers(self, node: Node) -> bool:
        """Translate a node to integers; False if that is not what it means."""
        maps = [name for name in node.inputs if self.old.values[name].array is None]
        if any(name not in self.ints for name in maps):
            return False
        sources = [self._grid(self.ints[name]) for name in maps]
        target = self._wanted[node.output]
        if node.kind in _MOVES:
            return self._move(node, sources, target)
        if node.kind == "argmax":
            value = self.old.values[node.output]
            self.reals[node.output] = self._add(node.kind, node.name, (self.ints[maps[0]],), value, None, node.attrs)
            return True
        if node.kind in _BOUNDS and (target is not None or node.kind == "relu"):
            grid = target or sources[0]
            return self._integers(node, [self._quantise(self.ints[maps[0]], grid)], grid)
        whole = self.trained or node.kind not in _LAYERS or self.old.values[node.inputs[1]].grid is not None
        if node.kind in _COMPUTES and target is not None and whole:
            return self._integers(node, [self.ints.get(name) or self._constant(name) for name in node.inputs], target)
        return False

    def _move(self, node: Node, sources: Sequence[Grid], target: Grid | None) -> bool:
        """What moves numbers keeps their grid; those of a concat are brought to that of its output."""
        grid = sources[0]
        if len(sources) < len(node.inputs) or (node.kind == "pad" and not _is_on(grid, node.attrs["value"])):
            return False
        if not all(same_grid(grid, other) for other in sources):
            if target is None:
                return False
            grid = target
        return self._integers(node, [self._quantise(self.ints[name], grid) for name in node.inputs], grid)

    def _integers(self, node: Node, inputs: Sequence[str], grid: Grid) -> bool:
        value = self.old.values[node.output]
        self.ints[node.output] = self._add(node.kind, node.name, tuple(inputs), value, grid, node.attrs)
        return True

    # Values

    def _signed_grid(self, name: str) -> Grid:
        """That of an integer value of the file, as int8."""
        value = self.old.values[name]
        assert value.grid is not None
        require(value.dtype in ("int8", "uint8"), f"makes {value.dtype} maps; supported are int8 and uint8")
        return Grid(value.grid.scale, value.grid.zero_point - 128) if value.dtype == "uint8" else value.grid

    def _grid(self, name: str) -> Grid:
        grid = self.values[name].grid
        assert grid is not None
        return grid

    def _quantise(self, name: str, grid: Grid) -> str:
        """A value of the new program as int8 on a grid."""
        value = self.values[name]
        if value.dtype == "int8" and value.grid is not None and same_grid(value.grid, grid):
            return name
        key = (name, float(grid.scale[0]), int(grid.zero_point[0]))
        if key not in self._quantisers:
            self._quantisers[key] = self._add("quantise", f"{name}.quantise", (name,), value, grid)
        return self._quantisers[key]

    def _real(self, name: str) -> str:
        """A value in floats (argmax: whole numbers): dequantised where it is integers so far."""
        value = self.old.values[name]
        if value.array is not None:
            return self._store(name, dequantised(value.array, value.grid), None)
        if name not in self.reals:
            self.reals[name] = self._add("dequantise", f"{name}.dequantise", (self.ints[name],), value, None)
        return self.reals[name]

    def _constant(self, name: str) -> str:
        """A constant operand of an integer operator: as in the file, bytes as int8."""
        value = self.old.values[name]
        assert value.array is not None
        if value.dtype != "uint8":
            return self._store(name, value.array, value.grid)
        return self._store(name, (value.array.astype(np.int16) - 128).astype(np.int8), self._signed_grid(name))

    def _output(self, name: str) -> str:
        value = self.old.values[name]
        if value.dtype == "int8":
            return self.ints[name]
        if value.dtype == "uint8":
            grid = self._grid(self.ints[name])
            unsigned = Grid(grid.scale, grid.zero_point + 128)
            return self._add("quantise", f"{name}.uint8", (self.ints[name],), value, unsigned, dtype="uint8")
        return self._real(name)

    def _add(
        self,
        kind: str,
        name: str,
        inputs: tuple[str, ...],
        like: Value,
        grid: Grid | None,
        attrs: dict[str, Any] | None = None,
        dtype: str = "int8",
    ) -> str:
        """A node whose output has the shape of ``like``, and its type if there is no grid."""
        output = self._names.fresh(name)
        plain = "float32" if like.dtype in ("int8", "uint8") else like.dtype
        self.values[output] = Value(output, like.shape, plain if grid is None else dtype, grid)
        self.nodes.append(Node(kind, output, inputs, output, dict(attrs or {})))
        return output

    def _store(self, name: str, array: NDArray[Any], grid: Grid | None) -> str:
        known = self.values.get(name)
        if known is not None and known.array is array:
            return name
        fresh = self._names.fresh(name)
        self.values[fresh] = Value(fresh, array.shape, str(array.dtype), grid, array)
        return fresh


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether integers mean the same on both."""
    return bool(np.array_equal(a.scale, b.scale) and np.array_equal(a.zero_point, b.zero_point))


def _is_on(grid: Grid, number: float) -> bool:
    """Whether a number is one of a grid."""
    q = np.rint(number / grid.scale) + grid.zero_point
    near = abs((q - grid.zero_point) * grid.scale - number) <= 1e-6 * abs(number)
    return bool(-128 <= q <= 127 and near)
