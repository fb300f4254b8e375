"""Random graphs of every operator and type pair."""

from typing import Any

import numpy as np

from kilobench.graph import DType, Graph, Kind, Op, Tensor
from kilobench.lower import multiplier, pack


class Builder:
    """Appends random operators to a graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def tensor(self, shape: tuple[int, int, int], dtype: DType) -> Tensor:
        scale, zero = (
            (float(self.random.uniform(0.01, 0.1)), int(self.random.integers(-128, 128)))
            if dtype == "int8"
            else (0.0, 0)
        )
        tensor = Tensor(f"t{len(self.tensors)}", shape, dtype, scale, zero)
        self.tensors[tensor.name] = tensor
        return tensor

    def op(
        self, kind: Kind, sources: list[Tensor], output: Tensor, attrs: dict[str, Any], params: dict[str, Any]
    ) -> Tensor:
        self.ops.append(Op(kind, f"op{len(self.ops)}", tuple(t.name for t in sources), output.name, attrs, params))
        return output

    def _requantisation(self, count: int, low: float, high: float) -> dict[str, Any]:
        m, t = multiplier(np.exp(self.random.uniform(np.log(low), np.log(high), count)))
        return {"multiplier": m, "shift": t}

    def conv(self, source: Tensor, dtype: DType) -> Tensor:
        r = self.random
        height, width, channels = source.shape
        kernel = tuple(int(r.integers(1, min(4, size) + 1)) for size in (height, width))
        stride = tuple(int(v) for v in r.integers(1, 3, 2))
        padding = tuple(int(r.integers(0, k)) for k in kernel)
        out = int(r.integers(1, 70 if dtype == "bit" else 10))
        size = tuple(
            (n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True)
        )
        output = self.tensor((*size, out), dtype)  # type: ignore[arg-type]
        attrs = {"kernel": kernel, "stride": stride, "padding": padding, "relu": bool(r.integers(2)) and dtype != "bit"}
        shape = (out, *kernel, channels)
        if source.dtype == "float32":
            params = {"weight": r.normal(size=shape).astype(np.float32), "bias": r.normal(size=out).astype(np.float32)}
        elif source.dtype == "int8":
            params = {
                "weight": r.integers(-127, 128, shape).astype(np.int8),
                "bias": r.integers(-(2**20), 2**20, out).astype(np.int32),
            }
            params |= self._requantisation(out, 1e-5, 2.0)
        else:
            taps = int(np.prod(shape[1:]))
            params = {"weight": pack(r.integers(0, 2, shape).astype(bool))}
            if dtype == "bit":
                params["threshold"] = r.integers(-taps - 1, taps + 2, out).astype(np.int32)
                params["flip"] = pack(r.integers(0, 2, out).astype(bool))
            elif dtype == "int8":
                params |= {
                    "bias": r.integers(-5000, 5000, out).astype(np.int32),
                    **self._requantisation(out, 1e-5, 0.1),
                }
            else:
                params |= {
                    "scale": r.normal(size=out).astype(np.float32),
                    "bias": r.normal(size=out).astype(np.float32),
                }
        return self.op("conv2d", [source], output, attrs, params)

    def pool(self, source: Tensor, kind: Kind) -> Tensor:
        r = self.random
        kernel = tuple(int(r.integers(1, min(3, size) + 1)) for size in source.shape[:2])
        stride = tuple(int(v) for v in r.integers(1, 3, 2))
        size = tuple((n - k) // s + 1 for n, k, s in zip(source.shape[:2], kernel, stride, strict=True))
        output = self.tensor((*size, source.shape[2]), source.dtype)  # type: ignore[arg-type]
        params: dict[str, Any] = {}
        if kind == "max_pool" and source.dtype == "int8":
            output = Tensor(output.name, output.shape, "int8", source.scale, source.zero_point)
            self.tensors[output.name] = output
        elif kind == "max_pool" and source.dtype == "bit" and r.integers(2):
            params = {"flip": pack(r.integers(0, 2, source.shape[2]).astype(bool))}
        elif kind == "avg_pool":
            float_scale = {"scale": np.array([1 / (kernel[0] * kernel[1])], dtype=np.float32)}
            params = float_scale if source.dtype == "float32" else self._requantisation(1, 0.01, 1.5)
        return self.op(kind, [source], output, {"kernel": kernel, "stride": stride, "padding": (0, 0)}, params)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        output = self.tensor(a.shape, a.dtype)
        params: dict[str, Any] = {}
        if a.dtype == "int8":
            t = int(self.random.integers(30, 34))
            params = {
                "multiplier": self.random.integers(2**28, 2**31 - 1, 2).astype(np.int32),
                "shift": np.array([t], np.int32),
            }
        return self.op("add", [a, b], output, {"relu": bool(self.random.integers(2))}, params)

    def transpose(self, source: Tensor) -> Tensor:
        height, width, channels = source.shape
        output = Tensor(
            f"t{len(self.tensors)}", (channels, width, height), source.dtype, source.scale, source.zero_point
        )
        self.tensors[output.name] = output
        return self.op("transpose", [source], output, {}, {})

    def binarize(self, source: Tensor) -> Tensor:
        channels = source.shape[2]
        output = self.tensor(source.shape, "bit")
        threshold = self.random.integers(-129, 129, channels).astype(np.int32)
        if source.dtype == "float32":
            threshold = (self.random.integers(-2, 3, channels) / 2).astype(np.float32)
        flip = pack(self.random.integers(0, 2, channels).astype(bool))
        return self.op("binarize", [source], output, {}, {"threshold": threshold, "flip": flip})

    def graph(self, source: Tensor, last: Tensor) -> Graph:
        return Graph(self.tensors, tuple(self.ops), source.name, last.name)


def random_graph(seed: int) -> Graph:
    """A small graph; seeds cover every kernel."""
    b = Builder(seed)
    r = b.random
    dtype: DType = "int8" if seed % 3 else "float32"
    shape = (int(r.integers(3, 9)), int(r.integers(3, 9)), int(r.integers(1, 40)))
    source = b.tensor(shape, dtype)
    x = b.conv(source, dtype)
    x = b.add(x, x) if r.integers(2) else x
    x = b.transpose(x) if r.integers(2) else x
    x = b.pool(x, "max_pool" if r.integers(2) else "avg_pool")
    if seed % 2:
        x = b.binarize(x)
        x = b.conv(x, "bit")
        x = b.pool(x, "max_pool")
        x = b.conv(x, dtype)
        x = b.pool(x, "avg_pool")
    return b.graph(source, x)


def random_inputs(graph: Graph, count: int, seed: int) -> np.ndarray[Any, Any]:
    """Inputs with extremes; floats hold both zeros and ties of the thresholds."""
    r = np.random.default_rng(seed)
    shape = (count, *graph.tensors[graph.input].shape)
    if graph.tensors[graph.input].dtype == "int8":
        return np.clip(r.normal(0, 90, shape), -128, 127).astype(np.int8)
    return (np.round(r.normal(size=shape) * 4) / 2 * np.where(r.integers(0, 2, shape), 1, -1)).astype(np.float32)
