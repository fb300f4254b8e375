# SPDX-License-Identifier: Apache-2.0
"""ONNX files: reads what is in one, and trusts nothing of it.

Of a file only graph, attributes and numbers are used: no external data, functions or subgraphs. What operators mean is in
kilobench.compile.imports.onnxwalk.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.imports.builder import layer_name, printable
from kilobench.compile.imports.onnxmodel import TYPES, FileModel, FileNode
from kilobench.compile.imports.onnxwalk import translate
from kilobench.compile.imports.program import Program
from kilobench.compile.operator import require
from kilobench.contracts import UserError
from kilobench.extras import needed
from kilobench.lines import one_line

if TYPE_CHECKING:
    import onnx

MAX_NODES, MAX_TENSORS, MAX_AXES = 10_000, 10_000, 8
"""Of a file; axes of a tensor. Many operators of a file only compute shapes."""
OPSETS = (7, 26)
"""Of the default domain: the first and the last whose operators are known here."""

_FIELDS = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}
"""Where numbers are that are not raw; int32_data for all other types."""


def load_onnx(data: bytes) -> Program:
    """The network of an .onnx file. Raises UserError, in one line, for one that cannot be read or has what is not supported."""
    try:
        return translate(_read(_parse(data)))
    except ValueError as error:
        raise UserError(one_line(str(error))) from None


def _text(value: str | bytes) -> str:
    """Of a field; what is no UTF-8 arrives as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _parse(data: bytes) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise needed("onnx", "reading .onnx files") from None
    try:
        model = onnx.ModelProto()
        model.ParseFromString(data)
    except (DecodeError, RecursionError):
        raise ValueError("is not an ONNX model") from None
    require(model.HasField("graph") and len(model.graph.node) > 0, "is not an ONNX model, or holds no operators")
    return model


def _read(model: onnx.ModelProto) -> FileModel:
    graph = model.graph
    require(
        not model.functions, "holds functions of its own; supported are operators of ONNX (inline them when exporting)"
    )
    require(not graph.sparse_initializer, "holds sparse tensors; supported are dense ones")
    require(len(graph.node) <= MAX_NODES, f"holds {len(graph.node)} operators; supported are up to {MAX_NODES}")
    count = len(graph.initializer)
    require(count <= MAX_TENSORS, f"holds {count} tensors; supported are up to {MAX_TENSORS}")
    constants: dict[str, NDArray[Any]] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name)
        require(name not in constants, f"has the tensor {printable(name)} twice")
        constants[name] = read_tensor(tensor)
    sources = [value for value in graph.input if _text(value.name) not in constants]
    names = ", ".join(printable(_text(value.name)) for value in sources[:3])
    require(len(sources) == 1, f"has {len(sources)} inputs ({names}); supported is one")
    dtype, shape = _map_type(sources[0])
    outputs = [_text(value.name) for value in graph.output]
    require(1 <= len(outputs) == len(set(outputs)), "has no outputs, or one twice")
    nodes = [_read_node(node) for node in graph.node]
    return FileModel(_opset(model), _text(sources[0].name), dtype, shape, outputs, nodes, constants)


def _opset(model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if _text(entry.domain) in ("", "ai.onnx")]
    first, last = OPSETS
    found = versions[0] if versions else 1
    require(len(versions) < 2, "states its opset twice")
    require(first <= found <= last, f"is of opset {found}; supported are {first} to {last}")
    return int(found)


def _map_type(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...]]:
    """Type and shape of the input; a batch axis that is not known is 1."""
    name, kind = printable(_text(value.name)), value.type.tensor_type
    require(value.type.HasField("tensor_type") and kind.HasField("shape"), f"has the input {name} without a shape")
    dtype = TYPES.get(kind.elem_type, f"of type {kind.elem_type}")
    known = dtype in ("float32", "int8", "uint8")
    require(known, f"has the input {name}, which is {dtype}; supported are float32, int8 and uint8")
    require(1 <= len(kind.shape.dim) <= MAX_AXES, f"has the input {name} of {len(kind.shape.dim)} axes")
    shape = []
    for axis, dim in enumerate(kind.shape.dim):
        size = int(dim.dim_value) if dim.HasField("dim_value") else 0
        if axis == 0 and size <= 0:
            size = 1
        require(
            size > 0,
            f"has the input {name}, whose axis {axis} is not known; supported are fixed sizes but for the batch",
        )
        shape.append(size)
    require(shape[0] == 1, f"has the input {name} with a batch of {shape[0]}; supported is 1, or one that is left open")
    return dtype, tuple(shape)


def _read_node(node: onnx.NodeProto) -> FileNode:
    kind, domain = _text(node.op_type), _text(node.domain)
    inputs, outputs = list(map(_text, node.input)), list(map(_text, node.output))
    name = _scope(node) or _text(node.name) or next(iter(outputs), "") or kind
    attrs: dict[str, Any] = {}
    for attr in node.attribute:
        key, where = _text(attr.name), f"{printable(name)} ({printable(kind)})"
        require(key not in attrs, f"{where} has the attribute {printable(key)} twice")
        try:
            attrs[key] = _read_attribute(attr, printable(key))
        except ValueError as error:
            raise ValueError(f"{where} {error}") from None
    return FileNode(kind, "" if domain == "ai.onnx" else domain, name, inputs, outputs, attrs)


def _scope(node: onnx.NodeProto) -> str:
    """The module that torch's exporter says a node comes from, in the properties that it leaves; or nothing."""
    found = {_text(entry.key): _text(entry.value) for entry in node.metadata_props}
    keys = ("pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy")
    scopes, classes = (re.findall(r"'([^']*)'", found.get(key, "")) for key in keys)
    return layer_name(scopes[-2], classes[-2], scopes[-1]) if len(scopes) == len(classes) > 1 else ""


def _read_attribute(attr: onnx.AttributeProto, name: str) -> Any:
    """As int, float, str, tuple or array."""
    require(not attr.ref_attr_name, f"has the attribute {name} of a function")
    if attr.type == attr.INT:
        return int(attr.i)
    if attr.type == attr.FLOAT:
        return float(attr.f)
    if attr.type == attr.STRING:
        return _text(attr.s)
    if attr.type == attr.INTS:
        return tuple(map(int, attr.ints))
    if attr.type == attr.FLOATS:
        return tuple(map(float, attr.floats))
    require(attr.type == attr.TENSOR, f"has an attribute {name} that is no number, text or tensor")
    return read_tensor(attr.t)


def read_tensor(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Its numbers. Raises ValueError for types that are not known here, data in other files, and counts that do not fit."""
    what = f"the tensor {printable(_text(tensor.name))}"
    dtype, shape = TYPES.get(tensor.data_type, ""), tuple(map(int, tensor.dims))
    require(dtype != "", f"has {what} of the type {tensor.data_type}; supported are {', '.join(TYPES.values())}")
    inside = tensor.data_location == tensor.DEFAULT and not tensor.external_data
    require(
        inside,
        f"has {what} in another file; supported are files that hold all (onnx.save with save_as_external_data=False)",
    )
    require(len(shape) <= MAX_AXES and all(size >= 0 for size in shape), f"has {what} of the shape {shape}")
    count, kind = math.prod(shape), np.dtype(dtype).newbyteorder("<")
    if tensor.HasField("raw_data"):
        found = len(tensor.raw_data)
        require(found == count * kind.itemsize, f"has {what} with {found} bytes, not {count * kind.itemsize}")
        return np.frombuffer(tensor.raw_data, kind).astype(dtype).reshape(shape)
    numbers = getattr(tensor, _FIELDS.get(dtype, "int32_data"))
    require(len(numbers) == count, f"has {what} with {len(numbers)} numbers, not {count}")
    if dtype == "float16":
        return np.array(numbers, dtype=np.int64).astype(np.uint16).view(np.float16).reshape(shape)
    return np.array(numbers).astype(dtype).reshape(shape)
