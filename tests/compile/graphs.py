# SPDX-License-Identifier: Apache-2.0
"""Random graphs of every operator and type pair, with the values and shapes at which kernels go wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from kilobench.commands import instances
from kilobench.commands.instances import CHANNELS
from kilobench.compile.graph import DType, Graph, Op, Tensor, pack
from kilobench.compile.lower import multiplier
from kilobench.compile.operator import Operator, kinds, operator
from kilobench.compile.ops._broadcast import Broadcast
from kilobench.compile.ops._integers import TWICE

Pair = tuple[int, int]
INT32_MAX = 2**31 - 1
MAX_MACS, MAX_WEIGHTS = 120_000, 20_000
"""Of one random operator: what emulators and compilers do in milliseconds."""
MAX_OTHER_BYTES = 6000
"""Of a map of which operators are made that need no more than their declaration, some of them slow."""


class Builder:
    """Appends operators with random parameters to a graph; shapes that are not given are random too.

    An ``exact`` builder makes float parameters of which every sum is exact in float32, in any order; only then may floats
    be compared with a threshold and the bits be expected to be those of another order. An ``extreme`` one makes int8
    weights of +-127 only, and zero points at both ends.
    """

    def __init__(self, seed: int, *, exact: bool = False, extreme: bool = False, wild: bool = True) -> None:
        self.random, self.widths, self.zeros = (
            np.random.default_rng(numbers) for numbers in (seed, [seed, 7], [seed, 8])
        )
        self.exact, self.extreme, self.wild = exact, extreme, wild
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def tensor(self, shape: tuple[int, ...], dtype: DType) -> Tensor:
        height, width, channels = shape
        tensor = Tensor(f"t{len(self.tensors)}", (height, width, channels), dtype)
        if dtype == "uint8":
            tensor = replace(tensor, scale=1 / 255, zero_point=int(self.random.choice([0, 128, 255])))
        elif dtype == "int8":
            ends = [-128, 127] if self.extreme else [-128, 0, int(self.random.integers(-128, 128))]
            zero = self.random.choice(ends)
            tensor = replace(tensor, scale=float(self.random.uniform(0.01, 0.1)), zero_point=int(zero))
        elif dtype == "int16":
            tensor = replace(tensor, scale=1 / 32767)
        self.tensors[tensor.name] = tensor
        return tensor

    def op(
        self, kind: str, sources: list[Tensor], output: Tensor, attrs: dict[str, Any], params: dict[str, Any]
    ) -> Tensor:
        self.ops.append(Op(kind, f"op{len(self.ops)}", tuple(t.name for t in sources), output.name, attrs, params))
        return output

    def graph(self, source: Tensor, last: Tensor) -> Graph:
        return Graph(self.tensors, tuple(self.ops), source.name, (last.name,))

    # Shapes

    def channels(self) -> int:
        return int(self.random.choice(CHANNELS) if self.random.random() < 0.6 else self.random.integers(1, 71))

    def kernel(self, size: Pair) -> Pair:
        """Of a convolution over a map of this size."""
        r = self.random
        small = (int(r.integers(1, 5)), int(r.integers(1, 5)))
        row = (1, int(r.integers(1, 10)))
        choices = [(1, 1), row, small, size] if size[0] == 1 else [(1, 1), (3, 3), (3, 3), (5, 5), row, small, size]
        return choices[r.integers(len(choices))]

    def window(
        self,
        source: Tensor,
        kernel: Pair,
        stride: Pair | None,
        padding: Pair | None,
        dilation: Pair = (1, 1),
        whole: bool = False,
    ) -> dict[str, Any]:
        """Attributes of a window, random where not given; with ``whole`` it may, seldom, lie on padding as a whole."""
        r, size = self.random, source.shape[:2]
        whole = whole and r.random() < 0.2
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        attrs: dict[str, Any] = {"dilation": dilation} if dilation != (1, 1) else {}
        if stride is None:
            stride = (1, 1) if r.random() < 0.5 else (int(r.integers(1, 4)), int(r.integers(1, 4)))
        if padding is None:
            least = [max(0, -(-(k - n) // 2)) for k, n in zip(reach, size, strict=True)]
            same = [max(low, (k - 1) // 2) for low, k in zip(least, reach, strict=True)]
            any_ = [int(r.integers(low, k + whole)) for low, k in zip(least, reach, strict=True)]
            chosen = (same, least, any_)[r.integers(3)]
            padding = (chosen[0], chosen[1])
            below = [
                int(r.integers(max(0, k - n - p), k + whole)) for k, n, p in zip(reach, size, padding, strict=True)
            ]
            extra = (below[0] - padding[0], below[1] - padding[1])
            if extra != (0, 0) and r.random() < 0.4:
                attrs["extra"] = extra
        return {"kernel": kernel, "stride": stride, "padding": padding} | attrs

    def made(self, kind: str, source: Tensor, attrs: dict[str, Any], channels: int) -> Operator:
        """The operator with an output tensor of the shape that it has."""
        shape = operator(kind)(
            Op(kind, "", (), "", attrs), [source], replace(source, shape=(1, 1, channels))
        ).output_shape()
        return operator(kind)(Op(kind, "", (), "", attrs), [source], replace(source, shape=shape))

    def dilation(self) -> Pair:
        """Seldom more than 1."""
        r = self.random
        return (int(r.integers(1, 4)), int(r.integers(1, 4))) if r.random() < 0.15 else (1, 1)

    # Operators

    def conv(
        self,
        source: Tensor,
        dtype: DType,
        out: int | None = None,
        kernel: Pair | None = None,
        stride: Pair | None = None,
        padding: Pair | None = None,
        bits: int = 0,
        density: float = 1,
    ) -> Tensor:
        """A convolution; a random number of channels keeps to MAX_MACS and MAX_WEIGHTS. Groups and dilation are random where
        the kernel is, and the type has them, and so is the width of weights that is not given. Of 8 bits about ``density`` are
        not 0; a wild builder sometimes leaves fewer.
        """
        r, channels, dilation, groups = self.random, source.shape[2], (1, 1), 1
        if kernel is None and source.dtype in ("float32", "int8"):
            dilation = self.dilation()
            parts = [g for g in range(1, channels + 1) if channels % g == (out or 0) % g == 0]
            groups = int(r.choice(parts)) if r.random() < 0.2 else 1
        attrs = self.window(source, kernel or self.kernel(source.shape[:2]), stride, padding, dilation, whole=True)
        attrs |= {"groups": groups} if groups > 1 else {}
        size = self.made("conv2d", source, attrs, groups).output.shape[:2]
        taps = int(np.prod(attrs["kernel"])) * (channels // groups)
        if out is None:
            cost = taps / 8 if source.dtype == "bit" else taps
            out = min(self.channels(), int(MAX_MACS / (cost * np.prod(size))), int(MAX_WEIGHTS / cost))
            out = max(1, out // groups) * groups
        output = self.tensor((*size, out), dtype)
        relu = bool(self.random.integers(2)) and dtype != "bit"
        shape = (out, *attrs["kernel"], channels // groups)
        if source.dtype in ("int8", "int16"):
            bits = bits or int(self.widths.integers(2, 8) if self.widths.random() < 0.2 else 8)
            attrs |= {"bits": bits} if bits < 8 else {}
            reach = 2**15 if source.dtype == "int16" else 256
            params = self._int8_params(shape, dtype, reach, 2 ** (bits - 1) - 1)
            if bits == 8:
                few = self.wild and self.zeros.random() < 0.2
                params["weight"][self.zeros.random(shape) >= (self.zeros.uniform(0, 0.4) if few else density)] = 0
        else:
            params = (self._bit_params if source.dtype == "bit" else self._float_params)(shape, dtype)
        return self.op("conv2d", [source], output, attrs | {"relu": relu}, params)

    def depthwise(
        self, source: Tensor, kernel: Pair | None = None, stride: Pair | None = None, padding: Pair | None = None
    ) -> Tensor:
        """Filters [KH, KW], one per channel or, where the kernel is random, several; float32 or int8; weights are [KH, KW, O]."""
        r = self.random
        many = int(r.integers(2, 6)) if kernel is None and r.random() < 0.2 else 1
        dilation = (1, 1) if kernel else self.dilation()
        attrs = self.window(source, kernel or self.kernel(source.shape[:2]), stride, padding, dilation, whole=True)
        shape = self.made("depthwise_conv2d", source, attrs, many * source.shape[2]).output.shape
        output = self.tensor(shape, source.dtype)
        make = self._float_params if source.dtype == "float32" else self._int8_params
        params = make((shape[2], *attrs["kernel"], 1), source.dtype)
        params["weight"] = np.ascontiguousarray(params["weight"][..., 0].transpose(1, 2, 0))
        return self.op("depthwise_conv2d", [source], output, attrs | {"relu": bool(self.random.integers(2))}, params)

    def pool(self, source: Tensor, kind: str, kernel: Pair | None = None, stride: Pair | None = None) -> Tensor:
        """Padding is random where the kernel is, and the type has it."""
        r, size = self.random, source.shape[:2]
        padding = None if kernel is None and source.dtype != "bit" and r.integers(2) else (0, 0)
        if kernel is None:
            most = (3, 3) if padding is None else size
            kernel = (int(r.integers(1, min(3, most[0]) + 1)), int(r.integers(1, min(3, most[1]) + 1)))
        stride = stride or (int(r.integers(1, 4)), int(r.integers(1, 4)))
        attrs = self.window(source, kernel, stride, padding)
        if kind == "avg_pool" and padding is None and r.integers(2):
            (top, left), (below, right) = attrs["padding"], attrs.get("extra", (0, 0))
            counted = tuple(int(r.integers(0, p + 1)) for p in (top, left, top + below, left + right))
            attrs |= {"counted": counted} if any(counted) else {}
        bound = self.made(kind, source, attrs, source.shape[2])
        output = self.tensor(bound.output.shape, source.dtype)
        area = kernel[0] * kernel[1]
        divisors = np.arange(1, area + 1) if kind == "avg_pool" and bound.sizes()["D"] > 1 else np.array([area])
        params: dict[str, Any] = {}
        if kind == "max_pool" and source.dtype == "int8":
            output = self.like(source, output)
        elif kind == "max_pool" and source.dtype == "bit" and r.integers(2):
            params = {"flip": pack(r.integers(0, 2, source.shape[2]).astype(bool))}
        elif kind == "avg_pool" and source.dtype == "float32":
            scale = 2.0 ** -np.ceil(np.log2(divisors)) if self.exact else 1 / divisors
            params = {"scale": scale.astype(np.float32)}
        elif kind == "avg_pool":
            params = self._requantisation(np.full(len(divisors), 255.0 * area), 255.0 * divisors)
        return self.op(kind, [source], output, attrs, params)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        output = self.tensor(tuple(map(max, a.shape, b.shape)), a.dtype)
        params: dict[str, Any] = {}
        if a.dtype == "int8":
            t = int(self.random.choice([20, 62, *range(29, 35), *range(29, 35)]))
            large, small = (int(v) for v in self.random.integers([2**30, 2**28], 2**31 - 1))
            other = int(self.random.choice([0, 1, large, small]))
            pair = np.array([large, other])[self.random.permutation(2)]
            params = {"multiplier": pair.astype(np.int32), "shift": np.array([t], np.int32)}
        return self.op("add", [a, b], output, {"relu": bool(self.random.integers(2))}, params)

    def transpose(self, source: Tensor) -> Tensor:
        height, width, channels = source.shape
        output = self.tensor((channels, width, height), source.dtype)
        return self.op("transpose", [source], self.like(source, output), {}, {})

    def lines(self, source: Tensor) -> Tensor:
        """Two lines per channel, some flat, some so steep or far off that sums are as large as 32 bits hold."""
        r, channels = self.random, source.shape[2]
        output = self.tensor(source.shape, source.dtype)
        if source.dtype == "float32":
            params = {name: np.round(4 * r.normal(size=channels)) / 4 for name in ("bend", "above", "below", "offset")}
            values = {name: value.astype(np.float32) for name, value in params.items()}
            return self.op("piecewise_linear", [source], output, {}, values)
        fraction = int(r.integers(0, 23))
        room = INT32_MAX - (129 << fraction)
        values = {"threshold": np.clip(np.rint(r.normal(0, 90, channels)), -130, 130).astype(np.int32)}
        for key in ("", "_below"):
            steep = room // 255 if r.random() < 0.1 else min(4 << fraction, room // 255)
            factor = r.integers(-steep, steep + 1, channels) * (r.random(channels) < 0.9)
            left = room - 255 * np.abs(factor)
            bias = self._bias(left, 100.0 * 2**fraction)
            values |= {f"factor{key}": factor.astype(np.int32), f"bias{key}": bias.astype(np.int32)}
        return self.op("piecewise_linear", [source], output, {"fraction": fraction} if fraction else {}, values)

    def binarize(self, source: Tensor) -> Tensor:
        channels = source.shape[2]
        output = self.tensor(source.shape, "bit")
        threshold: Any = self.random.integers(-129, 129, channels).astype(np.int32)
        if source.dtype == "float32":
            threshold = (self.random.integers(-4, 5, channels) / 2).astype(np.float32)
            threshold[self.random.random(channels) < 0.1] = np.finfo(np.float32).min
        flip = pack(self.random.integers(0, 2, channels).astype(bool))
        return self.op("binarize", [source], output, {}, {"threshold": threshold, "flip": flip})

    def any(self, kind: str, source: Tensor, dtype: DType) -> Tensor:
        """An operator of any kind that yields ``dtype``: of TUNED, or else made of no more than its declaration."""
        if kind in TUNED:
            return TUNED[kind](self, source, dtype)
        reads = self.reads(kind, source)
        op, output = instances.random_op(self.random, kind, reads, dtype, f"op{len(self.ops)}", f"t{len(self.tensors)}")
        self.ops.append(op)
        self.tensors[output.name] = output
        return output

    def reads(self, kind: str, source: Tensor) -> list[Tensor]:
        """What an operator of any kind may read: for those that broadcast, or read any number, also parts of the source."""
        r, cls = self.random, operator(kind)
        if issubclass(cls, Broadcast):
            other = source if r.random() < 0.3 else self.part(source, r.integers(0, 2, 3))
            return [source, other] if r.integers(2) else [other, source]
        if cls.inputs is None:
            parts = [source, self.part(source, np.eye(3, dtype=int)[r.integers(3)])]
            return [parts[place] for place in r.permutation([0, 1, *r.integers(0, 2, r.integers(3))])]
        return [source] * cls.inputs

    def part(self, source: Tensor, single: Any) -> Tensor:
        """One row, column or channel of a map where ``single`` says so, by axis."""
        size = tuple(int(1 if one else n) for one, n in zip(single, source.shape, strict=True))
        begin = tuple(int(self.random.integers(0, n - m + 1)) for n, m in zip(source.shape, size, strict=True))
        output = self.like(source, self.tensor(size, source.dtype))
        return self.op("slice", [source], output, {"begin": begin, "size": size}, {})

    def like(self, source: Tensor, output: Tensor) -> Tensor:
        """The output with the scale and zero point of the source."""
        self.tensors[output.name] = replace(output, scale=source.scale, zero_point=source.zero_point)
        return self.tensors[output.name]

    def logmel(self, source: Tensor) -> Tensor:
        """A front end of any size that the source has the samples for, and so few frames that emulators are quick."""
        r, samples = self.random, int(np.prod(source.shape))
        while True:
            points = 1 << int(r.integers(4, 12))
            frame = 2 * int(r.integers(1, 1 + min(points, samples) // 2))
            rate, quiet = int(r.choice([8000, 16000, 44_100])), int(r.integers(-160, 1))
            attrs: dict[str, Any] = {"rate": rate, "frame": frame, "points": points, "bands": int(r.integers(2, 41))}
            attrs["hop"] = int(r.integers(1 + (samples - frame) // (1 + 2048 // points), 65_536))
            attrs |= {"hertz": (int(r.integers(1000)), rate // int(r.integers(2, 4)))} if r.integers(2) else {}
            attrs |= {"decibels": (quiet, int(r.integers(quiet + 40, 41)))} if r.integers(2) else {}
            attrs |= {"coefficients": int(r.integers(1, 1 + attrs["bands"]))} if r.integers(2) else {}
            made = replace(source, name=f"t{len(self.tensors)}", dtype="uint8", scale=1 / 128, zero_point=128)
            bound = operator("logmel")(Op("logmel", "", (), "", attrs), [source], made)
            try:
                made = replace(made, shape=bound.output_shape())
                bound.check()
            except ValueError:
                continue
            self.tensors[made.name] = made
            return self.op("logmel", [source], made, attrs, {})

    # Parameters of a convolution with weights [O, KH, KW, I] that yields ``dtype``

    def _float_params(self, shape: tuple[int, ...], dtype: DType) -> dict[str, Any]:
        r, taps = self.random, int(np.prod(shape[1:]))
        weight, bias = r.normal(size=shape) / np.sqrt(taps), r.normal(size=shape[0])
        if self.exact:
            weight = r.integers(-2, 3, shape) / 2 * (r.random(shape) < 6 / taps)
            bias = np.round(2 * bias) / 2
        weight[r.random(shape) < 0.02] = -0.0
        return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}

    def _int8_params(self, shape: tuple[int, ...], dtype: DType, reach: int = 256, most: int = 127) -> dict[str, Any]:
        """For inputs, less their zero point, of magnitudes below or at ``reach``, and weights of ``most``."""
        r, out, taps, share = self.random, shape[0], int(np.prod(shape[1:])), most / 127
        top = min(most, INT32_MAX // (reach * taps))
        weight = r.integers(-top, top + 1, shape)
        if self.extreme:
            weight = r.choice([-top, top], shape)
            weight[r.random(out) < 0.5] = r.choice([-top, top])
        if self.wild and top == 127 and dtype == "int8" and r.random() < 0.1:
            weight[r.random(shape) < r.choice([0.02, 1])] = -128
        sums = np.abs(weight).sum(axis=(1, 2, 3))
        bias = self._bias(INT32_MAX - reach * sums, 16.0 * reach * np.sqrt(taps) * share)
        params = {"weight": weight.astype(np.int8), "bias": bias.astype(np.int32)}
        bound = float(reach) * sums + np.abs(bias)
        return params | self._requantisation(bound, np.maximum(24.0 * reach * np.sqrt(taps) * share, np.abs(bias)))

    def _bit_params(self, shape: tuple[int, ...], dtype: DType) -> dict[str, Any]:
        r, out, taps = self.random, shape[0], int(np.prod(shape[1:]))
        params: dict[str, Any] = {"weight": pack(r.integers(0, 2, shape).astype(bool))}
        if dtype == "bit":
            threshold = np.clip(np.rint(r.normal(0, np.sqrt(taps), out)), -taps, taps + 1)
            sentinel = r.choice([-taps, 1 - taps, taps, taps + 1], out)
            params["threshold"] = np.where(r.random(out) < 0.2, sentinel, threshold).astype(np.int32)
            params["flip"] = pack(r.integers(0, 2, out).astype(bool))
        elif dtype == "int8":
            bias = self._bias(np.full(out, INT32_MAX - 256 * taps), 256.0 * np.sqrt(taps))
            params |= {"bias": bias.astype(np.int32)}
            reach = np.full(out, 256)
            if self.wild and r.random() < 0.3:
                room = (INT32_MAX - np.abs(bias)) // taps - 256
                params["centre"] = np.clip(r.normal(0, 256, out), -room, room).astype(np.int32)
                reach += np.abs(params["centre"])
            params |= self._requantisation(
                1.0 * reach * taps + np.abs(bias), 300.0 * np.sqrt(taps) + np.abs(bias), False
            )
        else:
            scale, bias = r.normal(size=out), r.normal(size=out)
            if self.exact:
                scale, bias = r.integers(-4, 5, out) / 4, np.round(2 * bias) / 2
            params |= {"scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}
            if self.wild and r.random() < 0.3:
                params["centre"] = (r.integers(-4, 5, out) / 4 if self.exact else r.normal(size=out)).astype(np.float32)
        return params

    def _bias(self, limit: Any, usual: float) -> Any:
        """int64 [O]: of a usual size, but one in ten anywhere up to what leaves the accumulator within int32."""
        bias = np.clip(self.random.normal(0, usual, len(limit)), -limit, limit)
        wild = np.trunc(self.random.uniform(-1, 1, len(limit)) * limit)
        return np.where(self.wild & (self.random.random(len(limit)) < 0.1), wild, np.rint(bias)).astype(np.int64)

    def _requantisation(self, bound: Any, usual: Any, twice: bool = True) -> dict[str, Any]:
        """Factors that bring accumulators of a usual size to int8, and some with shifts from 20 to 62; none takes an
        accumulator within +-``bound`` out of int32. Some round twice, unless they must not."""
        r, count = self.random, len(bound)
        real = np.exp(r.uniform(np.log(5.0), np.log(300.0), count)) / usual
        wild = 2.0 ** r.uniform(-33, 11, count)
        real = np.where(self.wild & (r.random(count) < 0.15), wild, real)
        m, t = multiplier(np.minimum(real, (INT32_MAX - 512) / bound))
        two = (r.random(count) < r.choice([0, 0, 0.5, 1])) & twice & self.wild
        return {"multiplier": m, "shift": t + np.int32(TWICE) * two.astype(np.int32)}


TUNED: dict[str, Callable[[Builder, Tensor, DType], Tensor]] = {
    "conv2d": lambda b, x, dtype: b.conv(x, dtype),
    "depthwise_conv2d": lambda b, x, _: b.depthwise(x),
    "max_pool": lambda b, x, _: b.pool(x, "max_pool"),
    "avg_pool": lambda b, x, _: b.pool(x, "avg_pool"),
    "add": lambda b, x, _: b.add(*b.reads("add", x)),
    "binarize": lambda b, x, _: b.binarize(x),
    "piecewise_linear": lambda b, x, _: b.lines(x),
    "logmel": lambda b, x, _: b.logmel(x),
}
"""Operators that are made with values and shapes of their own, at which their kernels go wrong."""


GOES_ON = ("float32", "int8", "bit")
"""Types that maps within a network have."""
STEPPING = ("argmax", "quantise")
"""Operators of floats that turn the least difference into a large one."""
MOVING = ("concat", "reshape", "resize_nearest", "slice", "transpose")
"""Operators that make no new values."""


def every_operator() -> list[tuple[str, DType, DType]]:
    """Kind, type of input and type of output of all that there are."""
    return [(kind, *types) for kind in kinds() for types in operator(kind).types]


def random_graph(seed: int) -> Graph:
    """A small graph: up to six steps, often with a dense head; seeds cover every kernel."""
    r = np.random.default_rng([seed, 1])
    b = Builder(seed, exact=bool(r.integers(2)), extreme=bool(r.random() < 0.2))
    dtype: DType = ("float32", "float32", "int8", "int8", "int8", "bit", "bit")[r.integers(7)]
    source = x = b.tensor((*_map_size(r), b.channels()), dtype)
    if dtype == "int8" and r.random() < 0.3:  # of a type that inputs alone have
        b.tensors.clear()
        source = b.tensor(
            (*x.shape[:2], int(r.choice([1, 1, 2, 3, 4, 7, 33]))), ("int16", "uint8", "uint8")[r.integers(3)]
        )
        readers = [(kind, made) for kind, read, made in every_operator() if read == source.dtype]
        kind, made = readers[r.integers(len(readers))]
        x = b.any(kind, source, made)
        if made == "int16":
            x = b.conv(x, "int8")
        elif made == "uint8":
            x = b.any("pixels", x, "int8")
    for _ in range(r.integers(1, 6)):
        x = _step(b, x)
    if r.random() < 0.3 or x is source:
        x = b.conv(x, _base(b, x), kernel=x.shape[:2], padding=(0, 0))
    ends = [(kind, made) for kind, made in _others(b, x) if made not in GOES_ON]
    if ends and r.random() < 0.3:
        kind, made = ends[r.integers(len(ends))]
        x = b.any(kind, x, made)
    return b.graph(source, x)


def random_inputs(graph: Graph, count: int, seed: int) -> np.ndarray[Any, Any]:
    """As of kilobench.commands.instances; floats with some that are not normal, where nothing is compared with them."""
    values = instances.random_inputs(graph, count, seed)
    if values.dtype == np.float32 and all(op.kind != "binarize" for op in graph.ops):
        tiny = np.random.default_rng([seed, 3]).random(values.shape) < 0.02
        return np.where(tiny, np.float32(1e-40), values)
    return values


def _map_size(r: np.random.Generator) -> Pair:
    """Images up to 9 x 9, rows of sound up to 60, some up to 200."""
    if r.random() < 0.6:
        return int(r.integers(1, 10)), int(r.integers(1, 10))
    return 1, int(r.integers(2, 200 if r.random() < 0.2 else 60))


def _base(b: Builder, source: Tensor) -> DType:
    """A type other than bits that a convolution of this source can yield."""
    if source.dtype == "int16":
        return "int8"
    if source.dtype == "bit":
        return ("float32", "int8")[b.random.integers(2)]
    return source.dtype


def _step(b: Builder, x: Tensor) -> Tensor:
    """One more operator, or a chain of them that engines like to fuse."""
    r = b.random
    alike = [t for t in b.tensors.values() if (t.shape, t.dtype) == (x.shape, x.dtype)]
    others = [(kind, made) for kind, made in _others(b, x) if made in GOES_ON]
    steps = {"conv": 4, "pool": 1, "conv, pool": 3, "residual": 1, "fork": 1, "add": 1, "binarize": 1, "depthwise": 2}
    steps["other"] = min(len(others), 10) if x.bytes < MAX_OTHER_BYTES else 0
    if not _affordable(x):
        steps["fork"] = 0
    if x.dtype == "bit":
        steps |= {"residual": 0, "fork": 0, "add": 0, "binarize": 0, "depthwise": 0}
    if x.dtype == "float32" and not b.exact:
        steps["binarize"] = 0
    names, weights = list(steps), np.array(list(steps.values()), dtype=float)
    step = names[r.choice(len(names), p=weights / weights.sum())]
    if step == "pool":
        return b.pool(x, "avg_pool" if x.dtype != "bit" and r.integers(2) else "max_pool")
    if step == "residual":
        y = b.conv(x, x.dtype, x.shape[2], (3, 3), (1, 1), (1, 1)) if _affordable(x) else x
        return b.add(*((x, y) if r.integers(2) else (y, x)))
    if step == "fork":
        x = b.conv(x, x.dtype)
        kernel = (min(2, x.shape[0]), min(2, x.shape[1]))
        return b.add(b.pool(x, "max_pool", kernel, kernel), b.conv(x, x.dtype, x.shape[2], kernel, kernel, (0, 0)))
    if step == "add":
        return b.add(x, alike[r.integers(len(alike))])
    if step in ("binarize", "depthwise"):
        return getattr(b, step)(x)
    if step == "other":
        kind, made = others[r.integers(len(others))]
        b.exact = b.exact and kind in MOVING  # what others make of floats is not to be summed in another order
        return b.any(kind, x, made)
    dtype: DType = "bit" if x.dtype == "bit" and r.random() < 0.7 else _base(b, x)
    y = b.conv(x, dtype)
    return _pool_after(b, y) if step == "conv, pool" else y


def _others(b: Builder, x: Tensor) -> list[tuple[str, DType]]:
    """Kinds that are made of their declaration, and the types that they make of a map; of floats whose sums may have another
    order elsewhere none that steps.
    """
    own = TUNED.keys() - {"piecewise_linear"}  # steps of their own, or in front
    kept = [(kind, made) for kind, read, made in every_operator() if kind not in own and read == x.dtype]
    return [(k, made) for k, made in kept if b.exact or x.dtype != "float32" or k not in STEPPING]


def _affordable(x: Tensor) -> bool:
    """Whether a 3 x 3 convolution that keeps the shape is within the limits."""
    weights = 9 * x.shape[2] ** 2
    return weights <= MAX_WEIGHTS and weights * x.shape[0] * x.shape[1] <= MAX_MACS


def _pool_after(b: Builder, x: Tensor) -> Tensor:
    """Max pooling without overlap, sometimes after a second convolution: 2 x 2, 1 x N, or nearly the whole map."""
    r, (height, width) = b.random, x.shape[:2]
    if r.random() < 0.3:
        x = b.conv(x, x.dtype)
        height, width = x.shape[:2]
    rows, columns = (min(2, height), min(2, width)) if r.random() < 0.6 else (1, min(width, int(r.integers(2, 51))))
    return b.pool(x, "max_pool", (rows, columns), (rows, columns))
