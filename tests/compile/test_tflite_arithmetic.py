# SPDX-License-Identifier: Apache-2.0
"""Operators of the dialect of TFLite-Micro against TFLite-Micro itself, to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.graphcheck import check_op
from kilobench.compile.host import HostModel
from kilobench.compile.lower import multiplier
from kilobench.compile.operator import bind
from kilobench.compile.ops._integers import TWICE
from tests.compile.tflite_files import Value, run, single

Map = np.ndarray[Any, Any]
ACTIVATIONS = {False: 0, True: 1}
"""None and RELU of TFLite's schema."""


def value(tensor: Tensor) -> Value:
    return Value(tensor.name, (1, *tensor.shape), tensor.dtype, (tensor.scale,), (tensor.zero_point,))


def grid(r: np.random.Generator, name: str, shape: tuple[int, int, int]) -> Tensor:
    """int8, of a random scale and zero point."""
    scale = float(np.float32(np.exp(r.uniform(np.log(1e-3), np.log(10)))))
    return Tensor(name, shape, "int8", scale, int(r.integers(-128, 128)))


def integers(r: np.random.Generator, shape: tuple[int, ...]) -> Map:
    return r.integers(-128, 128, shape).astype(np.int8)


def twice(real: list[float]) -> dict[str, Map]:
    """Multipliers and shifts of factors that round twice."""
    m, t = multiplier(np.array(real))
    return {"multiplier": m.astype(np.int32), "shift": (t + TWICE).astype(np.int32)}


def host(op: Op, source: Tensor, output: Tensor, x: Map, folder: Path) -> Map:
    """What our C makes of [n, h, w, c]."""
    emit(Graph({source.name: source, output.name: output}, (op,), source.name, (output.name,)), folder, "one")
    return HostModel(folder).run(x).reshape(len(x), *output.shape)


SHAPES = [((3, 4, 5), (3, 4, 5)), ((3, 4, 5), (1, 1, 5)), ((1, 4, 1), (3, 1, 5)), ((1, 1, 1), (2, 2, 70))]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shapes", SHAPES)
def test_sums(seed: int, shapes: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    r, relu = np.random.default_rng(seed), seed % 2 == 1
    shape = tuple(map(max, *shapes))
    a, b, made = grid(r, "a", shapes[0]), grid(r, "b", shapes[1]), grid(r, "made", (shape[0], shape[1], shape[2]))
    largest = 2 * max(a.scale, b.scale)
    reals = [a.scale / largest, b.scale / largest, largest / (2**20 * made.scale)]
    op = Op("tflite_add", "op", ("a", "b"), "made", {"relu": relu}, twice(reals))
    bound = check_op(op, [a, b], made)
    file = single(
        "ADD", ("AddOptions", {"FusedActivationFunction": ACTIVATIONS[relu]}), [value(a), value(b)], value(made)
    )
    for _ in range(20):
        x, y = integers(r, (1, *a.shape)), integers(r, (1, *b.shape))
        assert np.array_equal(bound.compute([x, y]), run(file, x, y)[0])


@pytest.mark.parametrize("seed", range(40))
def test_averages(seed: int, tmp_path: Path) -> None:
    r = np.random.default_rng(seed)
    source = grid(r, "x", (int(r.integers(1, 12)), int(r.integers(1, 12)), int(r.choice([1, 3, 4, 9]))))
    kernel, stride = ((int(r.integers(1, 6)), int(r.integers(1, 6))) for _ in range(2))
    same = bool(r.integers(2)) or kernel[0] > source.shape[0] or kernel[1] > source.shape[1]
    attrs: dict[str, Any] = {"kernel": kernel, "stride": stride}
    attrs |= padding(source.shape[:2], kernel, stride) if same else {"padding": (0, 0)}
    bare = Op("tflite_avg_pool", "op", ("x",), "made", attrs)
    shape = bind(Graph({"x": source, "made": source}, (bare,), "x", ("made",)), bare).output_shape()
    made = Tensor("made", shape, "int8", source.scale, source.zero_point)
    check_op(bare, [source], made)
    options = {"Padding": 0 if same else 1, "FilterHeight": kernel[0], "FilterWidth": kernel[1]}
    options |= {"StrideH": stride[0], "StrideW": stride[1]}
    file = single("AVERAGE_POOL_2D", ("Pool2DOptions", options), [value(source)], value(made))
    x = integers(r, (20, *source.shape))
    ours = host(bare, source, made, x, tmp_path)
    for one, got in zip(x, ours, strict=True):
        assert np.array_equal(run(file, one[None])[0][0], got)


def padding(size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> dict[str, Any]:
    """That of SAME: as many windows as strides fit, the odd row or column below or right."""
    whole = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=True)]
    attrs: dict[str, Any] = {"padding": (whole[0] // 2, whole[1] // 2)}
    extra = (whole[0] % 2, whole[1] % 2)
    return attrs | ({"extra": extra} if any(extra) else {})


@pytest.mark.parametrize("seed", range(40))
def test_softmax(seed: int, tmp_path: Path) -> None:
    r = np.random.default_rng(seed)
    shape = (int(r.integers(1, 4)), int(r.integers(1, 4)), int(r.choice([1, 2, 3, 10, 33, 257, 500])))
    scale = float(np.float32(np.exp(r.uniform(np.log(1e-4), np.log(5)))))
    source, made = Tensor("x", shape, "int8", scale, -5), Tensor("made", shape, "int8", 1 / 256, -128)
    op = Op("tflite_softmax", "op", ("x",), "made")
    bound = check_op(op, [source], made)
    file = single("SOFTMAX", ("SoftmaxOptions", {"Beta": 1.0}), [value(source)], value(made))
    x = integers(r, (20, *shape))
    x[0], x[1] = -128, 127
    x[2:8] = np.clip(r.normal(0, 6, (6, *shape)), -128, 127)
    wanted = np.concatenate([run(file, one[None])[0] for one in x])
    assert np.array_equal(bound.compute([x]), wanted)
    assert np.array_equal(host(op, source, made, x, tmp_path), wanted)


FUNCTIONS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "LEAKY_RELU": ("LeakyReluOptions", {"Alpha": 0.1}),
    "HARD_SWISH": ("HardSwishOptions", {}),
    "LOGISTIC": None,
    "TANH": None,
    "RELU": None,
    "RELU6": None,
    "QUANTIZE": ("QuantizeOptions", {}),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions_are_tables(kind: str, seed: int) -> None:
    """An output depends on nothing but its own input, so that a table of 256 says all; it is the table of the operator."""
    r = np.random.default_rng(seed)
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    source, made = (grid(r, name, (16, 16, 1)) for name in ("x", "made"))
    made = Tensor("made", made.shape, "int8", *fixed.get(kind, (source.scale, made.zero_point)))
    every = np.arange(-128, 128).astype(np.int8)
    flat = [Value(v.name, (256,), *(value(v).dtype, value(v).scale, value(v).zero_point)) for v in (source, made)]
    table = run(single(kind, FUNCTIONS[kind], flat[:1], flat[1]), every)[0]
    x = integers(r, (1, *source.shape))
    op = Op("requantise", "op", ("x",), "made", {}, {"table": table})
    wanted = run(single(kind, FUNCTIONS[kind], [value(source)], value(made)), x)[0]
    assert np.array_equal(check_op(op, [source], made).compute([x]), wanted)
    assert len(np.unique(table)) > 1
