# SPDX-License-Identifier: Apache-2.0
"""Programs to graphs: what they compute, in which layout, and with how few operators."""

import re
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.imports.layout import gathered, moves, order_of, regroup
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.program import Grid, Node, Program, Value
from kilobench.contracts import UserError
from tests.compile.programs import Builder, computed, drawn, reference

Array = np.ndarray[Any, Any]
WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
R = np.random.default_rng(0)


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def lowered(b: Builder, *outputs: str) -> Graph:
    return lower_program(b.program(*outputs))


def same(b: Builder, tolerance: float = 1e-4) -> Graph:
    """The graph of a float program, which computes what that says."""
    program = b.program()
    graph = lower_program(program)
    x = np.random.default_rng(1).normal(0, 1, b.shape).astype(np.float32)
    for made, wanted in zip(computed(program, graph, x), reference(program, x), strict=True):
        assert made.shape == wanted.shape
        np.testing.assert_allclose(made, wanted, rtol=tolerance, atol=tolerance)
    return graph


def weights(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(0, 0.5, shape)


def conv(b: Builder, out: int, kernel: int = 3, **attrs: Any) -> str:
    channels = b.made[3 if b.channels_last else 1]
    window = WINDOW | {"padding": (kernel // 2,) * 4} | attrs
    weight = b.constant(weights(out, channels // window["groups"], kernel, kernel))
    return b.add("conv", b.last, weight, b.constant(weights(out)), **window)


def image(channels_last: bool, channels: int = 3, grid: Any = None) -> Builder:
    return Builder((1, 6, 5, channels) if channels_last else (1, channels, 6, 5), channels_last, grid)


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed: int) -> None:
    """Of values that move, in whatever order and rank."""
    for part in range(15):
        program = drawn(1000 * seed + part)
        x = np.random.default_rng(part).normal(0, 1, program.values["x"].shape).astype(np.float32)
        made, wanted = computed(program, lower_program(program), x)[0], reference(program, x)[0]
        assert made.shape == wanted.shape
        np.testing.assert_allclose(made, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"stride": (2, 3)},
        {"padding": (0, 1, 2, 1)},
        {"dilation": (2, 1), "padding": (2, 1, 2, 1)},
        {"groups": 2, "out": 4},
        {"groups": 4, "out": 4},
        {"groups": 4, "out": 8},
        {"kernel": 1},
    ],
    ids=str,
)
def test_convolutions(channels_last: bool, attrs: dict[str, Any]) -> None:
    b = image(channels_last, 4)
    conv(b, **({"out": 6} | attrs))
    graph = same(b)
    assert kinds(graph) == ["depthwise_conv2d" if attrs.get("groups") == 4 else "conv2d"]


@pytest.mark.parametrize("channels_last", [True, False])
def test_pools_and_resizing(channels_last: bool) -> None:
    b = image(channels_last)
    b.add("max_pool", kernel=(3, 2), stride=(1, 1), padding=(1, 0, 2, 1))
    b.add("avg_pool", kernel=(3, 3), stride=(2, 1), padding=(1, 1, 1, 1), counted=(1, 1, 0, 1))
    b.add("resize_nearest", size=(7, 9), half_pixel=True)
    b.add("avg_pool", kernel=(2, 2), stride=(2, 2), padding=(1, 1, 1, 1), counted=(0, 0, 0, 0))
    assert kinds(same(b)) == ["max_pool", "avg_pool", "resize_nearest", "avg_pool"]


# Layouts


def test_channels_first_costs_nothing() -> None:
    """Convolutions, a residual, a mean over the map and a dense layer: maps are [h, w, c] all along."""
    b = image(False)
    first = conv(b, 4)
    conv(b, 4)
    b.add("add", first, b.last)
    b.add("mean", axes=(2, 3), keepdims=True)
    b.add("reshape", shape=(1, 4))
    b.add("dense", b.constant(weights(5, 4)), b.constant(weights(5)))
    assert kinds(same(b)) == ["conv2d", "conv2d", "add", "avg_pool", "conv2d"]


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_dense_layer_takes_a_map_as_it_lies(channels_last: bool) -> None:
    b = image(channels_last)
    conv(b, 4)
    if channels_last:
        b.add("transpose", axes=(0, 3, 1, 2))
    b.add("reshape", shape=(1, 120))
    b.add("dense", b.constant(weights(5, 120)))
    graph = same(b)
    assert kinds(graph) == ["conv2d", "conv2d"]
    assert graph.ops[1].attrs["kernel"] == (6, 5)


def test_a_dense_layer_of_rows_is_a_pointwise_convolution() -> None:
    b = Builder((1, 7, 6))
    b.add("dense", b.constant(weights(4, 6)))
    graph = same(b)
    assert kinds(graph) == ["conv2d"] and graph.ops[0].attrs["kernel"] == (1, 1)


def test_transposes_there_and_back_are_none() -> None:
    b = image(True)
    b.add("transpose", axes=(0, 3, 1, 2))
    b.add("sigmoid")
    b.add("transpose", axes=(0, 2, 3, 1))
    conv(b, 4)
    assert kinds(same(b)) == ["sigmoid", "conv2d"]


def test_shuffled_channels_are_one_transpose() -> None:
    """As ShuffleNet shuffles them (Zhang et al., arXiv 1707.01083)."""
    b = image(False, 6)
    b.add("reshape", shape=(1, 2, 3, 6, 5))
    b.add("transpose", axes=(0, 2, 1, 3, 4))
    b.add("reshape", shape=(1, 6, 6, 5))
    conv(b, 4)
    assert kinds(same(b)).count("transpose") == 1


def test_means_of_what_lies_together_move_nothing() -> None:
    for axes in ((1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3)):
        b = Builder((1, 4, 5, 6))
        b.add("mean", axes=axes, keepdims=False)
        assert "transpose" not in kinds(same(b))


def test_softmax_of_rows_in_channels_first() -> None:
    b = image(False)
    b.add("softmax", axis=1)
    assert kinds(same(b)) == ["softmax"]
    b = image(False)
    b.add("softmax", axis=3)
    assert kinds(same(b)) == ["transpose", "softmax", "transpose"]


def test_constants_of_any_shape() -> None:
    for shape in ((), (3,), (5, 1), (6, 1, 1), (6, 5, 3), (6, 1, 3)):
        for kind in ("add", "sub", "mul"):
            for first in (False, True):
                b = image(True)
                constant = b.constant(weights(*shape))
                b.add(kind, *((constant, "x") if first else ("x", constant)))
                assert set(kinds(same(b))) <= {"depthwise_conv2d", "reshape"}


def test_maps_that_broadcast() -> None:
    b = image(False)
    mean = b.add("mean", axes=(2, 3), keepdims=True)
    gate = b.add("sigmoid")
    assert mean != gate
    b.add("mul", "x", gate)
    assert kinds(same(b)) == ["avg_pool", "sigmoid", "mul"]


def test_orders() -> None:
    """A permutation of six axes takes a few transposes, and each says which blocks it moves."""
    for seed in range(50):
        wanted = tuple(int(axis) for axis in np.random.default_rng(seed).permutation(6))
        order = tuple(range(6))
        steps = moves(order, wanted)
        assert len(steps) <= 5
        for blocks, axes in steps:
            assert sum(blocks, ()) == order
            order = sum((blocks[axis] for axis in axes), ())
        assert order == wanted
    assert moves((1, 2, 3), (1, 2, 3)) == []
    assert gathered((1, 6, 5, 4), (3, 1, 2), (1, 30, 4)) == (3, 1, 2)
    assert regroup((1, 6, 5, 4), (3, 1, 2), (1, 30, 4)) == (2, 1)
    assert gathered((1, 6, 5, 4), (2, 3, 1), (1, 30, 4)) == (1, 2, 3)
    assert regroup((1, 6, 5, 4), (1, 2, 3), (2, 3, 5, 2, 2)) == (0, 1, 2, 3, 4)
    assert order_of((0, 3, 1), (1, 2, 3, 4)) == (3, 1)


# Fusions


def test_norm_and_relu_are_part_of_a_convolution() -> None:
    for channels_last in (True, False):
        b = image(channels_last)
        conv(b, 4)
        b.add("batch_norm", b.constant(weights(4)), b.constant(weights(4)))
        b.add("mul", b.constant(weights(4) if channels_last else weights(4, 1, 1)))
        b.add("sub", b.constant(weights(1)), b.last)
        b.add("relu")
        graph = same(b)
        assert kinds(graph) == ["conv2d"] and graph.ops[0].attrs["relu"]


def test_a_bias_after_a_dense_layer() -> None:
    b = Builder((1, 6))
    b.add("dense", b.constant(weights(4, 6)))
    b.add("add", b.constant(weights(4)))
    b.add("relu")
    assert kinds(same(b)) == ["conv2d"]


def test_what_others_read_stays_as_it_is() -> None:
    b = image(True)
    made = conv(b, 4)
    relu = b.add("relu")
    b.add("add", made, relu)
    assert kinds(same(b)) == ["conv2d", "clip", "add"]
    graph = lowered(b, made, b.last)
    assert kinds(graph) == ["conv2d", "clip", "add"] and len(graph.outputs) == 2


def test_a_norm_alone_is_a_depthwise_convolution() -> None:
    b = image(False)
    b.add("batch_norm", b.constant(weights(3)), b.constant(weights(3)))
    b.add("relu")
    assert kinds(same(b)) == ["depthwise_conv2d", "clip"]


def test_zeros_around_a_map_are_padding() -> None:
    for channels_last in (True, False):
        b = image(channels_last)
        around = ((0, 1, 2, 0), (0, 0, 1, 0)) if channels_last else ((0, 0, 1, 2), (0, 0, 0, 1))
        b.add("pad", before=around[0], after=around[1], value=0.0)
        conv(b, 4, padding=(0, 0, 1, 1))
        assert kinds(same(b)) == ["conv2d"]


@pytest.mark.parametrize("change", ["ones", "channels", "too wide", "two readers"])
def test_other_padding_is_an_operator(change: str) -> None:
    b = image(True)
    before = {"channels": (0, 1, 1, 1), "too wide": (0, 3, 1, 0)}.get(change, (0, 1, 1, 0))
    pad = b.add("pad", before=before, after=(0, 0, 0, 0), value=1.0 if change == "ones" else 0.0)
    conv(b, 4, padding=(0, 0, 0, 0))
    if change == "two readers":
        other = b.last
        b.add("max_pool", pad, kernel=(3, 3), stride=(1, 1), padding=(0, 0, 0, 0))
        conv(b, 4, kernel=1)
        b.add("add", other, b.last)
    assert kinds(same(b))[0] == "pad"


def test_a_range_of_floats_is_a_clip() -> None:
    b = image(True)
    conv(b, 4)
    b.add("clip", low=0.0, high=6.0)
    b.add("clip", low=-inf, high=2.0)
    b.add("hard_swish")
    assert kinds(same(b)) == ["conv2d", "clip", "clip", "hard_swish"]
    b = image(True)
    conv(b, 4)
    b.add("clip", low=0.0, high=inf)
    assert kinds(same(b)) == ["conv2d"]


# Integers

INPUT, NARROW = (0.05, 3), (6 / 255, -128)


def quantised(
    b: Builder, out: int, grid: Any, *, bias: bool = True, kind: str = "conv", per_channel: bool = True
) -> str:
    """A convolution or dense layer with int8 weights and int32 biases."""
    shape = (out, b.made[-1], 3, 3) if kind == "conv" else (out, b.made[-1])
    real = weights(*shape)
    largest = np.abs(real.reshape(out, -1)).max(axis=1) if per_channel else np.abs(real).max(keepdims=True).reshape(-1)
    scale = largest / 127
    q = np.rint(real / scale.reshape(-1, *[1] * (len(shape) - 1))).astype(np.int8)
    inputs = [b.constant(q, Grid(scale, np.zeros(len(scale), np.int64), 0 if per_channel else None))]
    source = b.values[b.last].grid
    assert source is not None
    if bias:
        steps = scale * source.scale
        q_bias = np.rint(weights(out) / steps).astype(np.int32)
        inputs.append(b.constant(q_bias, Grid(steps, np.zeros(len(steps), np.int64), 0 if per_channel else None)))
    return b.add(kind, b.last, *inputs, grid=grid, **(WINDOW if kind == "conv" else {}))


def test_integers_of_the_file_are_taken_as_they_are() -> None:
    b = image(True, grid=INPUT)
    quantised(b, 4, NARROW)
    graph = lowered(b)
    weight = next(value.array for name, value in b.values.items() if value.array is not None and value.array.ndim == 4)
    bias = next(value.array for name, value in b.values.items() if value.array is not None and value.array.ndim == 1)
    assert weight is not None and bias is not None
    assert np.array_equal(graph.ops[0].params["weight"], weight.transpose(0, 2, 3, 1))
    assert np.array_equal(graph.ops[0].params["bias"], bias)
    assert (lower_program(b.program(), "tflite").ops[0].params["shift"] == graph.ops[0].params["shift"] + 64).all()


@pytest.mark.parametrize("fused", ["relu", "exact", "narrower", "wider"])
def test_activations_of_integers(fused: str) -> None:
    """A range that ends with the grid is the clamp that there is anyway; another one an operator in place."""
    b = image(True, grid=INPUT)
    quantised(b, 4, NARROW)
    if fused == "relu":
        b.add("relu", grid=NARROW)
    else:
        b.add("clip", low=0.0, high={"exact": 6.0, "narrower": 3.0, "wider": 7.0}[fused], grid=NARROW)
    assert kinds(lowered(b)) == (["conv2d", "clip"] if fused == "narrower" else ["conv2d"])


def test_a_chain_of_activations() -> None:
    b = image(True, grid=INPUT)
    quantised(b, 4, (0.1, 0))
    b.add("relu", grid=(0.1, 0))
    b.add("hard_swish", grid=(0.1, -10))
    b.add("clip", low=-1.0, high=1.0, grid=(0.1, -10))
    assert kinds(lowered(b)) == ["conv2d", "hard_swish", "clip"]


def test_a_norm_between_integers_is_part_of_the_weights() -> None:
    """Where what lies between has no grid, the weights are rounded anew."""
    b = image(True, grid=INPUT)
    quantised(b, 4, None)
    b.add("batch_norm", b.constant(weights(4)), b.constant(weights(4)))
    b.add("relu", grid=(0.1, -128))
    program = b.program()
    graph = lower_program(program)
    assert kinds(graph) == ["conv2d"] and graph.tensors[graph.output].dtype == "int8"
    q = np.random.default_rng(0).integers(-37, 43, b.shape).astype(np.int8)
    wanted = reference(_real(program), (q - np.float64(INPUT[1])) * INPUT[0])[0]
    made = (computed(program, graph, q)[0] + np.float64(128)) * 0.1
    assert np.abs(made - np.minimum(wanted, 25.5)).max() <= 0.2


def test_integers_and_floats_meet() -> None:
    """A node without a grid computes in floats; conversions are made once for all that read a value."""
    b = image(True, grid=INPUT)
    first = quantised(b, 4, (0.1, 0))
    b.add("sigmoid", first)
    b.add("add", first, b.last)
    quantise = b.add("quantise", grid=(0.1, 0))
    b.add("relu", quantise, grid=(0.1, 0))
    assert kinds(lowered(b)) == ["conv2d", "dequantise", "sigmoid", "add", "quantise", "clip"]


def test_maps_that_are_joined_come_to_one_grid() -> None:
    b = image(True, grid=INPUT)
    first = quantised(b, 4, (0.1, 0))
    second = quantised(b, 4, (0.2, 5))
    b.add("concat", first, second, grid=(0.2, 5), axis=3)
    assert kinds(lowered(b)) == ["conv2d", "conv2d", "requantise", "concat"]


def test_what_moves_integers_keeps_their_grid() -> None:
    b = image(True, grid=INPUT)
    b.add("pad", before=(0, 1, 0, 0), after=(0, 0, 1, 0), value=0.0, grid=INPUT)
    b.add("max_pool", kernel=(2, 2), stride=(1, 1), padding=(0, 0, 0, 0), grid=INPUT)
    b.add("slice", begin=(0, 0, 0, 1), end=(1, 3, 4, 3), step=(1, 1, 2, 1), grid=INPUT)
    b.add("resize_nearest", size=(5, 4), half_pixel=False, grid=INPUT)
    b.add("transpose", axes=(0, 2, 1, 3), grid=INPUT)
    b.add("reshape", shape=(1, 40), grid=(0.1, 4))
    graph = lowered(b)
    assert kinds(graph) == ["pad", "max_pool", "slice", "resize_nearest", "requantise", "transpose", "reshape"]
    assert graph.ops[0].params["value"] == 3


@pytest.mark.parametrize("rounding", ["once", "tflite"])
def test_integers_mean_what_floats_do(rounding: Any, tmp_path: Path) -> None:
    """A small network in int8 beside its meaning in float64, on the host, within a few steps."""
    grids = {"a": (0.1, -20), "b": (0.1, 7), "c": (0.15, -5), "d": (0.05, 10)}
    b = image(True, grid=INPUT)
    first = quantised(b, 4, grids["a"])
    b.add("leaky_relu", slope=0.2, grid=grids["b"])
    b.add("add", first, b.last, grid=grids["c"])
    b.add("mul", b.constant(weights(4)), grid=grids["b"])
    b.add("mean", axes=(1, 2), keepdims=True, grid=grids["d"])
    b.add("reshape", shape=(1, 4), grid=grids["d"])
    quantised(b, 3, grids["a"], kind="dense", per_channel=False)
    program = b.program()
    graph = lower_program(program, rounding)
    emit(graph, tmp_path, "network")
    q = np.random.default_rng(0).integers(-37, 43, (20, *graph.tensors["x"].shape)).astype(np.int8)
    made = (HostModel(tmp_path).run(q) - np.float64(grids["a"][1])) * grids["a"][0]
    for one, integers in zip(made, q, strict=True):
        wanted = reference(_real(program), (integers[None] - np.float64(INPUT[1])) * INPUT[0])[0]
        assert np.abs(one - wanted).max() <= 4 * grids["a"][0]


def _real(program: Program) -> Program:
    """The same program in floats: constants mean what they say, and values have no grids."""
    values = {}
    for name, value in program.values.items():
        array = value.array
        if array is not None and value.grid is not None:
            shape = (-1, *[1] * (array.ndim - 1)) if value.grid.axis == 0 else (-1,)
            array = array * value.grid.scale.reshape(shape)
        values[name] = Value(name, value.shape, "float32", None, array)
    return Program(values, program.nodes, program.input, program.outputs, program.channels_last)


def test_constants_of_integers_are_folded() -> None:
    """Dequantised, reshaped and transposed weights, as ONNX and TensorFlow Lite have them, are constants still."""
    b = Builder((1, 6))
    stored = b.constant(R.integers(-127, 128, (6, 4)).astype(np.int8), Grid(np.full(4, 0.5), np.zeros(4, np.int64), 1))
    b.nodes += [Node("transpose", "t", (stored,), "t", {"axes": (1, 0)}), Node("dequantise", "d", ("t",), "d", {})]
    b.values["t"] = Value("t", (4, 6), "int8")
    b.values["d"] = Value("d", (4, 6), "float32")
    program = b.program()
    program.nodes.append(Node("dense", "y", ("x", "d"), "y", {}))
    program.values["y"] = Value("y", (1, 4), "float32")
    graph = lower_program(Program(program.values, program.nodes, "x", ("y",), True))
    array = program.values[stored].array
    assert array is not None
    assert np.array_equal(graph.ops[0].params["weight"].reshape(4, 6), 0.5 * array.T)


# Inputs and outputs


def test_inputs_and_outputs_lie_with_channels_last() -> None:
    b = image(False)
    b.add("sigmoid")
    graph = lowered(b)
    assert graph.tensors[graph.input].shape == graph.tensors[graph.output].shape == (6, 5, 3)
    for shape, held in {(1, 7): (1, 1, 7), (7,): (1, 1, 7), (1, 4, 7): (1, 4, 7), (2, 3, 4, 5): (6, 4, 5)}.items():
        b = Builder(shape)
        b.add("sigmoid")
        graph = lowered(b)
        assert graph.tensors[graph.input].shape == graph.tensors[graph.output].shape == held


def test_outputs_that_are_one_map_are_two() -> None:
    """And an output that is the input is a copy of it."""
    b = image(True)
    first = b.add("sigmoid")
    second = b.add("transpose", axes=(0, 1, 2, 3))
    graph = lowered(b, first, second)
    assert len(set(graph.outputs)) == 2 and kinds(graph) == ["sigmoid", "reshape"]
    b = image(True)
    b.add("reshape", shape=(1, 6, 5, 3))
    assert kinds(same(b)) == ["reshape"]


def test_names_are_those_of_the_file() -> None:
    b = image(True)
    conv(b, 4)
    b.add("clip", low=0.0, high=6.0)
    program = b.program()
    program.nodes[0].name, program.nodes[1].name = "model/conv 1/Conv2D:0", "model/conv_1/Conv2D_0"
    names = [op.name for op in lower_program(program).ops]
    assert names == ["model.conv_1.Conv2D_0", "model.conv_1.Conv2D_0_2"]


# What is refused


def with_nodes(*nodes: Node, values: dict[str, Value] | None = None, outputs: tuple[str, ...] = ("y",)) -> Program:
    known = {name: Value(name, (1, 4, 4, 3), "float32") for name in ("x", "a", "y")}
    return Program(known | (values or {}), list(nodes), "x", outputs, True)


LARGE = Value("large", (1, 4, 4, 3), "float32", None, np.ones((1, 4, 4, 3), np.float32))
REFUSED = {
    "kind": (with_nodes(Node("fft", "y", ("x",), "y")), "y (fft) is of a kind that there is not; supported are add"),
    "attributes": (
        with_nodes(Node("relu", "y", ("x",), "y", {"slope": 1.0})),
        "y (relu) has the attributes ['slope'], not []",
    ),
    "count": (with_nodes(Node("add", "y", ("x",), "y")), "y (add) reads 1 tensors, not 2 to 2"),
    "order": (with_nodes(Node("relu", "y", ("a",), "y")), "y (relu) reads ['a'], which nothing before it makes"),
    "twice": (
        with_nodes(*(Node("relu", "y", ("x",), "y") for _ in range(2))),
        "y (relu) makes y, which is there already",
    ),
    "output": (with_nodes(Node("relu", "y", ("x",), "y"), outputs=("a",)), "its output 'a' is made by no operator"),
    "outputs": (with_nodes(Node("relu", "y", ("x",), "y"), outputs=("y", "y")), "its outputs are not named once each"),
    "shape": (
        with_nodes(Node("mean", "y", ("x",), "y", {"axes": (1,), "keepdims": True})),
        "y (mean) makes [1, 1, 4, 3], where [1, 4, 4, 3] is said to be made",
    ),
    "axis": (
        with_nodes(Node("softmax", "y", ("x",), "y", {"axis": 4})),
        "y (softmax) has axis=4; supported are 0 to 3",
    ),
    "constants": (
        with_nodes(Node("relu", "y", ("large",), "y"), values={"large": LARGE}),
        "y (relu) reads constants alone; supported is that of dequantise, quantise, reshape, transpose",
    ),
    "number": (with_nodes(Node("leaky_relu", "y", ("x",), "y", {"slope": inf})), "y (leaky_relu) has slope=inf"),
    "range": (
        with_nodes(Node("clip", "y", ("x",), "y", {"low": 1.0, "high": 0.0})),
        "y (clip) has low=1.0 above high=0.0",
    ),
    "input": (
        with_nodes(Node("relu", "y", ("x",), "y"), values={"x": Value("x", (1, 4, 4, 3), "int32")}),
        "x is int32 input; supported are float32, int8, uint8",
    ),
    "scale": (
        with_nodes(
            Node("relu", "y", ("x",), "y"),
            values={"y": Value("y", (1, 4, 4, 3), "int8", Grid(np.array([-1.0]), np.zeros(1, np.int64)))},
        ),
        "y has the scale [-1.0]",
    ),
    "batch": (
        with_nodes(
            Node("max_pool", "y", ("x",), "y", {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0, 0, 0)}),
            values={name: Value(name, (2, 4, 4, 3), "float32") for name in "xy"},
        ),
        "y (max_pool) reads a batch of 2; supported is 1",
    ),
    "broadcast": (
        with_nodes(
            Node("mean", "a", ("x",), "a", {"axes": (1, 3), "keepdims": True}),
            Node("add", "y", ("x", "a"), "y"),
            values={
                "x": Value("x", (2, 3, 2, 3), "float32"),
                "y": Value("y", (2, 3, 2, 3), "float32"),
                "a": Value("a", (2, 1, 2, 1), "float32"),
            },
        ),
        "y (add) broadcasts 4 runs of axes; supported are 3",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(what: str) -> None:
    program, text = REFUSED[what]
    with pytest.raises(UserError, match=re.escape(text)) as caught:
        lower_program(program)
    assert "\n" not in str(caught.value)


def test_a_whole_number_is_an_output_alone() -> None:
    b = image(True)
    b.add("argmax", dtype="int32", axis=3, keepdims=True)
    assert kinds(lowered(b)) == ["argmax"]
    b.add("relu")
    with pytest.raises(UserError, match="int32"):
        lowered(b)
