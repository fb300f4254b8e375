# SPDX-License-Identifier: Apache-2.0
"""Operators of .tflite files, in all types and attributes, and MLPerf Tiny's networks: equal to TFLite-Micro, or refused."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.imports import load_model
from kilobench.compile.imports.flatfile import OPTIONS
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.tflite import load_tflite
from kilobench.compile.simulate import simulate
from kilobench.contracts import UserError
from tests.compile import mlperf
from tests.compile.tflite_cases import CASES, Case, file_of
from tests.compile.tflite_files import Node, Value, model, run, single

Array = np.ndarray[Any, Any]
GOLDEN = Path(__file__).parents[1] / "golden/tflite.json"
BESIDE = {"RELU6 to another grid", "PRELU"}
"""TFLite-Micro's RELU6 takes the output to be on the grid of the input, and its slopes per channel are products of their own."""
ROUNDED = {"other": 6, "mean": 6}
"""Steps by which two operators after one another may differ that round once, and 1 that a single one may."""
needs_models = pytest.mark.skipif(not mlperf.there(), reason="KILOBENCH_DATA holds no mlperf-tiny")


def inputs_of(case: Case, dtype: str, count: int = 8) -> Array:
    r = np.random.default_rng(1)
    if dtype == "int8":
        return r.integers(-128, 128, (count, *case.source)).astype(np.int8)
    return r.normal(0, 2, (count, *case.source)).astype(np.float32)


def shaped(graph: Graph, x: Array) -> Array:
    return x.reshape(len(x), *graph.tensors[graph.input].shape)


def on_host(graph: Graph, x: Array, folder: Path) -> list[Array]:
    emit(graph, folder, "case")
    return HostModel(folder).run_all(shaped(graph, x))


def simulated(graph: Graph, x: Array) -> list[Array]:
    maps = simulate(graph, shaped(graph, x))
    return [maps[name].reshape(len(x), -1) for name in graph.outputs]


def wanted_of(case: Case, dtype: str, x: Array) -> list[Array]:
    """[n, values] of every output, of TFLite-Micro."""
    made = [run(file_of(case, dtype), one) for one in x]
    return [np.stack([one[place].reshape(-1) for one in made]) for place in range(case.parts)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_int8_is_that_of_tflite_micro(case: Case, tmp_path: Path) -> None:
    x = inputs_of(case, "int8")
    wanted = wanted_of(case, "int8", x)
    program = load_tflite(file_of(case, "int8"))
    twice = on_host(lower_program(program, "tflite"), x, tmp_path)
    most = max([1, *(ROUNDED.get(str(constant), 0) for constant in case.constants if isinstance(constant, str))])
    for made, want, once in zip(twice, wanted, simulated(lower_program(program), x), strict=True):
        if case.name not in BESIDE:
            assert np.array_equal(made, want)
            assert np.abs(once.astype(int) - want).max() <= most
        elif case.name == "PRELU":
            assert np.abs(made.astype(int) - want).max() <= 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_float32_is_that_of_tflite_micro(case: Case, tmp_path: Path) -> None:
    x = inputs_of(case, "float32")
    made = on_host(lower_program(load_tflite(file_of(case, "float32"))), x, tmp_path)
    for one, want in zip(made, wanted_of(case, "float32", x), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-5, atol=1e-5)


def digests() -> dict[str, str]:
    """Of what every case of int8 makes with TensorFlow Lite's roundings, simulated."""
    found = {}
    for case in CASES:
        graph = lower_program(load_tflite(file_of(case, "int8")), "tflite")
        made = b"".join(one.tobytes() for one in simulated(graph, inputs_of(case, "int8")))
        found[case.name] = hashlib.sha256(made).hexdigest()[:16]
    return found


def test_the_results_are_those_that_were_compared_with_tflite_micro() -> None:
    """``python -m tests.compile.test_import_tflite`` writes them anew, with TFLite-Micro at hand."""
    assert digests() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("model", mlperf.INT8)
@needs_models
def test_mlperf_tiny_to_the_bit(model: str) -> None:
    graph = load_model(mlperf.path_of(model), "tflite")
    x = mlperf.inputs_of(model, int(np.prod(graph.tensors[graph.input].shape))).x
    assert np.array_equal(mlperf.host_outputs(model, x, "tflite"), mlperf.micro_outputs(model, x))


@pytest.mark.parametrize("model", mlperf.FLOAT)
@needs_models
def test_mlperf_tiny_in_float(model: str) -> None:
    """Of some, weights are int8 and inputs are rounded to 8 bits as they come, which here they are not."""
    graph = load_model(mlperf.path_of(model))
    x = np.random.default_rng(0).normal(0, 1, (20, int(np.prod(graph.tensors[graph.input].shape)))).astype(np.float32)
    if model == "kws_ref_model_float32":
        assert np.isfinite(mlperf.host_outputs(model, x)).all()
    else:
        np.testing.assert_allclose(mlperf.host_outputs(model, x), mlperf.micro_outputs(model, x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rounding", ["once", "tflite"])
@pytest.mark.parametrize("model", sorted(mlperf.LABELLED))
@needs_models
def test_mlperf_tiny_is_as_accurate(model: str, rounding: str) -> None:
    graph = load_model(mlperf.path_of(model))
    inputs = mlperf.inputs_of(model, int(np.prod(graph.tensors[graph.input].shape)))
    right = (mlperf.host_outputs(model, inputs.x, rounding).argmax(axis=1) == inputs.labels).mean()
    assert right >= {"kws_ref_model": 0.9, "pretrainedResnet_quant": 0.84}[model]


# Types


def test_uint8_goes_in_and_comes_out(tmp_path: Path) -> None:
    """As converters make it: QUANTIZE to int8 behind the input, and back before the output."""
    grids = {"x": ("uint8", 0.1, 120), "a": ("int8", 0.1, -8), "b": ("int8", 0.1, -8), "y": ("uint8", 0.1, 120)}
    values = [Value(name, (1, 4, 4, 3), kind, (scale,), (zero,)) for name, (kind, scale, zero) in grids.items()]
    nodes = [Node("QUANTIZE", ("x",), ("a",)), Node("RELU", ("a",), ("b",)), Node("QUANTIZE", ("b",), ("y",))]
    file = model(values, nodes, ["x"], ["y"])
    graph = lower_program(load_tflite(file))
    assert graph.tensors[graph.input].dtype == graph.tensors[graph.output].dtype == "uint8"
    x = np.random.default_rng(0).integers(0, 256, (4, 1, 4, 4, 3)).astype(np.uint8)
    made = on_host(graph, x, tmp_path)[0].reshape(x.shape)
    assert np.array_equal(made, np.maximum(x, 120))


def test_networks_of_uint8(tmp_path: Path) -> None:
    """As converters made them before int8: maps and weights have any zero point."""
    r = np.random.default_rng(0)
    weight, bias = r.integers(0, 256, (4, 6)).astype(np.uint8), r.integers(-200, 200, 4).astype(np.int32)
    values = [
        Value("x", (1, 6), "uint8", (0.05,), (100,)),
        Value("w", (4, 6), "uint8", (0.01,), (140,), 0, weight),
        Value("b", (4,), "int32", (0.0005,), (0,), 0, bias),
        Value("y", (1, 4), "uint8", (0.08,), (90,)),
    ]
    nodes = [Node("FULLY_CONNECTED", ("x", "w", "b"), ("y",), ("FullyConnectedOptions", {}))]
    graph = lower_program(load_tflite(model(values, nodes, ["x"], ["y"])))
    x = r.integers(0, 256, (10, 6)).astype(np.uint8)
    made = on_host(graph, x, tmp_path)[0]
    sums = ((x - 100.0) * 0.05) @ ((weight - 140.0) * 0.01).T + bias * 0.0005
    wanted = np.clip(np.rint(sums / 0.08) + 90, 0, 255)
    assert made.dtype == np.uint8 and np.abs(made - wanted).max() <= 2


def test_floats_go_in_and_come_out(tmp_path: Path) -> None:
    values = [
        Value("x", (1, 4, 4, 3), "float32"),
        Value("a", (1, 4, 4, 3), "int8", (0.1,), (-8,)),
        Value("b", (1, 4, 4, 3), "int8", (0.1,), (-8,)),
        Value("y", (1, 4, 4, 3), "float32"),
    ]
    nodes = [Node("QUANTIZE", ("x",), ("a",)), Node("RELU6", ("a",), ("b",)), Node("DEQUANTIZE", ("b",), ("y",))]
    file = model(values, nodes, ["x"], ["y"])
    graph = lower_program(load_tflite(file))
    assert [op.kind for op in graph.ops] == ["quantise", "clip", "dequantise"]
    x = np.random.default_rng(0).normal(0, 5, (4, 1, 4, 4, 3)).astype(np.float32)
    made = on_host(graph, x, tmp_path)[0]
    assert np.array_equal(made, np.stack([run(file, one)[0].reshape(-1) for one in x]))


def test_weights_of_16_bits_are_floats() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (4, 6)).astype(np.float16)
    values = [
        Value("x", (1, 6), "float32"),
        Value("h", (4, 6), "float16", array=weight),
        Value("w", (4, 6), "float32"),
        Value("y", (1, 4), "float32"),
    ]
    nodes = [
        Node("DEQUANTIZE", ("h",), ("w",)),
        Node("FULLY_CONNECTED", ("x", "w"), ("y",), ("FullyConnectedOptions", {})),
    ]
    graph = lower_program(load_tflite(model(values, nodes, ["x"], ["y"])))
    assert [op.kind for op in graph.ops] == ["conv2d"]
    assert np.array_equal(graph.ops[0].params["weight"].reshape(4, 6), weight.astype(np.float32))


def test_weights_of_8_bits_in_a_float_network_are_floats() -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (4, 6)).astype(np.int8)
    values = [
        Value("x", (1, 6), "float32"),
        Value("w", (4, 6), "int8", (0.5, 0.25, 1.0, 2.0), (0, 0, 0, 0), 0, weight),
        Value("y", (1, 4), "float32"),
    ]
    nodes = [Node("FULLY_CONNECTED", ("x", "w"), ("y",), ("FullyConnectedOptions", {}))]
    graph = lower_program(load_tflite(model(values, nodes, ["x"], ["y"])))
    wanted = weight * np.array([[0.5], [0.25], [1.0], [2.0]])
    assert np.array_equal(graph.ops[0].params["weight"].reshape(4, 6), wanted.astype(np.float32))


def test_several_outputs_and_one_that_is_read_on(tmp_path: Path) -> None:
    values = [Value(name, (1, 3, 3, 2), "float32") for name in ("x", "a", "b")]
    nodes = [Node("RELU", ("x",), ("a",)), Node("LOGISTIC", ("a",), ("b",))]
    file = model(values, nodes, ["x"], ["a", "b"])
    x = np.random.default_rng(0).normal(0, 1, (3, 1, 3, 3, 2)).astype(np.float32)
    made = on_host(lower_program(load_tflite(file)), x, tmp_path)
    for place, one in enumerate(made):
        wanted = np.stack([run(file, part)[place].reshape(-1) for part in x])
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)


# What is refused


def node(kind: str, options: Any, *inputs: Value, made: Value | None = None) -> bytes:
    return single(kind, options, list(inputs), made or Value("y", (1, 4, 4, 3), "float32"))


X = Value("x", (1, 4, 4, 3), "float32")
Q = Value("x", (1, 4, 4, 3), "int8", (0.1,), (3,))
CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
WEIGHT = Value("w", (3, 1, 1, 3), "float32", array=np.ones((3, 1, 1, 3), np.float32))
POOL = {"StrideH": 1, "StrideW": 1, "FilterHeight": 2, "FilterWidth": 2}
AXES = Value("axes", (1,), "int32", array=np.array([3], np.int32))
REFUSED = {
    "an operator": (node("COS", None, X), "y (COS) cannot be lowered; "),
    "an activation": (
        node("ADD", ("AddOptions", {"FusedActivationFunction": 4}), X, X),
        "y (ADD) has fused_activation_function=4",
    ),
    "a stride": (node("CONV_2D", ("Conv2DOptions", CONV | {"StrideW": 0}), X, WEIGHT), "y (CONV_2D) has stride=(1, 0)"),
    "a padding": (node("CONV_2D", ("Conv2DOptions", CONV | {"Padding": 7}), X, WEIGHT), "y (CONV_2D) has padding=7"),
    "a dilation": (
        node("CONV_2D", ("Conv2DOptions", CONV | {"DilationHFactor": 0}), X, WEIGHT),
        "y (CONV_2D) has dilation=(0, 1)",
    ),
    "a filter": (
        node("MAX_POOL_2D", ("Pool2DOptions", POOL | {"FilterHeight": -1}), X),
        "y (MAX_POOL_2D) has filter=(-1, 2)",
    ),
    "a batch": (
        node("RELU", None, Value("x", (2, 4, 4, 3), "float32"), made=Value("y", (4, 4, 4, 3), "float32")),
        "y (clip) makes [2, 4, 4, 3], where",
    ),
    "a beta": (node("SOFTMAX", ("SoftmaxOptions", {"Beta": 2.0}), X), "y (SOFTMAX) has beta=2; supported is 1"),
    "corners": (
        node(
            "RESIZE_NEAREST_NEIGHBOR",
            ("ResizeNearestNeighborOptions", {"AlignCorners": True}),
            X,
            Value("s", (2,), "int32", array=np.array([4, 4], np.int32)),
        ),
        "y (RESIZE_NEAREST_NEIGHBOR) has align_corners=True",
    ),
    "an axis": (
        node("MEAN", ("ReducerOptions", {}), X, Value("a", (1,), "int32", array=np.array([4], np.int32))),
        "y (MEAN) has axis=4 for 4 axes",
    ),
    "a type": (
        node(
            "RELU",
            None,
            Value("x", (1, 4, 4, 3), "int16", (0.1,), (0,)),
            made=Value("y", (1, 4, 4, 3), "int16", (0.1,), (0,)),
        ),
        "x, which is INT16",
    ),
    "integers without a scale": (
        node("RELU", None, Value("x", (1, 4, 4, 3), "int8"), made=Value("y", (1, 4, 4, 3), "int8")),
        "int8 without a scale",
    ),
    "another scale": (
        node("MAX_POOL_2D", ("Pool2DOptions", POOL), Q, made=Value("y", (1, 3, 3, 3), "int8", (0.2,), (3,))),
        "on another scale",
    ),
    "two types": (node("RELU", None, Q), "turns int8 into float32"),
    "a scale of 0": (
        node(
            "RELU",
            None,
            Value("x", (1, 4, 4, 3), "int8", (0.0,), (0,)),
            made=Q.__class__("y", Q.shape, "int8", (0.1,), (3,)),
        ),
        "has the scale [0.0]",
    ),
    "a zero point": (
        node(
            "RELU",
            None,
            Value("x", (1, 4, 4, 3), "int8", (0.1,), (300,)),
            made=Q.__class__("y", Q.shape, "int8", (0.1,), (3,)),
        ),
        "has the zero point [300]",
    ),
    "many scales": (
        node(
            "RELU",
            None,
            Value("x", (1, 4, 4, 3), "int8", (0.1, 0.1, 0.1), (0, 0, 0), 3),
            made=Q.__class__("y", Q.shape, "int8", (0.1,), (3,)),
        ),
        "3 scales",
    ),
    "weights": (
        node(
            "CONV_2D",
            ("Conv2DOptions", CONV),
            X,
            Value("w", (3, 1, 1, 2), "float32", array=np.ones((3, 1, 1, 2), np.float32)),
        ),
        "for 3 channels",
    ),
    "weights that are no constant": (
        model(
            [X, Value("w", (3, 1, 1, 3), "float32"), Value("y", (1, 4, 4, 3), "float32")],
            [Node("RESHAPE", ("x",), ("w",)), Node("CONV_2D", ("x", "w"), ("y",), ("Conv2DOptions", CONV))],
            ["x"],
            ["y"],
        ),
        "(reshape)",
    ),
    "several inputs": (
        model(
            [X, Value("z", (1, 4, 4, 3), "float32"), Value("y", (1, 4, 4, 3), "float32")],
            [Node("ADD", ("x", "z"), ("y",), ("AddOptions", {}))],
            ["x", "z"],
            ["y"],
        ),
        "it has 2 inputs (x, z); supported is one",
    ),
    "what is not made": (
        model(
            [X, Value("z", (1, 4, 4, 3), "float32"), Value("y", (1, 4, 4, 3), "float32")],
            [Node("ADD", ("x", "z"), ("y",), ("AddOptions", {}))],
            ["x"],
            ["y"],
        ),
        "nothing before it makes",
    ),
    "a mirror": (node("MIRROR_PAD", None, X), "(MIRROR_PAD) cannot be lowered; supported are ADD, "),
    "a variable": (node("VAR_HANDLE", None, X), "(VAR_HANDLE) cannot be lowered"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(what: str, tmp_path: Path) -> None:
    file, text = REFUSED[what]
    path = tmp_path / "model.tflite"
    path.write_bytes(file)
    with pytest.raises(UserError) as caught:
        load_model(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and text in line


def test_options_of_all_operators_are_read() -> None:
    """Of those that have any here."""
    kinds = {case.kind for case in CASES}
    assert set(OPTIONS) - kinds <= {"DIV"}


def test_division_by_a_constant_is_a_product(tmp_path: Path) -> None:
    divisor = np.random.default_rng(0).uniform(1, 3, 3).astype(np.float32)
    file = node("DIV", ("DivOptions", {}), X, Value("d", (3,), "float32", array=divisor))
    x = np.random.default_rng(1).normal(0, 1, (2, 1, 4, 4, 3)).astype(np.float32)
    made = on_host(lower_program(load_tflite(file)), x, tmp_path)[0]
    np.testing.assert_allclose(made, (x / divisor).reshape(2, -1), rtol=1e-6)


def test_it_takes_less_than_a_second(tmp_path: Path) -> None:
    """And no torch: a file of 1 MB, loaded, lowered and planned in a process of its own."""
    import subprocess

    weight = np.random.default_rng(0).integers(-127, 128, (1000, 1000)).astype(np.int8)
    values = [
        Value("x", (1, 1000), "int8", (0.1,), (0,)),
        Value("w", (1000, 1000), "int8", (0.01,), (0,), 0, weight),
        Value("y", (1, 1000), "int8", (0.1,), (0,)),
    ]
    path = tmp_path / "large.tflite"
    nodes = [Node("FULLY_CONNECTED", ("x", "w"), ("y",), ("FullyConnectedOptions", {}))]
    path.write_bytes(model(values, nodes, ["x"], ["y"]))
    code = (
        "import sys, time; from pathlib import Path; start = time.process_time()\n"
        "from kilobench.compile.imports import load_model; from kilobench.compile.emit import emit\n"
        f"emit(load_model(Path({str(path)!r})), Path({str(tmp_path)!r}), 'large')\n"
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, torch = done.stdout.split()
    assert float(seconds) < 1 and torch == "False"


if __name__ == "__main__":
    for one in CASES:
        if one.name not in BESIDE:
            x = inputs_of(one, "int8")
            graph = lower_program(load_tflite(file_of(one, "int8")), "tflite")
            for made, want in zip(simulated(graph, x), wanted_of(one, "int8", x), strict=True):
                assert np.array_equal(made, want), one.name
    GOLDEN.write_text(json.dumps(digests(), indent=1) + "\n")
