# SPDX-License-Identifier: Apache-2.0
"""What stands before and behind a network: in NumPy, in C on the host, on an emulated board, and beside TFLite-Micro."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.ends import anomaly_score
from kilobench.compile.graph import DType, Graph
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.host import HostModel
from kilobench.compile.imports import load_model
from kilobench.compile.simulate import simulate
from kilobench.measuring.cost import cost
from kilobench.plugins.registry import load_registry
from tests.compile import mlperf
from tests.compile.graphs import Builder

Array = np.ndarray[Any, Any]


def autoencoder(source: DType, made: DType, shape: tuple[int, int, int] = (1, 1, 40)) -> Graph:
    b = Builder(0)
    x = b.tensor(shape, source)
    hidden = b.conv(x, source, out=9, kernel=shape[:2], stride=(1, 1), padding=(0, 0))
    last = b.conv(hidden, source, out=40, kernel=(1, 1), stride=(1, 1), padding=(0, 0))
    if made != source:
        last = b.op("dequantise", [last], b.tensor(last.shape, made), {}, {})
    return b.graph(x, last)


def by_hand(graph: Graph, x: Array) -> Array:
    """The mean squared error in double precision, of float32 inputs [n, h, w, c]."""
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    given = x
    if source.dtype == "int8":
        given = np.clip(np.rint(x / np.float32(source.scale)) + source.zero_point, -128, 127).astype(np.int8)
    found = simulate(graph, given)[graph.output].astype(np.float64)
    if made.dtype == "int8":
        found = (found - made.zero_point) * made.scale
    return ((found.reshape(len(x), -1) - x.reshape(len(x), -1)) ** 2).mean(axis=1)


def on_host(graph: Graph, x: Array, folder: Path) -> Array:
    check_graph(graph)
    emit(graph, folder, "score")
    return HostModel(folder).run(x.reshape(len(x), 1, 1, -1))[:, 0]


@pytest.mark.parametrize("shape", [(1, 1, 40), (1, 5, 8)])
@pytest.mark.parametrize(("source", "made"), [("int8", "int8"), ("float32", "float32"), ("int8", "float32")])
def test_an_anomaly_score_is_the_mean_squared_error(
    source: DType, made: DType, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    graph = autoencoder(source, made, shape)
    x = np.random.default_rng(0).normal(0, 2, (50, *shape)).astype(np.float32)
    scored = anomaly_score(graph)
    assert [scored.tensors[name].dtype for name in (scored.input, scored.output)] == ["float32"] * 2
    assert [scored.tensors[name].shape for name in (scored.input, scored.output)] == [(1, 1, 40), (1, 1, 1)]
    np.testing.assert_allclose(on_host(scored, x, tmp_path), by_hand(graph, x), rtol=1e-5)


def test_a_score_is_in_the_units_that_come() -> None:
    graph = autoencoder("int8", "int8", (1, 5, 8))
    x = np.random.default_rng(0).normal(0, 2, (50, 1, 1, 40)).astype(np.float32)
    one, hundred = anomaly_score(graph), anomaly_score(graph, 100.0)
    check_graph(hundred)
    found = simulate(hundred, 100 * x)[hundred.output]
    np.testing.assert_allclose(found, 1e4 * simulate(one, x)[one.output], rtol=1e-3)
    with pytest.raises(ValueError, match="a float32 network takes other values, in units of 100; take int8"):
        anomaly_score(autoencoder("float32", "float32"), 100.0)


def test_a_board_has_the_bits_of_the_host() -> None:
    board = load_registry().get("boards", "nucleo_l4r5zi")
    assert cost(anomaly_score(autoencoder("int8", "int8")), board, "zig").cycles


@pytest.mark.skipif(not mlperf.there(), reason="KILOBENCH_DATA holds no mlperf-tiny")
def test_mlperf_tiny_is_scored_as_by_tflite_micro(tmp_path: Path) -> None:
    graph = load_model(mlperf.path_of("ad01_int8"), "tflite")
    x = np.random.default_rng(0).normal(-20, 20, (20, 640)).astype(np.float32)
    source, made = graph.tensors[graph.input], graph.tensors[graph.output]
    q = np.clip(np.rint(x / np.float32(source.scale)) + source.zero_point, -128, 127).astype(np.int8)
    outputs = (mlperf.micro_outputs("ad01_int8", q).astype(np.float64) - made.zero_point) * made.scale
    scores = on_host(anomaly_score(graph), x.reshape(-1, 1, 1, 640), tmp_path)
    np.testing.assert_allclose(scores, ((outputs - x) ** 2).mean(axis=1), rtol=1e-5)


def test_what_makes_no_copy_of_its_input_has_no_score() -> None:
    b = Builder(0)
    x = b.tensor((1, 1, 40), "int8")
    graph = b.graph(x, b.conv(x, "int8", out=12, kernel=(1, 1), stride=(1, 1), padding=(0, 0)))
    with pytest.raises(ValueError, match=r"it turns int8 \(1, 1, 40\) into int8 \(1, 1, 12\); an autoencoder"):
        anomaly_score(graph)
    with pytest.raises(ValueError, match="it turns float32"):
        anomaly_score(anomaly_score(autoencoder("int8", "int8")))
