# SPDX-License-Identifier: Apache-2.0
"""Program -> smaller program: constants folded, what nothing reads left out, padding, factors and ReLU taken into what they
surround. A node with the attribute ``relu`` is followed by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graphcheck import MAX_PARAMETER_BYTES
from kilobench.compile.imports.constants import fold, real
from kilobench.compile.imports.program import Node, Program, Value
from kilobench.compile.imports.shapes import channel_axis, map_axes
from kilobench.compile.operator import require
from kilobench.contracts import UserError

_WEIGHTED = ("conv", "dense")
_SUMS = (*_WEIGHTED, "add", "sub", "mul")

Channels = NDArray[np.float64]
"""One number, or one for each channel."""


def fold_constants(program: Program) -> Program:
    """Without nodes that read constants alone. Raises UserError for kinds of which no constant is made here."""
    values, nodes, made = dict(program.values), [], 0
    for node in program.nodes:
        sources = [values.get(name) for name in node.inputs]
        if node.output not in values or not all(source is not None and source.array is not None for source in sources):
            nodes.append(node)
            continue
        try:
            values[node.output] = folded = fold(node, values[node.inputs[0]], values[node.output])
            made += 0 if folded.array is None else folded.array.nbytes
            require(made <= 4 * MAX_PARAMETER_BYTES, f"makes constants, {made} bytes with those before it")
        except ValueError as error:
            raise UserError(f"{node.name} ({node.kind}) {error}") from None
    return replace(program, values=values, nodes=nodes)


def simplify(program: Program) -> Program:
    """What is left of a checked program."""
    program = _live(program)
    fused = _Fusing(program)
    fused.pads()
    fused.followers()
    return replace(program, values=fused.values, nodes=list(fused.nodes.values()))


def clip_range(node: Node) -> tuple[float, float]:
    """What a relu or clip leaves as it is."""
    return (0.0, inf) if node.kind == "relu" else (node.attrs["low"], node.attrs["high"])


def clip_on(grid: tuple[float, int], low: float, high: float) -> tuple[int, int]:
    """The same in integers of an int8 grid; half away from zero, in float32, as TensorFlow Lite rounds a bound."""

    def bound(value: float) -> float:
        steps = np.float32(value) / np.float32(grid[0])
        return float(np.sign(steps) * np.floor(np.abs(steps) + np.float32(0.5))) + grid[1]

    least = -128.0 if low == -inf else bound(low)
    most = 127.0 if high == inf else bound(high)
    return int(min(max(least, -128), 127)), int(min(max(most, -128), 127))


def grid_of(value: Value) -> tuple[float, int] | None:
    """Scale and zero point of a value as int8; those of uint8 are moved by 128."""
    if value.grid is None:
        return None
    return float(value.grid.scale[0]), int(value.grid.zero_point[0]) - (128 if value.dtype == "uint8" else 0)


def affine(program: Program, node: Node) -> tuple[str, NDArray[np.float64], NDArray[np.float64]] | None:
    """What a node multiplies by factors and shifts by offsets, both of which broadcast with it; None for all other nodes."""
    values = program.values
    if node.kind == "batch_norm":
        shape = [1] * len(values[node.inputs[0]].shape)
        if shape:
            shape[channel_axis(program, len(shape))] = -1
        factor, offset = (real(values[name]).reshape(shape) for name in node.inputs[1:])
        return node.inputs[0], factor, offset
    if node.kind not in ("add", "sub", "mul"):
        return None
    constant = [values[name].array is not None for name in node.inputs]
    if not any(constant):
        return None
    name, numbers = node.inputs[constant.index(False)], real(values[node.inputs[constant.index(True)]])
    if values[name].shape != values[node.output].shape:
        return None
    one, none = np.ones(1), np.zeros(1)
    if node.kind == "mul":
        return name, numbers, none
    if node.kind == "add":
        return name, one, numbers
    return (name, -one, numbers) if constant[0] else (name, one, -numbers)


def _live(program: Program) -> Program:
    """Without nodes that no output depends on."""
    needed, nodes = set(program.outputs), []
    for node in reversed(program.nodes):
        if node.output in needed:
            needed |= set(node.inputs)
            nodes.append(node)
    return replace(program, nodes=nodes[::-1])


class _Fusing:
    """Nodes by what they make, in order, while some are taken into others."""

    def __init__(self, program: Program) -> None:
        self.program, self.values = program, dict(program.values)
        self.nodes = {node.output: node for node in program.nodes}
        self.readers = {name: node for node in program.nodes for name in node.inputs}
        self.reads = Counter(name for node in program.nodes for name in node.inputs) + Counter(program.outputs)

    def follower(self, node: Node) -> Node | None:
        """The one node that reads what this one makes, if nothing else does."""
        return self.readers.get(node.output) if self.reads[node.output] == 1 else None

    def replaced(self, first: Node, second: Node, fused: Node) -> Node:
        """Notes that one node stands for two, in the place of the second."""
        del self.nodes[first.output]
        self.nodes[second.output] = fused
        self.readers |= dict.fromkeys(fused.inputs, fused)
        return fused

    def pads(self) -> None:
        """Zeros around a map that one convolution reads are its padding."""
        height, width, _ = map_axes(self.program)
        for pad in [node for node in self.nodes.values() if node.kind == "pad"]:
            conv = self.follower(pad)
            before, after = pad.attrs["before"], pad.attrs["after"]
            if conv is None or conv.kind != "conv" or pad.attrs["value"] != 0 or len(before) != 4:
                continue
            if any(before[axis] or after[axis] for axis in range(4) if axis not in (height, width)):
                continue
            grid, made = grid_of(self.values[pad.inputs[0]]), grid_of(self.values[pad.output])
            more = (before[height], before[width], after[height], after[width])
            padding = tuple(a + b for a, b in zip(conv.attrs["padding"], more, strict=True))
            kernel = self.values[conv.inputs[1]].shape[2:]
            reach = [(k - 1) * d for k, d in zip(kernel, conv.attrs["dilation"], strict=True)] * 2
            if made in (None, grid) and all(p <= r for p, r in zip(padding, reach, strict=True)):
                inputs = (pad.inputs[0], *conv.inputs[1:])
                self.replaced(pad, conv, replace(conv, inputs=inputs, attrs=conv.attrs | {"padding": padding}))

    def followers(self) -> None:
        """Factors and offsets of channels behind a convolution or dense layer, and ReLU behind these and sums."""
        for node in list(self.nodes.values()):
            if self.nodes.get(node.output) is not node:
                continue
            while node.kind in _WEIGHTED and (scaled := self._scaled(node)) is not None:
                node = scaled
            if node.kind in _SUMS:
                self._clipped(node)

    def _scaled(self, node: Node) -> Node | None:
        """A node with the factors and offsets behind it in its weights."""
        after = self.follower(node)
        if after is None or self.values[node.output].grid is not None or "relu" in after.attrs:
            return None
        found = affine(replace(self.program, values=self.values), after)
        rank = len(self.values[node.output].shape)
        axis = map_axes(self.program)[2] if node.kind == "conv" else rank - 1
        if found is None:
            return None
        numbers = [_channels(array, axis, rank) for array in found[1:]]
        if numbers[0] is None or numbers[1] is None:
            return None
        inputs = self._constants(node, numbers[0], numbers[1])
        return self.replaced(node, after, replace(node, inputs=inputs, output=after.output))

    def _constants(self, node: Node, factor: Channels, offset: Channels) -> tuple[str, ...]:
        """Inputs of a node whose outputs are multiplied and shifted."""
        weight = real(self.values[node.inputs[1]])
        bias = real(self.values[node.inputs[2]]) if len(node.inputs) == 3 else np.zeros(len(weight))
        names = [f"{node.output}\n{part}" for part in ("weight", "bias")]  # no file's own: its names are lines
        arrays = weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), bias * factor + offset
        for name, array in zip(names, arrays, strict=True):
            self.values[name] = Value(name, array.shape, "float32", None, array)
        return (node.inputs[0], *names)

    def _clipped(self, node: Node) -> None:
        """A node with the ReLU behind it."""
        after = self.follower(node)
        if after is None or after.kind not in ("relu", "clip"):
            return
        grid, made = grid_of(self.values[node.output]), grid_of(self.values[after.output])
        low, high = clip_range(after)
        if grid not in (None, made):
            return
        if (low != 0 or high != inf) and (made is None or clip_on(made, low, high) != (made[1], 127)):
            return
        self.replaced(node, after, replace(node, output=after.output, attrs=node.attrs | {"relu": True}))


def _channels(array: NDArray[np.float64], axis: int, rank: int) -> Channels | None:
    """Numbers that broadcast with a value of some rank, if they differ along this axis alone."""
    shape = (1,) * (rank - array.ndim) + array.shape
    along = all(size == 1 for other, size in enumerate(shape) if other != axis)
    return array.reshape(-1) if along else None
