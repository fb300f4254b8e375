"""Random networks of convolutions, depthwise convolutions, pools and sums in one type, and what they compute to the bit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.graph import DType, Graph, Kind, Op, Tensor
from kilobench.lower import multiplier
from kilobench.simulate import Maps, simulate

KINDS: tuple[Kind, ...] = ("conv2d", "depthwise_conv2d", "max_pool", "avg_pool", "add")


class Layers:
    """Operators of random sizes, strides and paddings. None reads the one before it, so that every map exists as a whole."""

    def __init__(self, seed: int, dtype: DType, shape: tuple[int, int, int]) -> None:
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        self.ops: list[Op] = []
        self.maps: list[Tensor] = []
        self._tensor(shape)

    def graph(self, count: int) -> Graph:
        """A graph of ``count`` operators."""
        for index in range(count):
            source = self.maps[int(self.random.integers(0, max(1, len(self.maps) - 1)))]
            kind = KINDS[index % len(KINDS)]
            if kind == "add":
                self._add(source)
            else:
                self.window(kind, source, 9)
        tensors = {tensor.name: tensor for tensor in self.maps}
        return Graph(tensors, tuple(self.ops), self.maps[0].name, self.maps[-1].name)

    def window(self, kind: Kind, source: Tensor, outputs: int) -> Tensor:
        """An operator that slides over a map; a convolution has up to ``outputs`` output channels."""
        r = self.random
        kernel = tuple(int(r.integers(1, min(5, size) + 1)) for size in source.shape[:2])
        stride = tuple(int(v) for v in r.integers(1, 4, 2))
        convolves = kind in ("conv2d", "depthwise_conv2d")
        padding = tuple(int(r.integers(0, k)) if convolves else 0 for k in kernel)
        size = tuple(
            (n + 2 * p - k) // s + 1 for n, k, s, p in zip(source.shape, kernel, stride, padding, strict=False)
        )
        channels = int(r.integers(1, outputs + 1)) if kind == "conv2d" else source.shape[2]
        attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
        if convolves:
            attrs["relu"] = bool(r.integers(2))
        weights = (channels, *kernel, source.shape[2]) if kind == "conv2d" else (*kernel, channels)
        params = self._weights(weights, channels) if convolves else {}
        if kind == "avg_pool":
            scale = {"scale": np.array([1 / np.prod(kernel)], dtype=np.float32)}
            params = scale if self.dtype == "float32" else self._factors(1, 0.1, 1.5)
        output = self._tensor((size[0], size[1], channels), source if kind == "max_pool" else None)
        return self._append(kind, (source,), output, attrs, params)

    def _add(self, a: Tensor) -> Tensor:
        b = next(tensor for tensor in reversed(self.maps) if tensor.shape == a.shape)
        params = {}
        if self.dtype == "int8":
            factors = self.random.integers(2**27, 2**31 - 1, 2).astype(np.int32)
            params = {"multiplier": factors, "shift": self.random.integers(29, 34, 1).astype(np.int32)}
        return self._append("add", (a, b), self._tensor(a.shape), {"relu": bool(self.random.integers(2))}, params)

    def _append(
        self, kind: Kind, sources: tuple[Tensor, ...], output: Tensor, attrs: dict[str, Any], params: dict[str, Any]
    ) -> Tensor:
        names = tuple(tensor.name for tensor in sources)
        self.ops.append(Op(kind, f"op{len(self.ops)}", names, output.name, attrs, params))
        return output

    def _tensor(self, shape: tuple[int, int, int], like: Tensor | None = None) -> Tensor:
        """A new map, of the scale and zero point of ``like`` if that is given."""
        scale, zero = (0.05, int(self.random.integers(-128, 128))) if self.dtype == "int8" else (0.0, 0)
        if like is not None:
            scale, zero = like.scale, like.zero_point
        self.maps.append(Tensor(f"t{len(self.maps)}", shape, self.dtype, scale, zero))
        return self.maps[-1]

    def _weights(self, shape: tuple[int, ...], channels: int) -> dict[str, Any]:
        r = self.random
        if self.dtype == "float32":
            bias = r.normal(size=channels).astype(np.float32)
            return {"weight": r.normal(0, 0.3, shape).astype(np.float32), "bias": bias}
        weight = r.integers(-127, 128, shape).astype(np.int8)
        bias = r.integers(-(2**14), 2**14, channels).astype(np.int32)
        return {"weight": weight, "bias": bias} | self._factors(channels, 1e-4, 0.1)

    def _factors(self, count: int, low: float, high: float) -> dict[str, Any]:
        m, t = multiplier(np.exp(self.random.uniform(np.log(low), np.log(high), count)))
        return {"multiplier": m, "shift": t}


def random_layers(seed: int, dtype: DType, count: int = 50) -> Graph:
    """A random network on a random map."""
    r = np.random.default_rng(seed)
    shape = (int(r.integers(1, 12)), int(r.integers(1, 12)), int(r.integers(1, 20)))
    return Layers(seed, dtype, shape).graph(count)


def layer_inputs(graph: Graph, seed: int) -> NDArray[Any]:
    """One input [1, h, w, c] with both extremes."""
    shape = (1, *graph.tensors[graph.input].shape)
    r = np.random.default_rng(seed)
    if graph.tensors[graph.input].dtype == "int8":
        return np.clip(r.normal(0, 90, shape), -128, 127).astype(np.int8)
    return r.normal(size=shape).astype(np.float32)


def exact_maps(graph: Graph, x: NDArray[Any]) -> Maps:
    """All maps of one input to the bit: the simulation's, where it is exact; sums of floats in the documented order."""
    if graph.tensors[graph.input].dtype == "int8":
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
    if op.kind == "max_pool":
        return windows.max(axis=(-1, -2))
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
