# SPDX-License-Identifier: Apache-2.0
"""Cycles per multiply-accumulate of layers and networks inside the firmware, and the speed of host C."""

import shutil
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.speed.conftest import Report
from benchmarks.speed.layers import cycles
from benchmarks.speed.points import Point
from benchmarks.speed.rows import LAYERS, M4, NETS, RATIOS, Net, resnet8
from kilobench.compile.counts import macs
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.device.build import build
from kilobench.device.elf import sizes
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from kilobench.toolchain import GCC, Toolchain
from tests.compile.graphs import Builder, random_inputs
from tests.fuzz.batch import Case

CLOCK_HZ = 120e6
HOST = {"host_int8": ("int8 ResNet-8", 1.0), "host_binary": ("binary conv 3x3, 16x16x64 -> 64, four", 10.0)}
"""G MAC/s of one core that host C should reach."""


def each(points: list[Point], board: str, toolchain: Toolchain = "zig") -> list[float]:
    """Cycles per MAC, or per value, of points on a board."""
    spent = cycles([point.case for point in points], load_registry().get("boards", board), toolchain)
    bounds = (point.bound for point in points)
    counts = (bound.macs() or int(np.prod(bound.output.shape)) for bound in bounds)
    return [made / count for made, count in zip(spent, counts, strict=True)]


@pytest.mark.parametrize("name", LAYERS)
def test_layer(benchmark: BenchmarkFixture, name: str, report: Report) -> None:
    row = LAYERS[name]
    points = row.points()
    zig = benchmark.pedantic(each, (points, row.board), rounds=1)
    figures, by_gcc = {"kernel": name, "cycles_per_mac": max(zig)}, None
    if shutil.which(GCC):
        gcc = each(points, row.board, "gcc")
        by_gcc = figures["gcc_over_zig"] = max(a / b for a, b in zip(gcc, zig, strict=True))
    cells = (row.title, max(zig), row.reach, row.aim, row.anchors, by_gcc)
    report("cycles per MAC on the emulated boards", figures, cells)


@pytest.mark.parametrize("name", RATIOS)
def test_ratio(benchmark: BenchmarkFixture, name: str, report: Report) -> None:
    row = RATIOS[name]
    points, others = row.points(), row.others()
    costs = benchmark.pedantic(each, ([*points, *others], M4), rounds=1)
    ratio = max(a / b for a, b in zip(costs[: len(points)], costs[len(points) :], strict=True))
    report("ratios of cycles", {"kernel": name, "ratio": ratio}, (row.title, ratio, row.reach, row.aim))


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, int, int]]:
    """Cycles, runtime flash and multiply-accumulates of a network's firmware on its board."""

    @cache
    def measure(net: Net, toolchain: Toolchain = "zig") -> tuple[int, int, int]:
        graph, board, folder = net.graph(), load_registry().get("boards", net.board), tmp_path_factory.mktemp("net")
        case = Case(net.title, graph, random_inputs(graph, 1, 0))
        emit(graph, folder, "network")
        firmware = build(folder, board, folder / "build", toolchain)
        with EmulatedBoard(firmware.elf, firmware.linked) as emulated:
            session = Session(emulated, board.name)
            session.load(case.input_bytes)
            layers = session.layers()
        if graph.tensors[graph.output].dtype != "float32":
            assert layers[-1][2] == zlib.crc32(case.expected[0].tobytes())
        return sum(spent for _, spent, _ in layers), sizes(firmware.elf).runtime, sum(macs(graph).values())

    return measure


@pytest.mark.parametrize("name", NETS)
def test_network(
    benchmark: BenchmarkFixture, name: str, measured: Callable[..., tuple[int, int, int]], report: Report
) -> None:
    net = NETS[name]
    spent, flash, products = benchmark.pedantic(measured, (net,), rounds=1)
    value = spent / (measured(NETS[net.over])[0] if net.over else products)
    ms = None if net.over else 1000 * spent / CLOCK_HZ
    figures = {"network": name, "cycles": spent, "ms": ms, "runtime_flash_bytes": flash}
    figures |= {"times_m4" if net.over else "cycles_per_mac": value}
    if by_gcc := measured(net, "gcc")[0] / spent if shutil.which(GCC) else None:
        figures["gcc_over_zig"] = by_gcc
    report("networks", figures, (net.title, value, net.reach, net.aim, net.anchors, spent, ms, net.best, flash, by_gcc))


def binary_network() -> Graph:
    """Four binary convolutions, and a binary layer with 10 outputs so that the last map is int8."""
    b = Builder(0, wild=False)
    source = x = b.tensor((16, 16, 64), "bit")
    for _ in range(4):
        x = b.conv(x, "bit", 64, (3, 3), (1, 1), (1, 1))
    return b.graph(source, b.conv(x, "int8", 10, (16, 16), (1, 1), (0, 0)))


@pytest.mark.parametrize(("kernel", "make"), [("host_int8", resnet8), ("host_binary", binary_network)])
def test_host_speed(
    benchmark: BenchmarkFixture,
    kernel: str,
    make: Callable[[], Graph],
    report: Report,
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
    speed = count * sum(macs(graph).values()) / min(seconds) / 1e9
    network, goal = HOST[kernel]
    report("G MAC/s of host C on one core", {"kernel": kernel, "gmac_per_second": speed}, (network, speed, goal))
