"""Speed of what users wait for: host evaluation, emulation, planning and rendering. Compare within one run, as ratios."""

from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kilobench.api import Board, Network, Task
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.emit import emit
from kilobench.graph import Graph
from kilobench.host import HostModel
from kilobench.lower import lower
from kilobench.plan import plan
from kilobench.registry import load_registry
from kilobench.suite import load_suite
from kilobench.train import seed_everything

BOARDS = ("nucleo_l476rg", "raspberry_pi_pico")


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
    benchmark(plan, suite, registry, "emulated", "zig")


def test_host_inferences(benchmark: BenchmarkFixture, model: tuple[Path, Graph]) -> None:
    host = HostModel(model[0])
    inputs = np.zeros((450, *model[1].tensors[model[1].input].shape), dtype=np.float32)
    benchmark(host.run, inputs)


@pytest.mark.parametrize("name", BOARDS)
def test_emulated_inference(benchmark: BenchmarkFixture, model: tuple[Path, Graph], name: str, tmp_path: Path) -> None:
    board: Board = load_registry().get("boards", name)
    firmware = build(model[0], board, tmp_path, "zig")
    with EmulatedBoard(firmware.elf, board, enlarged=False) as emulated:
        session = Session(emulated, name)
        session.load(bytes(4 * int(np.prod(model[1].tensors[model[1].input].shape))))
        benchmark(session.infer)
        benchmark.extra_info["cycles"] = session.cycles()
