# SPDX-License-Identifier: Apache-2.0
"""Cycles per multiply-accumulate of single operators inside the firmware, and the speed of host C."""

import zlib
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kilobench.compile.counts import macs
from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph, Tensor
from kilobench.compile.host import HostModel
from kilobench.contracts import Board
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import HAS_DEPTHWISE, Builder, random_inputs
from tests.fuzz.batch import Case
from tests.untrained import untrained

Report = Callable[[str, float], None]
M4, M0PLUS = "nucleo_l476rg", "raspberry_pi_pico"


def single(shape: tuple[int, int, int], dtype: DType, add: Callable[[Builder, Tensor], Tensor]) -> Graph:
    """A graph of one operator."""
    b = Builder(0, wild=False)
    source = b.tensor(shape, dtype)
    return b.graph(source, add(b, source))


def conv(shape: tuple[int, int, int], dtype: DType, out: int, kernel: int) -> Graph:
    pad = kernel // 2
    return single(shape, dtype, lambda b, x: b.conv(x, dtype, out, (kernel, kernel), (1, 1), (pad, pad)))


def resnet8() -> Graph:
    """The image network of MLPerf Tiny."""
    return untrained("resnet8[width=16]", "int8", (3, 32, 32), 10)


def binary_network() -> Graph:
    """Four binary convolutions, and a binary layer with 10 outputs so that the last map is int8."""
    b = Builder(0, wild=False)
    source = x = b.tensor((16, 16, 64), "bit")
    for _ in range(4):
        x = b.conv(x, "bit", 64, (3, 3), (1, 1), (1, 1))
    return b.graph(source, b.conv(x, "int8", 10, (16, 16), (1, 1), (0, 0)))


GRAPHS: dict[str, Callable[[], Graph]] = {
    "int8_conv3x3": lambda: conv((16, 16, 32), "int8", 32, 3),
    "int8_pointwise": lambda: conv((16, 16, 32), "int8", 32, 1),
    "int8_depthwise3x3": lambda: single((16, 16, 32), "int8", lambda b, x: b.depthwise(x, (3, 3), (1, 1), (1, 1))),
    "int8_dense": lambda: conv((1, 1, 1024), "int8", 64, 1),
    "int16_conv1x9": lambda: single((1, 30225, 1), "int16", lambda b, x: b.conv(x, "int8", 7, (1, 9), (1, 2), (0, 0))),
    "int16_conv3x3": lambda: single((32, 32, 3), "int16", lambda b, x: b.conv(x, "int8", 16, (3, 3), (1, 1), (1, 1))),
    "binary_conv3x3": lambda: conv((16, 16, 64), "bit", 64, 3),
    "fp32_conv3x3": lambda: conv((16, 16, 32), "float32", 32, 3),
    "resnet8_int8": resnet8,
    "m0plus_int8_conv3x3": lambda: conv((16, 16, 32), "int8", 32, 3),
}


@pytest.mark.parametrize("kernel", GRAPHS)
def test_cycles_per_mac(benchmark: BenchmarkFixture, kernel: str, cycles_per_mac: Report, tmp_path: Path) -> None:
    if "depthwise" in kernel and not HAS_DEPTHWISE:
        pytest.skip("graphs have no depthwise_conv2d")
    graph = GRAPHS[kernel]()
    board: Board = load_registry().get("boards", M0PLUS if kernel.startswith("m0plus") else M4)
    case = Case(kernel, graph, random_inputs(graph, 1, 0))
    emit(graph, tmp_path, kernel)
    firmware = build(tmp_path, board, tmp_path / "build", "zig")
    with EmulatedBoard(firmware.elf, firmware.linked) as emulated:
        session = Session(emulated, board.name)
        session.load(case.input_bytes)
        layers = benchmark.pedantic(session.layers, rounds=1)
    if graph.tensors[graph.output].dtype != "float32":
        assert layers[-1][2] == zlib.crc32(case.expected[0].tobytes())
    cycles_per_mac(kernel, sum(cycles for _, cycles, _ in layers) / sum(macs(graph).values()))


@pytest.mark.parametrize(("kernel", "make"), [("host_int8", resnet8), ("host_binary", binary_network)])
def test_host_speed(
    benchmark: BenchmarkFixture,
    kernel: str,
    make: Callable[[], Graph],
    gmac_per_second: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    graph, count = make(), 16
    case = Case(kernel, graph, random_inputs(graph, count, 0))
    emit(graph, tmp_path, kernel)
    host = HostModel(tmp_path)
    size = graph.tensors[graph.input].bytes
    inputs = np.frombuffer(case.input_bytes, dtype=np.uint8).reshape(count, size)
    assert np.array_equal(host.run(inputs), np.array(case.expected))
    seconds = []

    def run() -> None:
        start = process_time()
        host.run(inputs)
        seconds.append(process_time() - start)

    benchmark.pedantic(run, rounds=5)
    gmac_per_second(kernel, count * sum(macs(graph).values()) / min(seconds) / 1e9)
