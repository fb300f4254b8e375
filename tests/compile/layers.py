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
    kernel, (step_h, step_w) = op.attrs["kernel"], op.attrs["stride"]
    (pad_h, pad_w) = op.attrs["padding"]
    padded = np.pad(x, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))[:, ::step_h, ::step_w]
    if op.kind == "max_pool":  # of two zeros the first one stays
        best = windows[..., 0, 0]
        for ky, kx in np.ndindex(*kernel):
            best = np.where(windows[..., ky, kx] > best, windows[..., ky, kx], best)
        return best
    weight = op.params.get("weight", np.ones((*kernel, x.shape[3]), np.float32))
    channels = len(weight) if op.kind == "conv2d" else x.shape[3]
    acc = np.zeros((*windows.shape[:3], channels), np.float32)
    for ky, kx in np.ndindex(*kernel):
        tap = windows[..., ky, kx]
        if op.kind != "conv2d":
            acc += tap * weight[ky, kx]
            continue
        for i in range(x.shape[3]):
            acc += tap[..., i : i + 1] * weight[:, ky, kx, i]
    return acc * op.params["scale"] if op.kind == "avg_pool" else acc + op.params["bias"]
