# SPDX-License-Identifier: Apache-2.0
"""A program while it is made of a .tflite file: its tensors as values, and nodes of what its operators are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports import flatfile
from kilobench.compile.imports.flatfile import File, Operator
from kilobench.compile.imports.program import Grid, Node, Value
from kilobench.compile.operator import require

_TYPES = {"FLOAT32": "float32", "INT8": "int8", "UINT8": "uint8", "INT32": "int32", "INT64": "int64"}
_ACTIVATIONS: dict[int, tuple[str, tuple[float, float]]] = {
    1: ("RELU", (0.0, inf)),
    2: ("RELU_N1_TO_1", (-1.0, 1.0)),
    3: ("RELU6", (0.0, 6.0)),
}
RANGES = dict(_ACTIVATIONS.values()) | {"RELU_0_TO_1": (0.0, 1.0)}

_INSIDE = re.compile(
    r"(/(Conv2D|MatMul|BiasAdd|depthwise|Relu6?|AvgPool|MaxPool|add|Mean|Softmax)\d*)?(/ReadVariableOp(/resource\d*)?)?$"
)
"""What TensorFlow calls the parts of a layer, behind the layer's own name."""


class TfliteImport:
    """The program as far as it has been read."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.names: dict[int, str] = {}
        self.titles: dict[str, str] = {}
        self.used: Counter[str] = Counter()

    # Tensors

    def value(self, place: int) -> Value:
        """A tensor of the file as a value. Raises ValueError for types and shapes that are not supported."""
        if place in self.names:
            return self.values[self.names[place]]
        tensor = self.file.tensors[place]
        require(
            not tensor.special, f"reads or makes {tensor.name}, which is {tensor.special}; supported is none of that"
        )
        half = tensor.type == "FLOAT16" and tensor.data is not None
        require(
            tensor.type in _TYPES or half,
            f"reads or makes {tensor.name}, which is {tensor.type}; supported are {', '.join(_TYPES)}",
        )
        require(
            all(size >= 1 for size in tensor.shape),
            f"reads or makes {tensor.name} of the shape {list(tensor.shape)}; supported are fixed sizes from 1 on",
        )
        array = None if tensor.data is None else _array(tensor)
        dtype = "float32" if half else _TYPES[tensor.type]
        made = self.fresh(tensor.name or f"tensor_{place}", tensor.shape, dtype, _grid(tensor, dtype), array)
        self.names[place] = made.name
        return made

    def fresh(
        self, name: str, shape: tuple[int, ...], dtype: str, grid: Grid | None, array: NDArray[Any] | None = None
    ) -> Value:
        """A new value, called like this or similar."""
        found = name
        while found in self.values:
            self.used[name] += 1
            found = f"{name}_{self.used[name] + 1}"
        self.values[found] = Value(found, shape, dtype, grid, array)
        return self.values[found]

    def like(self, name: str, value: Value, shape: tuple[int, ...]) -> Value:
        """A new value of the type of another one."""
        return self.fresh(name, shape, value.dtype, value.grid)

    def numbers(self, place: int, what: str) -> tuple[int, ...]:
        """The whole numbers of a constant."""
        value = self.value(place)
        whole = value.array is not None and value.array.dtype.kind == "i" and value.array.size <= 2 * flatfile.MAX_ENDS
        require(whole, f"has {what} that are no constant; supported are constant whole numbers")
        assert value.array is not None
        return tuple(value.array.reshape(-1).tolist())

    def axis(self, axis: int, rank: int) -> int:
        """An axis as counted from the first one."""
        require(-rank <= axis < rank, f"has axis={axis} for {rank} axes")
        return axis % rank

    # Nodes

    def node(self, kind: str, inputs: Sequence[Value], output: Value, **attrs: Any) -> None:
        """Adds one, called after what it makes."""
        name = self.titles.get(output.name, output.name)
        name = _INSIDE.sub("", name) or name
        self.nodes.append(Node(kind, name, tuple(value.name for value in inputs), output.name, attrs))

    def ends(self, operator: Operator, *, moves: bool = False) -> tuple[Value, Value]:
        """First input and output of an operator, of one type; of one grid where it only moves values."""
        source, made = self.value(operator.inputs[0]), self.value(operator.outputs[0])
        self.same_type([source], made)
        if moves:
            self.same_grid([source], made)
        return source, made

    def same_type(self, sources: Sequence[Value], made: Value) -> None:
        """Raises ValueError for inputs of another type than the output, or integers without a scale."""
        for value in (*sources, made):
            if value.array is None or value.dtype != "int32":
                require(value.dtype == made.dtype, f"turns {value.dtype} into {made.dtype}; supported is one type")
        known = made.dtype == "float32" or (
            made.dtype in ("int8", "uint8") and all(v.grid is not None for v in (*sources, made))
        )
        require(known, f"computes {made.dtype} without a scale; supported are float32, and int8 and uint8 with one")

    def same_grid(self, sources: Sequence[Value], made: Value) -> None:
        """Raises ValueError for inputs of another scale or zero point than the output."""
        for value in sources:
            if value.grid is not None and made.grid is not None:
                same = np.array_equal(value.grid.scale, made.grid.scale)
                same = same and np.array_equal(value.grid.zero_point, made.grid.zero_point)
                require(same, f"reads {value.name} on another scale than it makes {made.name}; supported is the same")

    def activated(self, operator: Operator, made: Value) -> Value:
        """What an operator makes before the activation that is fused with it, which is the node behind."""
        code = operator.options["FusedActivationFunction"]
        if code == 0:
            return made
        names = ", ".join(["NONE", *(name for name, _ in _ACTIVATIONS.values())])
        require(code in _ACTIVATIONS, f"has fused_activation_function={code}; supported are {names}")
        before = self.like(f"{made.name}.before", made, made.shape)
        self.titles |= {before.name: made.name, made.name: f"{made.name}.activation"}
        return before

    def activate(self, operator: Operator, before: Value, made: Value) -> None:
        """The activation itself, if there is one."""
        if before is not made:
            low, high = _ACTIVATIONS[operator.options["FusedActivationFunction"]][1]
            self.node("clip", [before], made, low=low, high=high)


def _array(tensor: flatfile.Tensor) -> NDArray[Any]:
    """The numbers of a constant; floats of 16 bits as of 32."""
    assert tensor.data is not None
    dtype = np.dtype("<f2" if tensor.type == "FLOAT16" else _TYPES[tensor.type])
    held = prod(tensor.shape) * dtype.itemsize
    require(held == tensor.data.size, f"reads {tensor.name}, which holds {tensor.data.size} bytes, not {held}")
    array = tensor.data.view(dtype).reshape(tensor.shape)
    return array.astype(np.float32) if tensor.type == "FLOAT16" else array


def _grid(tensor: flatfile.Tensor, dtype: str) -> Grid | None:
    """Scales of int8 and uint8."""
    if dtype not in ("int8", "uint8") or not tensor.scale.size:
        return None
    count = tensor.scale.size
    require(
        tensor.zero_point.size == count,
        f"reads or makes {tensor.name}, which has {count} scales and {tensor.zero_point.size} zero points",
    )
    return Grid(tensor.scale.astype(np.float64), tensor.zero_point.astype(np.int64), tensor.axis if count > 1 else None)
