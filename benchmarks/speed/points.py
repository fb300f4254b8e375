# SPDX-License-Identifier: Apache-2.0
"""What a survey measures: of every operator and pair of types a sample of a grid of layers, and layers that networks have."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from kilobench.commands.instances import random_op
from kilobench.compile.graph import DType, Graph
from kilobench.compile.operator import Operator, bind, operator, require
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._integers import TWICE
from kilobench.compile.ops._window import Windowed
from tests.compile.graphs import Builder, every_operator
from tests.fuzz.batch import Case

Pair = tuple[int, int]
MAX_WORK, MAX_WEIGHTS, MAX_BYTES = 400_000, 60_000, 40_000
"""Of a layer of the sample: products or values, weights, and bytes of either map. Of bits eight times as many."""
EDGE_WORK = 4_000_000
"""Products of a layer of ``EDGES``."""
_PLAIN_SHARE = 4
"""So many times fewer points are taken of an operator without a window: its kernel sees a number of values."""
_TRIES = 500

MAPS: list[list[Pair]] = [
    [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)],
    [(6, 6), (7, 7), (8, 8), (12, 12), (16, 16), (32, 32), (64, 64)],
    [(25, 5), (5, 25), (13, 7), (2, 31), (31, 3), (49, 10)],
    [(1, 7), (1, 15), (1, 30), (1, 64), (7, 1), (15, 1), (30, 1), (64, 1)],
]
CHANNELS = [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 24, 31, 32, 33, 40, 64, 65, 96, 128, 129, 192, 255, 256, 384, 512]
KERNELS: list[list[Pair]] = [
    [(1, 1)],
    [(3, 3)],
    [(n, n) for n in range(2, 16)],
    [(n, 1) for n in range(2, 16)],
    [(1, n) for n in range(2, 16)],
]
STRIDES: list[list[Pair]] = [[(1, 1)], [(2, 2)], [(3, 3), (1, 2), (2, 1), (1, 3), (3, 1)]]
PADDINGS = ["none", "half", "same", "after"]
"""None; (kernel - 1) / 2 on each side; TensorFlow's SAME, which depends on the stride; kernel / 2 below and right alone."""


class Layer(NamedTuple):
    """Of what a kernel sees: map [h, w, c], window, output channels (0: as many as it reads), bits of integer weights, and of how
    many of these in a row one is not 0.
    """

    shape: tuple[int, int, int]
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: str = "none"
    out: int = 0
    bits: int = 8
    of: int = 1

    def window(self) -> dict[str, Any]:
        """Attributes of kilobench.compile.ops._window."""
        sides = [_sides(self.padding, *along) for along in zip(self.shape[:2], self.kernel, self.stride, strict=True)]
        padding, extra = tuple(a for a, _ in sides), tuple(b - a for a, b in sides)
        attrs = {"kernel": self.kernel, "stride": self.stride, "padding": padding}
        return attrs | ({"extra": extra} if any(extra) else {})


def _sides(padding: str, size: int, kernel: int, stride: int) -> Pair:
    """Before and after, along an axis."""
    if padding == "same":
        whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return whole // 2, whole - whole // 2
    half = (kernel - 1) // 2
    return {"none": (0, 0), "half": (half, half), "after": (0, kernel // 2)}[padding]


def square(size: int, channels: int, kernel: int = 1, stride: int = 1, padding: str = "half", out: int = 0) -> Layer:
    return Layer((size, size, channels), (kernel, kernel), (stride, stride), padding, out)


def narrow(taps: int, channels: int, size: int, padding: str = "half") -> list[Layer]:
    """A kernel of one column on a map of one column, and the same of rows."""
    return [
        Layer((size, 1, channels), (taps, 1), (1, 1), padding),
        Layer((1, size, channels), (1, taps), (1, 1), padding),
    ]


EDGES: dict[str, list[Layer]] = {
    "depthwise_conv2d": [
        *(square(16, 32, kernel) for kernel in (3, 5, 7)),
        *(square(16, 32, 3, stride, padding) for stride in (1, 2, 3) for padding in ("none", "half", "same", "after")),
        *(square(6, 128, 3, 2), square(12, 64, 3, 2), square(3, 256, 3), square(48, 8, 3), square(48, 16, 3, 2, "same")),
        *(square(size, 64, kernel) for size in (1, 2, 3) for kernel in (3, 5, 7)),
        Layer((25, 5, 64), (3, 3), (1, 1), "half"),
        *narrow(3, 40, 30), *narrow(5, 128, 28), *narrow(10, 128, 24, "same"), *narrow(10, 128, 24, "none"),
        *narrow(15, 128, 15), *narrow(15, 40, 15, "none"),
    ],
    "conv2d": [
        square(16, 32, 3, out=32), *(square(16, 64, 3, out=out) for out in (8, 16, 64)),
        *(square(16, 16, 3, 2, padding, 32) for padding in ("half", "same")),
        *(square(8, channels, out=64) for channels in (32, 64, 256)), square(16, 32, out=32),
        *(square(1, read, out=out) for read, out in ((1024, 64), (256, 2), (64, 12), (128, 128), (128, 8), (8, 128))),
        Layer((49, 10, 1), (10, 4), (2, 2), "same", 64), square(32, 3, 3, 1, out=16), square(48, 3, 3, 2, "same", 8),
        *(square(size, 32, 3, out=32) for size in (1, 2, 3)),
        Layer((30, 1, 40), (3, 1), (1, 1), "half", 32), Layer((1, 64, 40), (1, 9), (1, 2), "same", 32),
    ],
    "max_pool": [
        square(32, 16, 2, 2, "none"), square(16, 32, 3, 2), square(8, 64, 8, 8, "none"), Layer((1, 64, 32), (1, 50), (1, 50)),
    ],
    "avg_pool": [
        square(16, 32, 2, 2, "none"), square(8, 64, 8, 8, "none"), square(3, 256, 3, 3, "none"), Layer((25, 5, 64), (25, 5)),
    ],
    "binarize": [square(16, channels) for channels in (8, 16, 31, 64)],
    "add": [square(16, 32)],
    "prelu": [square(16, 32)],
    "pixels": [square(32, 3), square(96, 3)],
    "softmax": [square(1, 10), square(1, 12)],
}  # fmt: skip
"""Layers of networks, and those at which kernels went wrong."""


@dataclass(frozen=True)
class Point:
    """A layer, the last operator of a graph, with an input."""

    operator: str
    """Its kind, and types that it reads and makes."""
    text: str
    """Its shapes and attributes."""
    case: Case

    @property
    def bound(self) -> Operator:
        """The layer."""
        return bind(self.case.graph, self.case.graph.ops[-1])

    @property
    def taps(self) -> float:
        """Multiply-accumulates per output value, taps on padding included, or else values that it reads."""
        bound = self.bound
        if isinstance(bound, Windowed) and not bound.macs():
            return _inside(bound, 0) * _inside(bound, 1)
        return bound.work() / int(np.prod(bound.output.shape))


def _inside(bound: Windowed, axis: int) -> float:
    """Taps of a window along an axis that lie inside the map, on average."""
    starts = np.arange(bound.output.shape[axis]) * bound.attrs["stride"][axis] - bound.paddings()[axis][0]
    ends = np.minimum(starts + bound.attrs["kernel"][axis], bound.source.shape[axis])
    return float(np.mean(ends - np.maximum(starts, 0)))


def survey(kinds: set[str], count: int) -> list[Point]:
    """The edges of operators of these kinds and ``count`` points of the grid for each pair of types; of more points the first
    are the same.
    """
    return [
        one
        for kind, read, made in every_operator()
        if kind in kinds
        for one in _of(kind, read, made, count if issubclass(operator(kind), Windowed) else -(-count // _PLAIN_SHARE))
    ]


def _of(kind: str, read: DType, made: DType, count: int) -> list[Point]:
    found: dict[str, Point] = {}

    def add(layer: Layer, most: int) -> None:
        with suppress(ValueError):  # it does not suit the operator, or is too much work
            made_of = point(kind, read, made, layer, most)
            found.setdefault(made_of.text, made_of)

    for layer in EDGES.get(kind, []):
        add(layer, EDGE_WORK)
    wanted = len(found) + count
    for layer in islice(_grid(f"{kind} {read} {made}"), _TRIES * count):
        if len(found) == wanted:
            break
        add(layer, MAX_WORK)
    return list(found.values())


def _grid(seed: str) -> Iterator[Layer]:
    r = Random(seed)
    while True:
        kernel, stride, size = (r.choice(r.choice(families)) for families in (KERNELS, STRIDES, MAPS))
        yield Layer((*size, r.choice(CHANNELS)), kernel, stride, r.choice(PADDINGS), r.choice(CHANNELS))


def point(kind: str, read: DType, made: DType, layer: Layer, most: int = 0) -> Point:
    """Raises ValueError for a layer that this operator cannot be; where ``most`` is not 0, or that is more work or too large."""
    seed = crc32(repr(layer).replace(f", bits={layer.bits}, of={layer.of}", "").encode())
    b = _Builder(seed, layer)
    source = b.tensor(layer.shape, read)
    if issubclass(operator(kind), Windowed):
        b.windowed(kind, source, made, most)
    else:
        b.plain(kind, source, made)
    graph = Graph(b.tensors, tuple(b.ops), source.name, (b.ops[-1].output,))
    bound = bind(graph, graph.ops[-1])
    largest = max(tensor.bytes for tensor in (*bound.sources, bound.output))
    require(not most or largest <= MAX_BYTES, "is too large")
    name, text = f"{kind} {read} -> {made}", _text(bound)
    return Point(name, text, Case(f"{name} {text}", graph, _inputs(graph, seed)))


class _Builder(Builder):
    """Makes parameters of which every sum is exact, floats that are not 0, and factors of usual size that round once."""

    def __init__(self, seed: int, layer: Layer) -> None:
        super().__init__(seed, exact=True, wild=False)
        self._layer = layer

    def window(self, *arguments: Any, **others: Any) -> dict[str, Any]:
        return self._layer.window()

    def windowed(self, kind: str, source: Any, made: DType, most: int) -> None:
        """Raises ValueError where the window does not suit, or takes more than ``most`` products, of bits eight times as many."""
        kernel, out = self._layer.kernel, self._layer.out or source.shape[2]
        convolves = issubclass(operator(kind), Convolution)
        channels = out if kind == "conv2d" else source.shape[2]
        bound = self.made(kind, source, self.window(), channels)
        most *= 8 if source.dtype == "bit" else 1
        fits = bound.work() <= most and bound.weights() <= max(MAX_WEIGHTS, most // 40)
        require(not most or fits, "is too much work")
        if kind == "conv2d":
            self.conv(source, made, out, kernel, bits=self._layer.bits)
            if self._layer.of > 1:
                rows = self.ops[-1].params["weight"].reshape(-1, self._layer.of)
                rows[np.arange(self._layer.of) != self.random.integers(0, self._layer.of, (len(rows), 1))] = 0
        elif convolves:
            self.depthwise(source, kernel)
        else:
            output = self.pool(source, kind, kernel)
            if operator(kind).grid(source):
                self.like(source, output)

    def plain(self, kind: str, source: Any, made: DType) -> None:
        """An operator with random attributes."""
        op, output = random_op(self.random, kind, self.reads(kind, source), made, f"op{len(self.ops)}", "made")
        if not kind.startswith("tflite"):
            once = {key: value % TWICE for key, value in op.params.items() if key.startswith("shift")}
            op = replace(op, params=op.params | once)
        self.ops.append(op)
        self.tensors["made"] = output

    def _float_params(self, shape: tuple[int, ...], dtype: DType) -> dict[str, Any]:
        r = self.random
        weight, bias = (r.integers(1, 5, size) * r.choice([-0.5, 0.5], size) for size in (shape, shape[0]))
        return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}

    def _bit_params(self, shape: tuple[int, ...], dtype: DType) -> dict[str, Any]:
        params = super()._bit_params(shape, dtype)
        return params | ({"bias": params["bias"] + np.float32(0.125)} if dtype == "float32" else {})


def _inputs(graph: Graph, seed: int) -> np.ndarray[Any, Any]:
    r, tensor = np.random.default_rng(seed), graph.tensors[graph.input]
    shape = (1, *tensor.shape)
    if tensor.dtype == "float32":
        return ((r.integers(-8, 8, shape) + 0.5) / 2).astype(np.float32)
    if tensor.dtype == "bit":
        return r.integers(0, 2, shape, np.uint8)
    kind = np.iinfo(tensor.dtype)
    return r.integers(kind.min, kind.max + 1, shape).astype(kind.dtype)


def _text(bound: Operator) -> str:
    """As ``16x16x32 3x3/1x1 pad 1,1,1,1 -> 16x16x32``, pads from the top against the clock, and other attributes."""
    attrs, parts = dict(bound.op.attrs), ["+".join(_by(tensor.shape) for tensor in bound.sources)]
    if isinstance(bound, Windowed):
        (top, bottom), (left, right) = bound.paddings()
        parts += [f"{_by(attrs['kernel'])}/{_by(attrs['stride'])} pad {top},{left},{bottom},{right}"]
        attrs = {key: value for key, value in attrs.items() if key not in Windowed.attributes}
    others = (
        f"{key}={_by(value) if isinstance(value, tuple) else value}" for key, value in attrs.items() if key != "relu"
    )
    return " ".join([*parts, *others, "->", _by(bound.output.shape)])


def _by(numbers: tuple[int, ...]) -> str:
    return "x".join(map(str, numbers))
