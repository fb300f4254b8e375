# SPDX-License-Identifier: Apache-2.0
"""Convolutions and pools against torch's own, over all that their attributes can say: simulation and host C."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from kilobench.compile.counts import macs, parameters
from kilobench.compile.graph import DType, Graph
from kilobench.compile.graphcheck import check_op
from kilobench.compile.ops._integers import TWICE, requantise
from tests.compile.graphs import Builder, random_inputs
from tests.fuzz.batch import INPUTS, Case, differences

SIZE = (6, 7)
KERNELS = [(1, 1), (3, 3), (1, 4), (2, 3)]
PADDINGS = [(0, 0, 0, 0), (1, 1, 1, 1), (0, 2, 1, 0), (3, 0, 3, 4)]
"""Top, left, bottom, right."""
DILATIONS = [(1, 1), (2, 2), (1, 3)]
STRIDES = [(1, 1), (2, 3)]
Image = torch.Tensor


def window(kernel: Any, stride: Any, padding: Any, **more: Any) -> dict[str, Any]:
    top, left, bottom, right = padding
    extra = bottom - top, right - left
    attrs = {"kernel": kernel, "stride": stride, "padding": (top, left)} | ({"extra": extra} if any(extra) else {})
    defaults = {"dilation": (1, 1), "groups": 1, "counted": (0, 0, 0, 0)}
    return attrs | {key: value for key, value in more.items() if value != defaults[key]}


def graphs(kind: str, dtype: DType) -> Iterator[tuple[str, Graph]]:
    """A convolution for each combination that fits; all but the first weight of some are at least -127."""
    channels = {"conv2d": [(5, 6, 1), (6, 9, 3), (8, 8, 2), (4, 4, 4)], "depthwise_conv2d": [(6, 6, 6), (5, 10, 5)]}[
        kind
    ]
    for seed, combination in enumerate(product(KERNELS, STRIDES, PADDINGS, DILATIONS, channels)):
        kernel, stride, padding, dilation, (read, made, groups) = combination
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        sides = padding[::2], padding[1::2]
        if any(max(two) > k or n + sum(two) < k for k, n, two in zip(reach, SIZE, sides, strict=True)):
            continue
        b = Builder(seed)
        source = b.tensor((*SIZE, read), dtype)
        more = {"groups": groups} if kind == "conv2d" else {}
        attrs = window(kernel, stride, padding, dilation=dilation, **more) | {"relu": seed % 2 == 0}
        shape = b.made(kind, source, {k: v for k, v in attrs.items() if k != "relu"}, made).output.shape
        make = b._float_params if dtype == "float32" else b._int8_params
        params = make((made, *kernel, read // groups), dtype)
        if kind == "depthwise_conv2d":
            params["weight"] = np.ascontiguousarray(params["weight"][..., 0].transpose(1, 2, 0))
        op = b.op(kind, [source], b.tensor(shape, dtype), attrs, params)
        yield f"{combination}", b.graph(source, op)


def convolved(graph: Graph, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """By torch."""
    (op,), source, output = graph.ops, graph.tensors[graph.input], graph.tensors[graph.output]
    (top, left), (below, right) = op.attrs["padding"], op.attrs.get("extra", (0, 0))
    weight = op.params["weight"]
    weight = weight.transpose(2, 0, 1)[:, None] if op.kind == "depthwise_conv2d" else weight.transpose(0, 3, 1, 2)
    groups = source.shape[2] if op.kind == "depthwise_conv2d" else op.attrs.get("groups", 1)
    image = torch.from_numpy((x.astype(np.float64) - source.zero_point).transpose(0, 3, 1, 2).copy())
    image = functional.pad(image, (left, left + right, top, top + below))
    sums = functional.conv2d(
        image,
        torch.from_numpy(weight.astype(np.float64)),
        torch.from_numpy(op.params["bias"].astype(np.float64)),
        op.attrs["stride"],
        dilation=op.attrs.get("dilation", (1, 1)),
        groups=groups,
    )
    made = sums.numpy().transpose(0, 2, 3, 1)
    if output.dtype == "float32":
        return (np.maximum(made, 0) if op.attrs["relu"] else made).astype(np.float32)
    made = requantise(made.astype(np.int64), op.params["multiplier"], op.params["shift"]) + output.zero_point
    return np.clip(made, output.zero_point if op.attrs["relu"] else -128, 127).astype(np.int8)


def held(name: str, graph: Graph, wanted: Any, seed: int) -> Case:
    """The case, after its simulation was found to be what torch gives."""
    (op,) = graph.ops
    check_op(op, [graph.tensors[graph.input]], graph.tensors[graph.output])
    case = Case(name, graph, random_inputs(graph, INPUTS, seed))
    for got, expected in zip(case.expected, wanted(graph, case.inputs), strict=True):
        off = np.abs(got.astype(np.float64) - expected.ravel()).max()
        assert off <= (1e-5 * max(1, np.abs(expected).max()) if got.dtype == np.float32 else 0), name
    return case


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("kind", "count"), [("conv2d", 264), ("depthwise_conv2d", 132)])
def test_convolutions(kind: str, count: int, dtype: DType, tmp_path: Path) -> None:
    cases = [held(name, graph, convolved, seed) for seed, (name, graph) in enumerate(graphs(kind, dtype))]
    assert len(cases) == count
    assert not differences(cases, tmp_path / "batch", [])


def pools(kind: str, dtype: DType) -> Iterator[tuple[str, Graph, bool]]:
    """As torch has them, with and without ``ceil_mode``, and whether padding counts."""
    settings = product([(2, 2), (3, 3), (3, 2)], [(1, 1), (2, 2), (3, 2)], (0, 1), (0, 1), (False, True), (False, True))
    for seed, (kernel, stride, pad_h, pad_w, ceil, counts) in enumerate(settings):
        if kind == "max_pool" and counts:
            continue
        b = Builder(seed)
        source = b.tensor((*SIZE, 5), dtype)
        pads = pad_h, pad_w
        made = _torch_pool(torch.zeros(1, 1, *SIZE), kernel, stride, pads, ceil).shape[2:]
        beyond = [
            max(0, (o - 1) * s + k - n - 2 * p) * ceil
            for o, s, k, n, p in zip(made, stride, kernel, SIZE, pads, strict=True)
        ]
        sides = (pad_h, pad_w, pad_h + beyond[0], pad_w + beyond[1])
        attrs = window(kernel, stride, sides, counted=(pad_h, pad_w, pad_h, pad_w) if counts else (0, 0, 0, 0))
        bound = b.made(kind, source, attrs, 5)
        assert bound.output.shape == (*made, 5)
        output = b.tensor((*made, 5), dtype)
        params: dict[str, Any] = {}
        if kind == "max_pool" and dtype == "int8":
            output = b.like(source, output)
        elif kind == "avg_pool":
            divisors = np.arange(1, kernel[0] * kernel[1] + 1)
            divisors = divisors if bound.sizes()["D"] > 1 else bound.divisors()[0, :1]  # type: ignore[attr-defined]
            params = {"scale": (1 / divisors).astype(np.float32)}
            if dtype == "int8":
                shift = np.full(len(divisors), 33 + TWICE * (seed % 2), np.int32)
                params = {"multiplier": (2**33 // (divisors + 4)).astype(np.int32), "shift": shift}
        name = f"{kind} {kernel} {stride} {pads} ceil {ceil} counts {counts}"
        yield name, b.graph(source, b.op(kind, [source], output, attrs, params)), ceil


def _torch_pool(x: Image, kernel: Any, stride: Any, padding: Any, ceil: bool) -> Image:
    return functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("kind", "count"), [("max_pool", 72), ("avg_pool", 144)])
def test_pools(kind: str, count: int, dtype: DType, tmp_path: Path) -> None:
    cases = []
    for seed, (name, graph, ceil) in enumerate(pools(kind, dtype)):

        def wanted(graph: Graph, x: Any, ceil: bool = ceil) -> Any:
            return (_largest if kind == "max_pool" else _mean)(graph, x, ceil)

        cases.append(held(name, graph, wanted, seed))
    assert len(cases) == count
    assert not differences(cases, tmp_path / "batch", [])


def _image(graph: Graph, x: np.ndarray[Any, Any]) -> tuple[Image, Any, Any, Any]:
    """Less the zero point; and kernel, stride and padding of torch."""
    attrs, zero = graph.ops[0].attrs, graph.tensors[graph.input].zero_point
    image = torch.from_numpy((x.astype(np.float64) - zero).transpose(0, 3, 1, 2).copy())
    return image, attrs["kernel"], attrs["stride"], attrs["padding"]


def _largest(graph: Graph, x: np.ndarray[Any, Any], ceil: bool) -> np.ndarray[Any, Any]:
    made = _torch_pool(*_image(graph, x), ceil).numpy().transpose(0, 2, 3, 1)
    return (made + graph.tensors[graph.input].zero_point).astype(x.dtype)


def _mean(graph: Graph, x: np.ndarray[Any, Any], ceil: bool) -> np.ndarray[Any, Any]:
    """Of int8 the sum, requantised by the factor of the divisor that torch has."""
    (op,), output = graph.ops, graph.tensors[graph.output]
    image, kernel, stride, padding = _image(graph, x)
    counts = "counted" in op.attrs
    mean = functional.avg_pool2d(image, kernel, stride, padding, ceil, counts).numpy().transpose(0, 2, 3, 1)
    if output.dtype == "float32":
        return mean.astype(np.float32)
    ones = functional.avg_pool2d(torch.ones_like(image), kernel, stride, padding, ceil, counts)
    taps = functional.avg_pool2d(torch.ones_like(image), kernel, stride, padding, ceil, divisor_override=1)
    divisor = np.rint((taps / ones).numpy().transpose(0, 2, 3, 1)).astype(int)
    sums = functional.avg_pool2d(image, kernel, stride, padding, ceil, divisor_override=1).numpy().transpose(0, 2, 3, 1)
    index = divisor - 1 if len(op.params["shift"]) > 1 else 0 * divisor
    factors = (op.params[key][index] for key in ("multiplier", "shift"))
    made = requantise(sums.astype(np.int64), *factors) + output.zero_point
    return np.clip(made, -128, 127).astype(np.int8)


def test_the_work_of_groups() -> None:
    b = Builder(0)
    source = b.tensor((4, 5, 6), "float32")
    attrs = {"kernel": (3, 2), "stride": (1, 1), "padding": (1, 0), "groups": 3, "relu": False}
    params = b._float_params((9, 3, 2, 2), "float32")
    graph = b.graph(source, b.op("conv2d", [source], b.tensor((4, 4, 9), "float32"), attrs, params))
    assert macs(graph)["fp32"] == 4 * 4 * 9 * 3 * 2 * 2
    assert parameters(graph) == params["weight"].size + 9
