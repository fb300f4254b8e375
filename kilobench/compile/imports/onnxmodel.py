# SPDX-License-Identifier: Apache-2.0
"""What is in an ONNX file, as kilobench.compile.imports.onnx has read it, and an operator of it as it is translated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.imports.builder import Builder
from kilobench.compile.operator import require

TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
}
"""onnx.TensorProto.DataType as NumPy calls it."""


@dataclass
class FileNode:
    """An operator as the file has it; an input that is left out is an empty name."""

    kind: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any]


@dataclass
class FileModel:
    """A file's graph."""

    opset: int
    input: str
    dtype: str
    shape: tuple[int, ...]
    outputs: list[str]
    nodes: list[FileNode] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)


class Op:
    """An operator that is being translated. Attributes that nothing asks for are refused in the end."""

    def __init__(self, builder: Builder, node: FileNode, opset: int, inputs: list[str]) -> None:
        self.builder, self.node, self.opset, self.inputs = builder, node, opset, inputs
        self._left = dict(node.attrs)

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] != ""

    def input(self, index: int = 0) -> str:
        """An input that must be given."""
        require(self.has(index), f"lacks input {index}")
        return self.inputs[index]

    def optional(self, index: int) -> str:
        """An input, or nothing."""
        return self.inputs[index] if self.has(index) else ""

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Of an input."""
        return self.builder.shape(self.input(index))

    def take(self, name: str, default: Any) -> Any:
        """An attribute, of the type of its default; if that is a type, it must be given."""
        must = isinstance(default, type)
        kind = default if must else type(default)
        if name not in self._left:
            require(not must, f"lacks the attribute {name}")
            return default
        value = self._left.pop(name)
        require(isinstance(value, kind), f"has the attribute {name}={value!r:.50}, which is no {kind.__name__}")
        return value

    def only(self, name: str, default: Any) -> None:
        """Refuse an attribute that is not its default."""
        value = self.take(name, default)
        require(value == default, f"has {name}={value!r:.50}, for which there is no kernel; supported is {default!r}")

    def finish(self) -> None:
        """Raises ValueError if an attribute is left."""
        require(not self._left, f"has the attribute {next(iter(self._left), '')}, which is not known here")

    def ints(self, index: int) -> tuple[int, ...]:
        """An input of whole numbers that is known."""
        array = self.builder.raw(self.input(index))
        require(
            array.dtype.kind in "iu" and array.ndim <= 1 and array.size <= 64, f"has an input {index} of {array.dtype}"
        )
        return tuple(int(number) for number in array.reshape(-1))

    def ints_of(self, name: str, index: int, since: int) -> tuple[int, ...] | None:
        """Whole numbers that are an attribute before an opset, and an input since; None if they are not given."""
        if self.opset < since:
            return self.take(name, ()) if name in self.node.attrs else None
        return self.ints(index) if self.has(index) else None

    def number(self, index: int, default: float) -> float:
        """An input that is one known number."""
        if not self.has(index):
            return default
        array = self.builder.real(self.input(index))
        require(array.size == 1, f"has an input {index} of the shape {array.shape}; supported is one number")
        return float(array.reshape(-1)[0])


Translate = Callable[[Op], "str | list[str]"]
"""Makes the outputs of an operator, by their names in the builder."""
