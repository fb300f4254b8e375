"""What every operator means, in plain NumPy and torch: the reference that the C is held to (docs/arithmetic.md).

Feature maps are [n, height, width, channels]; bit maps hold one uint8 0 or 1 per channel here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from kilobench.compile.graph import Graph, Op, Tensor, unpack

Maps = dict[str, NDArray[Any]]


def quantise_input(graph: Graph, x: NDArray[np.float32]) -> NDArray[Any]:
    """Inputs as the model takes them: float32 [n, c, h, w] to [n, h, w, c], float32, int8 or int16.

    Rounded half to even.
    """
    tensor = graph.tensors[graph.input]
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    if tensor.dtype == "float32":
        return x
    q = np.rint(x / np.float32(tensor.scale)) + tensor.zero_point
    kind = np.iinfo(tensor.dtype)
    return np.clip(q, kind.min, kind.max).astype(kind.dtype)


def simulate(graph: Graph, inputs: NDArray[Any]) -> Maps:
    """All feature maps of a batch of inputs made by quantise_input, by tensor name."""
    maps: Maps = {graph.input: inputs}
    for op in graph.ops:
        sources = [graph.tensors[name] for name in op.inputs]
        values = [maps[name] for name in op.inputs]
        output = graph.tensors[op.output]
        maps[op.output] = _OPERATORS[op.kind](op, sources, values, output)
    return maps


def requantise(acc: NDArray[np.int64], multiplier: NDArray[Any], shift: NDArray[Any]) -> NDArray[np.int64]:
    """acc * multiplier * 2**-shift, rounded once, half up."""
    result: NDArray[np.int64] = ((acc * multiplier.astype(np.int64)) >> (shift.astype(np.int64) - 1)) + 1 >> 1
    return result


def _saturate(value: NDArray[np.int64], op: Op, output: Tensor) -> NDArray[np.int8]:
    low = output.zero_point if op.attrs.get("relu") else -128
    return np.clip(value + output.zero_point, low, 127).astype(np.int8)


def _correlate(op: Op, x: NDArray[Any], weight: NDArray[Any], dtype: torch.dtype, groups: int = 1) -> NDArray[Any]:
    """Convolution of [n, h, w, c] with [o, kh, kw, c / groups]; exact in float64 for the integers here."""
    pad_h, pad_w = op.attrs["padding"]
    image = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(dtype)
    image = functional.pad(image, (pad_w, pad_w, pad_h, pad_h))
    kernel = torch.from_numpy(weight.transpose(0, 3, 1, 2).copy()).to(dtype)
    return functional.conv2d(image, kernel, stride=op.attrs["stride"], groups=groups).numpy().transpose(0, 2, 3, 1)


def _conv2d(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    source, x, p = sources[0], values[0], op.params
    if source.dtype == "float32":
        result = _correlate(op, x, p["weight"], torch.float32) + p["bias"]
        return np.maximum(result, 0) if op.attrs["relu"] else result
    if source.dtype in ("int8", "int16"):
        acc = _correlate(op, x - np.float64(source.zero_point), p["weight"], torch.float64).astype(np.int64) + p["bias"]
        return _saturate(requantise(acc, p["multiplier"], p["shift"]), op, output)
    signs = 2.0 * unpack(p["weight"], source.shape[2]) - 1
    acc = _correlate(op, 2.0 * x - 1, signs, torch.float64).astype(np.int64)
    if output.dtype == "bit":
        return ((acc >= p["threshold"]) ^ unpack(p["flip"], output.shape[2])).astype(np.uint8)
    if output.dtype == "int8":
        return _saturate(requantise(256 * acc + p["bias"], p["multiplier"], p["shift"]), op, output)
    result = acc.astype(np.float32) * p["scale"] + p["bias"]
    return np.maximum(result, 0) if op.attrs["relu"] else result


def _depthwise_conv2d(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    source, x, p, channels = sources[0], values[0], op.params, output.shape[2]
    weight = p["weight"].transpose(2, 0, 1)[..., None]
    if source.dtype == "float32":
        result = _correlate(op, x, weight, torch.float32, channels) + p["bias"]
        return np.maximum(result, 0) if op.attrs["relu"] else result
    acc = _correlate(op, x - np.float64(source.zero_point), weight, torch.float64, channels).astype(np.int64)
    return _saturate(requantise(acc + p["bias"], p["multiplier"], p["shift"]), op, output)


def _windows(op: Op, x: NDArray[Any]) -> NDArray[Any]:
    """[n, out h, out w, c, kernel h, kernel w]."""
    (step_h, step_w), kernel = op.attrs["stride"], op.attrs["kernel"]
    return np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::step_h, ::step_w]


def _max_pool(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    best: NDArray[Any] = _windows(op, values[0]).max(axis=(-1, -2))
    return best ^ unpack(op.params["flip"], output.shape[2]) if "flip" in op.params else best


def _avg_pool(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    if output.dtype == "float32":
        total: NDArray[Any] = _windows(op, values[0]).sum(axis=(-1, -2), dtype=np.float32) * op.params["scale"]
        return total
    acc = (_windows(op, values[0]).astype(np.int64) - sources[0].zero_point).sum(axis=(-1, -2))
    return _saturate(requantise(acc, op.params["multiplier"], op.params["shift"]), op, output)


def _add(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    if output.dtype == "float32":
        result: NDArray[Any] = values[0] + values[1]
        return np.maximum(result, 0) if op.attrs["relu"] else result
    terms = [
        (value.astype(np.int64) - source.zero_point) * int(factor)
        for value, source, factor in zip(values, sources, op.params["multiplier"], strict=True)
    ]
    return _saturate(requantise(terms[0] + terms[1], np.ones(1), op.params["shift"]), op, output)


def _transpose(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    return values[0].transpose(0, 3, 2, 1)


def _binarize(op: Op, sources: list[Tensor], values: list[NDArray[Any]], output: Tensor) -> NDArray[Any]:
    bits = values[0] >= op.params["threshold"]
    return (bits ^ unpack(op.params["flip"], output.shape[2]).astype(bool)).astype(np.uint8)


_OPERATORS = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "add": _add,
    "transpose": _transpose,
    "binarize": _binarize,
}
