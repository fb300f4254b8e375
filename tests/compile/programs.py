# SPDX-License-Identifier: Apache-2.0
"""Programs for tests: written down node by node, drawn at random, and computed in float64 as their table says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kilobench.compile.graph import Graph
from kilobench.compile.imports.program import Grid, Node, Program, Value
from kilobench.compile.imports.shapes import channel_axis, output_shape
from kilobench.compile.simulate import simulate

Array = np.ndarray[Any, Any]


@dataclass
class Builder:
    """A program that grows; ``last`` is what its latest node makes."""

    shape: tuple[int, ...]
    channels_last: bool = True
    grid: tuple[float, int] | None = None
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    last: str = "x"

    def __post_init__(self) -> None:
        self.values["x"] = Value("x", self.shape, "int8" if self.grid else "float32", on(self.grid))

    def constant(self, array: Any, grid: Grid | None = None) -> str:
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"c{len(self.values)}"
        self.values[name] = Value(name, array.shape, str(array.dtype), grid, array)
        return name

    def add(
        self, kind: str, *inputs: str, grid: tuple[float, int] | None = None, dtype: str | None = None, **attrs: Any
    ) -> str:
        """A node that reads what the latest made and ``inputs``, or these alone where one of them is no constant."""
        read = inputs if any(self.values[name].array is None for name in inputs) else (self.last, *inputs)
        name = f"v{len(self.nodes)}"
        node = Node(kind, f"{name}.{kind}", read, name, attrs)
        self.values[name] = Value(name, (), dtype or ("int8" if grid else "float32"), on(grid))
        self.values[name].shape = output_shape(self.program(), node)
        self.nodes.append(node)
        self.last = name
        return name

    def program(self, *outputs: str) -> Program:
        return Program(dict(self.values), list(self.nodes), "x", outputs or (self.last,), self.channels_last)

    @property
    def made(self) -> tuple[int, ...]:
        """The shape of the latest value."""
        return self.values[self.last].shape


def on(grid: tuple[float, int] | None) -> Grid | None:
    return None if grid is None else Grid(np.array([grid[0]]), np.array([grid[1]]))


def usual(program: Program, rank: int) -> tuple[int, ...]:
    """Axes in the order in which inputs and outputs lie in maps."""
    axes = tuple(range(rank))
    return axes if program.channels_last or rank not in (3, 4) else (0, *axes[2:], 1)


def computed(program: Program, graph: Graph, x: Array) -> list[Array]:
    """The outputs of a graph in the shapes of its program, for an input of the program's shape."""
    source = x.transpose(usual(program, x.ndim)) if x.ndim else x
    maps = simulate(graph, np.ascontiguousarray(source).reshape(1, *graph.tensors[graph.input].shape))
    outputs = []
    for name, tensor in zip(program.outputs, graph.outputs, strict=True):
        shape = program.values[name].shape
        order = usual(program, len(shape))
        laid = maps[tensor].reshape([shape[axis] for axis in order])
        outputs.append(laid.transpose(np.argsort(order)) if shape else laid)
    return outputs


def reference(program: Program, x: Array) -> list[Array]:
    """The outputs of a float program."""
    made = {name: value.array.astype(np.float64) for name, value in program.values.items() if value.array is not None}
    made["x"] = x.astype(np.float64)
    for node in program.nodes:
        made[node.output] = _compute(program, node, [made[name] for name in node.inputs])
    return [made[name] for name in program.outputs]


def _compute(program: Program, node: Node, inputs: list[Array]) -> Array:
    x, a = inputs[0], node.attrs
    if node.kind in ("conv", "max_pool", "avg_pool", "resize_nearest"):
        maps = x if program.channels_last else x.transpose(0, 2, 3, 1)
        made = _WINDOWS[node.kind](maps, inputs[1:], a)
        return made if program.channels_last else made.transpose(0, 3, 1, 2)
    if node.kind == "batch_norm":
        shape = [1] * x.ndim
        shape[channel_axis(program, x.ndim)] = -1
        return x * inputs[1].reshape(shape) + inputs[2].reshape(shape)
    return np.asarray(_KINDS[node.kind](inputs, a))


def _conv(x: Array, weights: list[Array], a: dict[str, Any]) -> Array:
    weight, (top, left, bottom, right) = weights[0], a["padding"]
    out, taken, height, width = weight.shape
    dilated = np.zeros((out, taken, (height - 1) * a["dilation"][0] + 1, (width - 1) * a["dilation"][1] + 1))
    dilated[:, :, :: a["dilation"][0], :: a["dilation"][1]] = weight
    views = _views(np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))), dilated.shape[2:], a["stride"])
    parts = []
    for group in range(a["groups"]):
        own = dilated[group * out // a["groups"] : (group + 1) * out // a["groups"]]
        parts.append(np.einsum("nhwcij,ocij->nhwo", views[:, :, :, group * taken : (group + 1) * taken], own))
    return np.concatenate(parts, axis=3) + (weights[1] if len(weights) > 1 else 0)


def _views(x: Array, kernel: Any, stride: Any) -> Array:
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    return views[:, :: stride[0], :: stride[1]]


def _pool(x: Array, a: dict[str, Any], average: bool) -> Array:
    top, left, bottom, right = a["padding"]
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    if not average:
        return _views(np.pad(x, around, constant_values=-np.inf), a["kernel"], a["stride"]).max(axis=(-1, -2))
    inside = [(0, 0), *zip(a["counted"][:2], a["counted"][2:], strict=True), (0, 0)]
    counted = np.pad(np.ones_like(x), inside, constant_values=1)
    rest = [p - c for p, c in zip(a["padding"], a["counted"], strict=True)]
    counted = np.pad(counted, ((0, 0), (rest[0], rest[2]), (rest[1], rest[3]), (0, 0)))
    sums, taps = (_views(part, a["kernel"], a["stride"]).sum(axis=(-1, -2)) for part in (np.pad(x, around), counted))
    return sums / taps


def _resize(x: Array, a: dict[str, Any]) -> Array:
    half = 0.5 if a["half_pixel"] else 0
    rows, columns = (
        np.floor((np.arange(m) + half) * n / m).astype(int) for m, n in zip(a["size"], x.shape[1:3], strict=True)
    )
    return x[:, rows][:, :, columns]


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


_WINDOWS: dict[str, Any] = {
    "conv": _conv,
    "max_pool": lambda x, _, a: _pool(x, a, False),
    "avg_pool": lambda x, _, a: _pool(x, a, True),
    "resize_nearest": lambda x, _, a: _resize(x, a),
}
_KINDS: dict[str, Any] = {
    "dense": lambda v, a: v[0] @ v[1].T + (v[2] if len(v) > 2 else 0),
    "mean": lambda v, a: v[0].mean(axis=a["axes"], keepdims=a["keepdims"]),
    "add": lambda v, a: v[0] + v[1],
    "sub": lambda v, a: v[0] - v[1],
    "mul": lambda v, a: v[0] * v[1],
    "relu": lambda v, a: np.maximum(v[0], 0),
    "clip": lambda v, a: np.clip(v[0], a["low"], a["high"]),
    "hard_swish": lambda v, a: v[0] * np.clip(v[0] / 6 + 0.5, 0, 1),
    "hard_sigmoid": lambda v, a: np.clip(a["slope"] * v[0] + a["offset"], 0, 1),
    "leaky_relu": lambda v, a: np.where(v[0] >= 0, v[0], a["slope"] * v[0]),
    "sigmoid": lambda v, a: 1 / (1 + np.exp(-v[0])),
    "tanh": lambda v, a: np.tanh(v[0]),
    "prelu": lambda v, a: np.where(v[0] >= 0, v[0], v[1] * v[0]),
    "softmax": lambda v, a: _softmax(v[0], a["axis"]),
    "argmax": lambda v, a: _argmax(v[0], a),
    "concat": lambda v, a: np.concatenate(v, axis=a["axis"]),
    "pad": lambda v, a: np.pad(v[0], list(zip(a["before"], a["after"], strict=True)), constant_values=a["value"]),
    "slice": lambda v, a: v[0][tuple(slice(*part) for part in zip(a["begin"], a["end"], a["step"], strict=True))],
    "reshape": lambda v, a: v[0].reshape(a["shape"]),
    "transpose": lambda v, a: v[0].transpose(a["axes"]),
}


def _argmax(x: Array, a: dict[str, Any]) -> Array:
    made = x.argmax(axis=a["axis"])
    return np.expand_dims(made, a["axis"]) if a["keepdims"] else made


# At random


def drawn(seed: int, nodes: int = 6) -> Program:
    """A float program of nodes that move, combine or reduce values, of any rank."""
    r = np.random.default_rng(seed)
    rank = int(r.integers(1, 5))
    shape = (1, *(int(n) for n in r.integers(1, 6, rank)))
    b = Builder(shape, channels_last=bool(r.integers(2)))
    for _ in range(nodes):
        _DRAWS[int(r.integers(len(_DRAWS)))](b, r)
    if b.last == "x":
        b.add("relu")
    return b.program()


def _draw_transpose(b: Builder, r: np.random.Generator) -> None:
    b.add("transpose", axes=tuple(int(axis) for axis in r.permutation(len(b.made))))


def _draw_reshape(b: Builder, r: np.random.Generator) -> None:
    """Factors of the count, dealt out to up to five axes."""
    count, factors = int(np.prod(b.made)), []
    for prime in (2, 3, 5):
        while count % prime == 0:
            factors.append(prime)
            count //= prime
    shape = [1] * int(r.integers(1, 6))
    place = 0
    for factor in [*factors, count]:
        place = min(place + int(r.integers(2)), len(shape) - 1)
        shape[place] *= factor
    b.add("reshape", shape=tuple(shape))


def _draw_slice(b: Builder, r: np.random.Generator) -> None:
    begin = [int(r.integers(size)) for size in b.made]
    end = [int(r.integers(first + 1, size + 1)) for first, size in zip(begin, b.made, strict=True)]
    step = [int(r.integers(1, 3)) for _ in b.made]
    b.add("slice", begin=tuple(begin), end=tuple(end), step=tuple(step))


def _draw_pad(b: Builder, r: np.random.Generator) -> None:
    before, after = (tuple(int(n) for n in r.integers(0, 2, len(b.made))) for _ in range(2))
    b.add("pad", before=before, after=after, value=float(r.integers(3)))


def _draw_concat(b: Builder, r: np.random.Generator) -> None:
    last = b.last
    other = b.add("leaky_relu", slope=-0.5)
    b.add("concat", last, other, axis=int(r.integers(len(b.made))))


def _draw_mean(b: Builder, r: np.random.Generator) -> None:
    axes = tuple(axis for axis in range(len(b.made)) if r.integers(3) == 0)
    if axes and len(axes) < len(b.made):
        b.add("mean", axes=axes, keepdims=bool(r.integers(2)))


def _draw_softmax(b: Builder, r: np.random.Generator) -> None:
    b.add("softmax", axis=int(r.integers(len(b.made))))


def _draw_sum(b: Builder, r: np.random.Generator) -> None:
    """With a mean of itself over one axis."""
    last = b.last
    axis = int(r.integers(len(b.made)))
    mean = b.add("mean", axes=(axis,), keepdims=True)
    b.add(str(r.choice(["add", "sub", "mul"])), *((last, mean) if r.integers(2) else (mean, last)))


def _draw_constant(b: Builder, r: np.random.Generator) -> None:
    shape = [size if r.integers(2) else 1 for size in b.made]
    constant = b.constant(r.normal(0, 1, shape[int(r.integers(len(shape))) :]))
    b.add(str(r.choice(["add", "sub", "mul", "prelu"])), constant)


def _draw_dense(b: Builder, r: np.random.Generator) -> None:
    out = int(r.integers(1, 5))
    b.add("dense", b.constant(r.normal(0, 1, (out, b.made[-1]))), b.constant(r.normal(0, 1, out)))


def _draw_norm(b: Builder, r: np.random.Generator) -> None:
    channels = b.made[channel_axis(b.program(), len(b.made))]
    b.add("batch_norm", b.constant(r.normal(0, 1, channels)), b.constant(r.normal(0, 1, channels)))


_DRAWS = [
    _draw_transpose,
    _draw_transpose,
    _draw_reshape,
    _draw_reshape,
    _draw_slice,
    _draw_pad,
    _draw_concat,
    _draw_mean,
    _draw_softmax,
    _draw_sum,
    _draw_constant,
    _draw_dense,
    _draw_norm,
]
