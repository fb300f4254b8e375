# SPDX-License-Identifier: Apache-2.0
"""A .tflite file as plain data: its schema (TensorFlow Lite, schema.fbs, version 3) read with care, nothing understood.

The accessors of the package ``tflite`` follow whatever offsets a file has. Python's and NumPy's own bounds keep them within it,
and whatever they raise is caught here, once; how much is read in all is bounded by the size of the file, so that tables which
share their parts cost no more than those that do not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

from kilobench.contracts import UserError
from kilobench.lines import one_line

MAX_FILE_BYTES = 2**27
MAX_OPERATORS, MAX_TENSORS, MAX_RANK, MAX_ENDS = 2000, 20000, 8, 64
"""Of a file's first graph; axes of a tensor; inputs or outputs of an operator."""
_LONGEST_NAME = 150

_FUSED = "FusedActivationFunction"
_WINDOW = f"Padding StrideH StrideW {_FUSED}"
OPTIONS = {
    "CONV_2D": ("Conv2DOptions", f"{_WINDOW} DilationHFactor DilationWFactor"),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", f"{_WINDOW} DilationHFactor DilationWFactor DepthMultiplier"),
    "FULLY_CONNECTED": ("FullyConnectedOptions", f"{_FUSED} KeepNumDims WeightsFormat"),
    "AVERAGE_POOL_2D": ("Pool2DOptions", f"{_WINDOW} FilterHeight FilterWidth"),
    "MAX_POOL_2D": ("Pool2DOptions", f"{_WINDOW} FilterHeight FilterWidth"),
    "ADD": ("AddOptions", _FUSED),
    "SUB": ("SubOptions", _FUSED),
    "MUL": ("MulOptions", _FUSED),
    "DIV": ("DivOptions", _FUSED),
    "CONCATENATION": ("ConcatenationOptions", f"Axis {_FUSED}"),
    "STRIDED_SLICE": ("StridedSliceOptions", "BeginMask EndMask EllipsisMask NewAxisMask ShrinkAxisMask Offset"),
    "MEAN": ("ReducerOptions", "KeepDims"),
    "REDUCE_MAX": ("ReducerOptions", "KeepDims"),
    "LEAKY_RELU": ("LeakyReluOptions", "Alpha"),
    "SOFTMAX": ("SoftmaxOptions", "Beta"),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", "AlignCorners HalfPixelCenters"),
    "PACK": ("PackOptions", "Axis"),
    "UNPACK": ("UnpackOptions", "Axis"),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", "BlockSize"),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", "BlockSize"),
}
"""Table of the options of an operator, and its fields that mean something here."""


@dataclass(frozen=True)
class Tensor:
    """As the file has it; ``data`` are the bytes of a constant, or None."""

    name: str
    shape: tuple[int, ...]
    type: str
    data: NDArray[np.uint8] | None
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    special: str
    """What it is besides, such as sparse."""


@dataclass(frozen=True)
class Operator:
    """As the file has it; -1 is an input that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class File:
    """Its first graph."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes) -> File:
    """Raises UserError, in one line, for what is no such file or is damaged."""
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"it has {len(data)} bytes; supported are {MAX_FILE_BYTES}")
    if data[4:8] != b"TFL3":
        raise UserError("it is no .tflite file: these have the letters TFL3 at byte 4")
    try:
        return _Reader(data).file()
    except (struct.error, ValueError, TypeError, LookupError, OverflowError, AttributeError, AssertionError) as error:
        raise UserError(f"it is damaged: {one_line(str(error))[:150] or type(error).__name__}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.left = 4 * len(data) + 2**16
        self.size = len(data)
        self.model = tflite.Model.GetRootAs(data, 0)

    def spend(self, count: int) -> None:
        """Raises UserError once more has been read than the file can hold."""
        self.left -= count
        if self.left < 0:
            raise UserError("it is damaged: its parts are larger than it is")

    def count(self, what: str, length: int, most: int, size: int = 4) -> int:
        """The length of a vector, which has to be in range and in the file."""
        if length > most:
            raise UserError(f"it has {length} {what}; supported are {most}")
        self.spend(length * size)
        return length

    def file(self) -> File:
        model = self.model
        if model.Version() != 3:
            raise UserError(f"it has version {model.Version()} of the schema; supported is 3")
        codes = [self.code(i) for i in range(self.count("operator codes", model.OperatorCodesLength(), MAX_OPERATORS))]
        buffers = self.count("buffers", model.BuffersLength(), 4 * MAX_TENSORS)
        if model.SubgraphsLength() < 1:
            raise UserError("it holds no graph")
        graph = model.Subgraphs(0)
        tensors = self.count("tensors", graph.TensorsLength(), MAX_TENSORS)
        operators = self.count("operators", graph.OperatorsLength(), MAX_OPERATORS)
        return File(
            [self.tensor(graph.Tensors(i), buffers) for i in range(tensors)],
            [self.operator(graph.Operators(i), codes, tensors) for i in range(operators)],
            self.places("inputs", graph.InputsLength(), graph.Inputs, tensors),
            self.places("outputs", graph.OutputsLength(), graph.Outputs, tensors),
        )

    def code(self, index: int) -> str:
        """The name of an operator, as the schema has it; that of one that is custom begins with CUSTOM."""
        code = self.model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = _names("BuiltinOperator").get(number, f"operator {number}")
        return f"CUSTOM {self.text(code.CustomCode())}" if kind == "CUSTOM" else kind

    def text(self, text: bytes | None) -> str:
        self.spend(len(text or b""))
        return one_line((text or b"").decode("utf-8", "replace"))

    def places(self, what: str, length: int, at: Any, tensors: int, least: int = 0) -> tuple[int, ...]:
        """Indices of tensors."""
        found = tuple(int(at(i)) for i in range(self.count(what, length, MAX_ENDS)))
        for place in found:
            if not least <= place < tensors:
                raise UserError(f"it is damaged: it has no tensor {place} among its {what}")
        return found

    def tensor(self, tensor: Any, buffers: int) -> Tensor:
        name = self.text(tensor.Name()).split(";")[-1]
        shape = tuple(
            int(tensor.Shape(i)) for i in range(self.count(f"axes of {name}", tensor.ShapeLength(), MAX_RANK))
        )
        place = tensor.Buffer()
        if not 0 <= place < buffers:
            raise UserError(f"it is damaged: it has no buffer {place}")
        buffer = self.model.Buffers(place)
        special = "a variable" if tensor.IsVariable() else "sparse" if tensor.Sparsity() is not None else ""
        if buffer.Offset() > 1:
            special = "stored outside of the tables"
        data = None
        if (length := buffer.DataLength()) > 0:
            self.count("bytes", length, self.size, 0)
            data = buffer.DataAsNumpy()
        scale, zero_point, axis = self.grid(tensor.Quantization())
        kind = _names("TensorType").get(tensor.Type(), str(tensor.Type()))
        return Tensor(name[-_LONGEST_NAME:], shape, kind, data, scale, zero_point, axis, special)

    def grid(self, table: Any) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        scale, zero_point = np.zeros(0, np.float32), np.zeros(0, np.int64)
        if table is None:
            return scale, zero_point, 0
        if count := self.count("scales", table.ScaleLength(), self.size):
            scale = table.ScaleAsNumpy()
            zero_point = np.zeros(count, np.int64)
        if self.count("zero points", table.ZeroPointLength(), self.size, 8):
            zero_point = table.ZeroPointAsNumpy()
        return scale, zero_point, int(table.QuantizedDimension())

    def operator(self, operator: Any, codes: Sequence[str], tensors: int) -> Operator:
        index = operator.OpcodeIndex()
        if not 0 <= index < len(codes):
            raise UserError(f"it is damaged: it has no operator code {index}")
        inputs = self.places("inputs", operator.InputsLength(), operator.Inputs, tensors, -1)
        outputs = self.places("outputs", operator.OutputsLength(), operator.Outputs, tensors)
        return Operator(codes[index], inputs, outputs, _options(operator, codes[index]))


def _options(operator: Any, kind: str) -> dict[str, Any]:
    """The fields of an operator's options that mean something, with the schema's defaults."""
    if kind not in OPTIONS:
        return {}
    name, fields = OPTIONS[kind]
    options, table = getattr(tflite, name)(), operator.BuiltinOptions()
    if table is None or operator.BuiltinOptionsType() == 0:
        table = _empty()
    elif operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise UserError(f"it is damaged: a {kind} has the options of another operator")
    options.Init(table.Bytes, table.Pos)
    return {field: getattr(options, field)() for field in fields.split()}


@cache
def _empty() -> Any:
    """A table whose fields have their defaults."""
    builder = flatbuffers.Builder(0)
    builder.StartObject(0)
    builder.Finish(builder.EndObject())
    data = bytes(builder.Output())
    return flatbuffers.table.Table(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))


@cache
def _names(enumeration: str) -> dict[int, str]:
    """The names of an enumeration of the schema, by number."""
    return {number: name for name, number in vars(getattr(tflite, enumeration)).items() if type(number) is int}
