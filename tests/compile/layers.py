# SPDX-License-Identifier: Apache-2.0
"""Random networks of operators in one type, and what they compute to the bit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.compile.simulate import Maps, simulate
from tests.compile.graphs import Builder

KINDS = ("conv2d", "depthwise_conv2d", "max_pool", "avg_pool", "add")


def layer(b: Builder, kind: str, source: Tensor, channels: int | None = None) -> Tensor:
    """A random operator of a kind; a convolution has ``channels`` outputs if that is given."""
    if kind == "conv2d":
        return b.conv(source, "int8" if source.dtype == "int16" else source.dtype, channels)
    if kind == "add":
        other = next(tensor for tensor in reversed(b.tensors.values()) if tensor.shape == source.shape)
        return b.add(source, other)
    return b.any(kind, source, source.dtype)


def random_layers(seed: int, dtype: DType, count: int = 50) -> Graph:
    """Operators in one type. None reads the one before it, so that every map exists as a whole."""
    b = Builder(seed)
    r = b.random
    maps = [b.tensor((int(r.integers(1, 12)), int(r.integers(1, 12)), int(r.integers(1, 20))), dtype)]
    for index in range(count):
        source = maps[int(r.integers(0, max(1, len(maps) - 1)))]
        maps.append(layer(b, KINDS[index % len(KINDS)], source))
    return b.graph(maps[0], maps[-1])


def exact_maps(graph: Graph, x: NDArray[Any]) -> Maps:
    """All maps of one input to the bit: the simulation's, where it is exact; sums of floats in the documented order."""
    if graph.tensors[graph.input].dtype != "float32":
        return simulate(graph, x)
    maps: Maps = {graph.input: x}
    for op in graph.ops:
        values = [maps[name] for name in op.inputs]
        value = values[0] + values[1] if op.kind == "add" else _slide(op, values[0])
        maps[op.output] = np.where(np.signbit(value), np.float32(0), value) if op.attrs.get("relu") else value
    return maps


def _slide(op: Op, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A float operator that slides over a map [1, h, w, c], one product and one sum at a time."""
    attrs, channels = op.attrs, x.shape[3]
    kernel, (step_h, step_w) = attrs["kernel"], attrs["stride"]
    (gap_h, gap_w), (more_h, more_w) = attrs.get("dilation", (1, 1)), attrs.get("extra", (0, 0))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, (gap_h, gap_w), strict=True)]
    (pad_h, pad_w) = attrs["padding"]
    sides = (0, 0), (pad_h, pad_h + more_h), (pad_w, pad_w + more_w), (0, 0)
    padded = np.pad(x, sides, constant_values=-np.inf if op.kind == "max_pool" else 0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, ::step_h, ::step_w, :, ::gap_h, ::gap_w]
    if op.kind == "max_pool":  # of two zeros the first one stays
        best = windows[..., 0, 0]
        for ky, kx in np.ndindex(*kernel):
            best = np.where(windows[..., ky, kx] > best, windows[..., ky, kx], best)
        return best
    if op.kind == "avg_pool":
        acc = np.zeros(windows.shape[:4], np.float32)
        for ky, kx in np.ndindex(*kernel):
            acc += windows[..., ky, kx]
        scale = op.params["scale"]
        return acc * (scale if len(scale) == 1 else scale[_divisors(op, x.shape, sides) - 1])
    weight = op.params["weight"] if op.kind == "conv2d" else op.params["weight"].transpose(2, 0, 1)[..., None]
    outputs, parts = len(weight), weight.shape[3]
    acc = np.zeros((*windows.shape[:3], outputs), np.float32)
    first = np.arange(outputs) // (outputs // (channels // parts)) * parts
    for ky, kx in np.ndindex(*kernel):
        for i in range(parts):
            acc += windows[..., first + i, ky, kx] * weight[:, ky, kx, i]
    return acc + op.params["bias"]


def _divisors(op: Op, shape: tuple[int, ...], sides: Any) -> NDArray[np.int64]:
    """How many taps each window of an average pool counts."""
    top, left, bottom, right = op.attrs.get("counted", (0, 0, 0, 0))
    counted = (0, 0), (top, bottom), (left, right), (0, 0)
    rest = [(before - b, after - a) for (before, after), (b, a) in zip(sides, counted, strict=True)]
    ones = np.pad(np.pad(np.ones((1, *shape[1:]), np.int64), counted, constant_values=1), rest)
    windows = np.lib.stride_tricks.sliding_window_view(ones, op.attrs["kernel"], axis=(1, 2))
    step_h, step_w = op.attrs["stride"]
    return windows[:, ::step_h, ::step_w].sum(axis=(-1, -2))
