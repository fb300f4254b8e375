# SPDX-License-Identifier: Apache-2.0
"""Small .tflite files, and what TFLite-Micro itself makes of them."""

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

_TYPES = {
    "float16": "FLOAT16",
    "float32": "FLOAT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
}

_ARENA_BYTES = 2**22


@dataclass(frozen=True)
class Value:
    """A tensor: of a constant with its ``array``; quantised by a scale and zero point, or several along ``axis``."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int = 0
    array: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True)
class Node:
    """An operator as the schema of TFLite calls it, ADD; inputs that are left out are "". ``options`` are the name of its table
    and the fields of that, AddOptions and {"FusedActivationFunction": 1}."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[str, dict[str, Any]] | None = None
    version: int = 1


@dataclass
class _Writer:
    builder: flatbuffers.Builder = field(default_factory=lambda: flatbuffers.Builder(1024))

    def table(self, name: str, **fields: Any) -> int:
        """Numbers and places; sequences become vectors before."""
        made = {key: self.vector(value) if isinstance(value, np.ndarray) else value for key, value in fields.items()}
        getattr(tflite, f"{name}Start")(self.builder)
        for key, value in made.items():
            if value is not None:
                getattr(tflite, f"{name}Add{key}")(self.builder, value)
        return getattr(tflite, f"{name}End")(self.builder)

    def vector(self, array: np.ndarray[Any, Any]) -> int:
        return self.builder.CreateNumpyVector(np.ascontiguousarray(array).ravel())

    def places(self, tables: list[int]) -> int:
        """A vector of tables."""
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return self.builder.EndVector()


def model(values: list[Value], nodes: list[Node], inputs: list[str], outputs: list[str]) -> bytes:
    """A file with one graph."""
    w = _Writer()
    buffers = [w.table("Buffer")]
    tensors = []
    for value in values:
        place = 0
        if value.array is not None:
            place = len(buffers)
            buffers.append(w.table("Buffer", Data=np.frombuffer(value.array.tobytes(), np.uint8)))
        tensors.append(_tensor(w, value, place))
    index = {value.name: place for place, value in enumerate(values)} | {"": -1}
    kinds = sorted({(node.kind, node.version) for node in nodes})
    codes = [
        w.table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=version)
        for code, version in ((getattr(tflite.BuiltinOperator, kind), version) for kind, version in kinds)
    ]
    operators = [_operator(w, node, kinds.index((node.kind, node.version)), index) for node in nodes]
    ends = {
        name: np.array([index[end] for end in names], np.int32)
        for name, names in (("Inputs", inputs), ("Outputs", outputs))
    }
    graph = w.table("SubGraph", Tensors=w.places(tensors), **ends, Operators=w.places(operators))
    parts = {"OperatorCodes": codes, "Subgraphs": [graph], "Buffers": buffers}
    whole = w.table("Model", Version=3, **{key: w.places(tables) for key, tables in parts.items()})
    w.builder.Finish(whole, b"TFL3")
    return bytes(w.builder.Output())


def single(kind: str, options: tuple[str, dict[str, Any]] | None, inputs: list[Value], output: Value) -> bytes:
    """A file with one operator, which reads the file's inputs and constants."""
    node = Node(kind, tuple(value.name for value in inputs), (output.name,), options)
    values = {value.name: value for value in inputs}
    read = [name for name, value in values.items() if value.array is None]
    return model([*values.values(), output], [node], read, [output.name])


def micro() -> Any:
    """TFLite-Micro's Python package; without it, the test is skipped."""
    return pytest.importorskip("tflite_micro", reason="TFLite-Micro is not installed: pip install tflite-micro").runtime


def run(file: bytes, *inputs: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The outputs that TFLite-Micro makes of inputs of the file's shapes."""
    interpreter = micro().Interpreter.from_bytes(file, arena_size=_ARENA_BYTES)
    for place, value in enumerate(inputs):
        interpreter.set_input(value, place)
    interpreter.invoke()
    return [interpreter.get_output(place) for place in range(tflite.Model.GetRootAs(file).Subgraphs(0).OutputsLength())]


def _tensor(w: _Writer, value: Value, place: int) -> int:
    grid = None
    if value.scale:
        scales, zeros = np.array(value.scale, np.float32), np.array(value.zero_point, np.int64)
        grid = w.table("QuantizationParameters", Scale=scales, ZeroPoint=zeros, QuantizedDimension=value.axis)
    name, shape = w.builder.CreateString(value.name), np.array(value.shape, np.int32)
    kind = getattr(tflite.TensorType, _TYPES[value.dtype])
    return w.table("Tensor", Shape=shape, Type=kind, Buffer=place, Name=name, Quantization=grid)


def _operator(w: _Writer, node: Node, code: int, index: dict[str, int]) -> int:
    options: dict[str, Any] = {}
    if node.options is not None:
        name, fields = node.options
        made = {key: np.array(v, np.int32) if isinstance(v, list | tuple) else v for key, v in fields.items()}
        options = {"BuiltinOptionsType": getattr(tflite.BuiltinOptions, name), "BuiltinOptions": w.table(name, **made)}
    ends = {"Inputs": node.inputs, "Outputs": node.outputs}
    places = {key: np.array([index[name] for name in names], np.int32) for key, names in ends.items()}
    return w.table("Operator", OpcodeIndex=code, **places, **options)
