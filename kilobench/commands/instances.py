# SPDX-License-Identifier: Apache-2.0
"""Random instances of any operator, made of nothing but its declaration (kilobench.compile.operator)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.compile.graphcheck import check_op
from kilobench.compile.operator import Attribute, Operator, operator, require
from kilobench.compile.ops._integers import TWICE

CHANNELS = (1, 2, 3, 4, 7, 8, 31, 32, 33, 64, 70)
"""Numbers at which kernels go wrong."""
_TRIES = 1000
_MOST_WORK = 100_000
"""What emulators do in a moment."""
_SPREAD = 4
"""Random attributes lie within this of the least that is allowed, or of 0 where that is below it."""


def instance(kind: str, types: tuple[DType, DType], seed: int) -> Graph:
    """A graph of one operator, which reads all its inputs from the graph's; raises ValueError if none can be found."""
    r = np.random.default_rng(seed)
    height, width = (1, int(r.integers(1, 60))) if r.integers(2) else map(int, r.integers(1, 10, 2))
    source = _tensor(r, "input", (height, width, int(r.choice(CHANNELS))), types[0])
    op, output = random_op(
        r, kind, [source] * (operator(kind).inputs or int(r.integers(1, 5))), types[1], "op", "output"
    )
    return Graph({"input": source, "output": output}, (op,), "input", ("output",))


def random_op(
    r: np.random.Generator, kind: str, sources: list[Tensor], dtype: DType, name: str, output: str
) -> tuple[Op, Tensor]:
    """An operator called ``name`` that reads these tensors, and the tensor ``output`` that it makes.

    Raises ValueError, with what was wrong with the last, if none of many random ones passes its checks.
    """
    cls, error = operator(kind), ""
    for _ in range(_TRIES):
        attrs = {key: _value(r, attribute, sources[0].shape) for key, attribute in cls.attributes.items()}
        attrs = {key: value for key, value in attrs.items() if value != cls.attributes[key].default}
        bare = Op(kind, name, tuple(source.name for source in sources), output, attrs)
        made = _tensor(r, output, (*sources[0].shape[:2], int(r.choice(CHANNELS))), dtype)
        try:
            shape = cls(bare, sources, made).output_shape()
            made = _tensor(r, output, shape, dtype, cls.grid(sources[0]))
            op = Op(kind, name, bare.inputs, output, attrs, _params(r, cls(bare, sources, made)))
            require(check_op(op, sources, made).work() <= _MOST_WORK, "is too much work")
            return op, made
        except ValueError as raised:
            error = str(raised)
    raise ValueError(f"no random instance of {kind} from {sources[0].dtype} to {dtype} is right: it {error}")


def random_inputs(graph: Graph, count: int, seed: int) -> NDArray[Any]:
    """Inputs [count, h, w, c] as kilobench.compile.simulate takes them; integers with extremes, floats with both zeros."""
    r, tensor = np.random.default_rng([seed, 2]), graph.tensors[graph.input]
    shape = (count, *tensor.shape)
    if tensor.dtype == "bit":
        return r.integers(0, 2, shape).astype(np.uint8)
    if tensor.dtype != "float32":
        kind = np.iinfo(tensor.dtype)
        values = np.clip(r.normal(0, 0.7 * kind.max, shape), kind.min, kind.max)
        values[0] = r.choice([values[0], np.full(tensor.shape, kind.min), np.full(tensor.shape, kind.max)])
        return values.astype(kind.dtype)
    values = np.round(r.normal(size=shape) * 4) / 2 * np.where(r.integers(0, 2, shape), 1, -1)
    return values.astype(np.float32)


def _tensor(
    r: np.random.Generator, name: str, shape: tuple[int, int, int], dtype: DType, grid: tuple[float, int] | None = None
) -> Tensor:
    if dtype in ("int8", "uint8"):
        zero = int(r.choice([-128, 0, int(r.integers(-128, 128))])) + (128 if dtype == "uint8" else 0)
        return Tensor(name, shape, dtype, *(grid or (float(r.uniform(0.01, 0.1)), zero)))
    return Tensor(name, shape, dtype, 1 / 32767 if dtype == "int16" else 0.0)


def _value(r: np.random.Generator, attribute: Attribute, shape: tuple[int, int, int]) -> Any:
    """Of three numbers, some are those of the shape in another order."""
    if attribute.count == 3 and r.integers(2) and attribute.allows(sizes := tuple(r.permutation(shape).tolist())):
        return sizes
    if attribute.optional and r.integers(2):
        return attribute.default
    if not attribute.count:
        return bool(r.integers(2))
    low, spread = max(attribute.low, -_SPREAD), int(r.choice([1, _SPREAD]))
    numbers = tuple(int(n) for n in r.integers(low, min(attribute.high, max(low, 0) + spread) + 1, attribute.count))
    return numbers if attribute.count > 1 else numbers[0]


def _params(r: np.random.Generator, bound: Operator) -> dict[str, NDArray[Any]]:
    params = {}
    optional = bound.optional if r.integers(2) else frozenset[str]()
    for name, (dtype, letters) in bound.types[bound.source.dtype, bound.output.dtype].items():
        if name not in optional:
            params[name] = _param(r, name, dtype, bound.shape(letters), bound.attrs.get("bits", 8))
            if dtype == "uint32":
                params[name][..., -1] &= np.uint32(2 ** bound.used_bits(letters) - 1)
    return params


def _param(r: np.random.Generator, name: str, dtype: str, shape: tuple[int, ...], bits: int) -> NDArray[Any]:
    """``bits`` is the width of int8 weights, which are symmetric below 8."""
    if dtype == "float32":
        return r.normal(size=shape).astype(np.float32)
    if dtype == "uint32":
        return r.integers(0, 2**32, shape, np.uint32)
    if dtype == "int8":
        return r.integers(1 - 2 ** (bits - 1) if bits < 8 else -128, 2 ** (bits - 1), shape, np.int8)
    if dtype == "uint8":
        return r.integers(0, 256, shape, np.uint8)
    what, _, below = name.partition("_")  # as in shift_negative
    bounds = {"multiplier": (2**30, 2**31), "shift": (29, 42)}.get(what, (-1000, 1000))
    values = r.integers(*bounds, shape) * (1 - 2 * r.integers(0, 2, shape) * (what == "multiplier" and below != ""))
    return (values + TWICE * r.integers(0, 2) * (what == "shift")).astype(dtype)
