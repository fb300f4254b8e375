# SPDX-License-Identifier: Apache-2.0
"""Programs of torch.export: .pt2 files, which torch is not needed for, and modules at hand.

A .pt2 file (torch.export.save) is a zip archive of JSON and raw numbers. It is read as that, after torch's
schema (torch/_export/serde/schema.py, version 8). torch.export.load would run what pickles in it say; here nothing of it runs.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Graph
from kilobench.compile.imports.aten import Exported, translate
from kilobench.compile.imports.builder import printable
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.program import Program
from kilobench.compile.imports.qdq import fold_quantisers
from kilobench.compile.imports.simplify import fold_constants, fold_norms
from kilobench.compile.imports.walk import Rounding
from kilobench.compile.operator import require
from kilobench.contracts import UserError
from kilobench.lines import one_line, reason

if TYPE_CHECKING:
    from torch import nn

MAX_BYTES, MAX_JSON, MAX_MEMBERS = 2**28, 2**25, 20_000
"""Bytes of a tensor, and of the JSON in a file; files in an archive."""
MAX_AXES = 8
SCHEMA = 8
"""The version of torch's schema that is read."""

_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
}
"""torch's ScalarType in the schema, as NumPy calls it."""


class NotExported(UserError):
    """torch.export cannot follow a module, or what it makes of it is something else."""


def load_pt2(data: bytes) -> Program:
    """The network of a .pt2 file. Raises UserError, in one line, for one that cannot be read or has what is not supported."""
    try:
        return fold_quantisers(translate(_Archive(io.BytesIO(data)).read()))
    except ValueError as error:
        raise UserError(one_line(str(error))) from None


def lower(module: nn.Module, input_shape: Sequence[int], rounding: Rounding = "once") -> Graph:
    """The graph of a module of torch in evaluation, for one input of this shape, without the batch. Raises UserError."""
    return lower_program(export_module(module, input_shape), rounding)


def export_module(module: nn.Module, input_shape: Sequence[int], *, trained: bool = False) -> Program:
    """The network that a module of torch is in evaluation, for one input of this shape, without the batch.

    Of one ``trained`` here, with FakeQuant between layers, weights become int8 too, with the batch norms behind them. Raises
    UserError.
    """
    import torch

    example = torch.rand((1, *input_shape), generator=torch.Generator().manual_seed(0)) * 2 - 1
    buffer, name = io.BytesIO(), type(module).__name__
    was_training = module.training
    try:
        exported = torch.export.export(module.eval(), (example,), strict=False)
        torch.export.save(exported, buffer)
        same = all(_same(exported.module()(x.clone()), module(x.clone())) for x in (example, -example))
    except Exception as error:  # of the module's own code, and of torch's
        line = reason(error)
        raise NotExported(f"{name} cannot be exported for an input of {tuple(example.shape)}: {line:.300}") from None
    finally:
        module.train(was_training)
    if not same:
        raise NotExported(f"{name} computes something else than torch.export makes of it, or what is not finite")
    try:
        program = translate(_Archive(buffer).read())
        return fold_quantisers(fold_norms(fold_constants(program)) if trained else program, trained=trained)
    except ValueError as error:
        raise UserError(one_line(f"{name}: {error}")) from None


def _same(a: Any, b: Any) -> bool:
    """Whether two results of a network are one, and finite, but for rounding."""
    import torch

    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)) or a.shape != b.shape:
        return False
    near = torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max()))
    return near and bool(torch.isfinite(b).all())


class _Archive:
    """A zip file whose members are named ROOT/models/NAME.json and the like."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            raise ValueError("is no archive of torch.export.save") from None
        names = self.zip.namelist()
        require(len(names) <= MAX_MEMBERS and len(set(names)) == len(names), "holds too many files, or one twice")
        models = [
            name for name in names if name.count("/") == 2 and name.split("/")[1] == "models" and name.endswith(".json")
        ]
        old = "; those of older torch are to be saved again" if names else ""
        require(len(models) == 1, f"holds {len(models)} exported programs; supported is one{old}")
        self.root, _, file_name = models[0].split("/")
        self.model = file_name.removesuffix(".json")
        self._tensors: dict[str, NDArray[Any]] = {}

    def read(self) -> Exported:
        """The program, whose constants are read when they are asked for."""
        program = self._json(f"models/{self.model}.json")
        version = _get(_get(program, "schema_version", dict), "major", int)
        require(version == SCHEMA, f"has version {version} of torch's schema; supported is {SCHEMA}")
        module = _get(program, "graph_module", dict)
        entries = self._entries("weights") | self._entries("constants")
        return Exported(
            _get(module, "graph", dict), _get(module, "signature", dict), lambda name: self._tensor(entries, name)
        )

    def _entries(self, folder: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """Where each tensor is, and what is said of it."""
        pickled = f"{self.root}/data/{folder}/{self.model}.pt" in self.zip.namelist()
        require(not pickled, f"holds its {folder} as a pickle, which is code; save it again with a newer torch")
        config = _get(self._json(f"data/{folder}/{self.model}_{folder}_config.json"), "config", dict)
        return {name: (folder, entry) for name, entry in config.items() if isinstance(entry, dict)}

    def _tensor(self, entries: dict[str, tuple[str, dict[str, Any]]], name: str) -> NDArray[Any]:
        """A parameter, buffer or constant."""
        shown = printable(name)
        require(name in entries, f"lacks the tensor {shown}")
        folder, entry = entries[name]
        pickled = entry.get("use_pickle") is not False
        require(not pickled, f"holds {shown} as a pickle, which is code; supported are plain tensors")
        try:
            meta = _get(entry, "tensor_meta", dict)
            dtype = _TYPES.get(_get(meta, "dtype", int), "")
            require(
                dtype != "" and meta.get("layout") == 7,
                f"is of a type or layout that is not known here; supported are {', '.join(_TYPES.values())}",
            )
            shape, strides = (tuple(map(fixed_size, _get(meta, key, list))) for key in ("sizes", "strides"))
            raw = self._bytes(f"data/{folder}/{_get(entry, 'path_name', str)}", MAX_BYTES)
            return _strided(
                raw, np.dtype(dtype).newbyteorder("<"), shape, strides, fixed_size(meta.get("storage_offset"))
            )
        except ValueError as error:
            raise ValueError(f"{shown} {error}") from None

    def _json(self, name: str) -> Any:
        data = self._bytes(name, MAX_JSON)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise ValueError(f"holds a {printable(name)} that is no JSON") from None
        require(isinstance(found, dict), f"holds a {printable(name)} that is no object")
        return found

    def _bytes(self, name: str, most: int) -> bytes:
        path = f"{self.root}/{name}"
        try:
            info = self.zip.getinfo(path)
            require(info.file_size <= most, f"holds {info.file_size} bytes; supported are up to {most}")
            return self.zip.read(info)
        except KeyError:
            raise ValueError(f"lacks the file {printable(path)}") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error):
            raise ValueError(f"has a damaged file {printable(path)}") from None


def _strided(
    raw: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> NDArray[Any]:
    """A tensor within its storage."""
    require(len(shape) == len(strides) <= MAX_AXES, f"has the shape {shape} and strides {strides}")
    require(math.prod(shape) <= MAX_BYTES // dtype.itemsize, f"has the shape {shape}")
    numbers = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    require(0 not in shape and last < numbers.size, f"of the shape {shape} does not lie within its {len(raw)} bytes")
    steps = tuple(stride * dtype.itemsize for stride in strides)
    view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
    return view.astype(dtype.newbyteorder("="), order="C")


def fixed_size(entry: Any) -> int:
    """A size, stride or offset of the schema that is a number."""
    value = entry.get("as_int") if isinstance(entry, dict) else None
    require(type(value) is int and 0 <= value <= MAX_BYTES, "has a size that is not known")
    return int(value or 0)


def _get(entry: dict[str, Any], key: str, kind: type) -> Any:
    value = entry.get(key)
    require(isinstance(value, kind), f"lacks {key}, or has another type there")
    return value
