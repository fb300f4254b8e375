# SPDX-License-Identifier: Apache-2.0
"""Speed of what users wait for: host evaluation, emulation, planning and rendering. Compare within one run, as ratios."""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal, cast

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.speed.conftest import EMULATOR, Report
from benchmarks.speed.rows import M4, NETS
from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, Tensor
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower
from kilobench.contracts import Network, Task
from kilobench.device.build import Firmware, build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.learn.train import seed_everything
from kilobench.plugins.registry import load_registry
from kilobench.runs.plan import plan
from kilobench.runs.suite import load_suite
from tests.compile.graphs import Builder

BOARDS = ("nucleo_l476rg", "raspberry_pi_pico")
NETWORKS, GOAL = ("ic", "kws", "vww", "ad"), 150
"""MLPerf Tiny's, and the millions of instructions a second that their median is to have."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Graph]:
    """An untrained residual network of digits: folder of its C and graph."""
    registry = load_registry()
    task: Task = registry.get("tasks", "digits")
    network: Network = registry.get("networks", task.network)
    seed_everything(0)
    graph = lower(network.build(task.input_shape, task.class_count, 0).eval(), task.input_shape)
    folder = tmp_path_factory.mktemp("model")
    emit(graph, folder, "speed")
    return folder, graph


def test_plan(benchmark: BenchmarkFixture) -> None:
    registry = load_registry()
    suite = load_suite(registry.find("suites", "quickstart").path, registry)
    benchmark(plan, suite, registry, "emulator", "zig")


def test_host_inferences(benchmark: BenchmarkFixture, model: tuple[Path, Graph]) -> None:
    host = HostModel(model[0])
    inputs = np.zeros((450, *model[1].tensors[model[1].input].shape), dtype=np.float32)
    benchmark(host.run, inputs)


def convolutions(dtype: Literal["int8", "bit"]) -> Graph:
    """Three random convolutions of one type on 32x32x16, and the maximum of the last one's pixels."""
    b = Builder(1)
    source = x = b.tensor((32, 32, 16), "int8")
    x = b.binarize(x) if dtype == "bit" else x
    for output in (dtype, dtype, "int8"):
        x = b.conv(x, cast(Literal["int8", "bit"], output))
    height, width, channels = x.shape
    largest = Tensor("largest", (1, 1, channels), x.dtype, x.scale, x.zero_point)
    b.tensors["largest"] = largest
    b.op("max_pool", [x], largest, {"kernel": (height, width), "stride": (1, 1), "padding": (0, 0)}, {})
    return b.graph(source, largest)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("kind", ["float32", "int8", "bit"])
def test_emulated_inference(
    benchmark: BenchmarkFixture,
    capsys: pytest.CaptureFixture[str],
    model: tuple[Path, Graph],
    kind: Literal["float32", "int8", "bit"],
    name: str,
    tmp_path: Path,
) -> None:
    """Prints millions of emulated instructions a second, counted in cycles all the while."""
    board: Board = load_registry().get("boards", name)
    folder, graph = model
    if kind != "float32":
        folder, graph = tmp_path, convolutions(kind)
        emit(graph, folder, kind)
    firmware = build(folder, board, tmp_path / "build", "zig")
    with EmulatedBoard(firmware.elf, firmware.linked) as emulated:
        session = Session(emulated, name)
        session.load(bytes(graph.tensors[graph.input].bytes))
        session.infer()
        before = emulated.instructions
        session.infer()
        instructions = emulated.instructions - before
        benchmark(session.infer)
        benchmark.extra_info["cycles"] = session.cycles()
    if benchmark.stats is not None:  # None under --benchmark-disable
        rate = instructions / benchmark.stats.stats.min
        benchmark.extra_info["instructions_per_second"] = round(rate)
        with capsys.disabled():
            print(f"\n{kind} on {name}: {rate / 1e6:.0f} million instructions a second")


class Emulation:
    """A network's firmware on an emulated board, and how fast it was."""

    def __init__(self, graph: Graph, firmware: Firmware, waits: bool) -> None:
        begin = perf_counter()
        self._board = EmulatedBoard(firmware.elf, firmware.linked, waits=waits)
        self._session = Session(self._board, M4)
        self._session.load(bytes(graph.tensors[graph.input].bytes))
        self.start = perf_counter() - begin
        self.seconds: list[float] = []
        self.infer()
        self.first = self.seconds.pop()

    def infer(self) -> None:
        """Once more, the results' way to the host included."""
        begin, before = perf_counter(), self._board.instructions
        self._session.infer()
        self.seconds.append(perf_counter() - begin)
        self.instructions = self._board.instructions - before

    def figures(self) -> tuple[float, float, float]:
        """Millions of instructions a second; ms until the first inference began, and that it took more than others."""
        least = min(self.seconds)
        return self.instructions / least / 1e6, 1e3 * self.start, 1e3 * (self.first - least)


def test_emulated_networks(benchmark: BenchmarkFixture, report: Report, tmp_path: Path) -> None:
    """The four in turn, so that what else runs on the machine slows them alike."""
    emulations = {}
    for name in NETWORKS:
        (folder := tmp_path / name).mkdir()
        emit(graph := NETS[name].graph(), folder, "network")
        firmware = build(folder, load_registry().get("boards", M4), folder / "build", "zig")
        emulations[name] = Emulation(graph, firmware, False), Emulation(graph, firmware, True)

    def infer() -> None:
        for plain, waiting in emulations.values():
            plain.infer()
            waiting.infer()

    benchmark.pedantic(infer, rounds=10)
    rates = []
    for name, (plain, waiting) in emulations.items():
        rate, start, more = plain.figures()
        times = min(waiting.seconds) / min(plain.seconds)
        rates.append(rate)
        report(
            EMULATOR,
            {name: {"m_instructions_per_second": rate, "start_ms": start, "first_ms": more, "with_flash": times}},
            (NETS[name].title, rate, None, start, more, times),
        )
    middle = median(rates)
    report(EMULATOR, {"m_instructions_per_second": middle}, ("median", middle, GOAL, None, None, None))
