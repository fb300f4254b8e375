# SPDX-License-Identifier: Apache-2.0
"""A run on a Ray cluster of two nodes with caches of their own, one of which has the boards; a node killed in mid-run."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

ray = pytest.importorskip("ray", reason="kilobench[ray] is not installed")

from ray.cluster_utils import Cluster  # noqa: E402

from kilobench.plugins.registry import load_registry  # noqa: E402
from kilobench.plugins.suites import Suite  # noqa: E402
from kilobench.record import Record  # noqa: E402
from kilobench.runs.executors import InProcess, Limits  # noqa: E402
from kilobench.runs.plan import Cell, plan, points  # noqa: E402
from kilobench.runs.ray_executor import RayExecutor  # noqa: E402
from kilobench.runs.run import Outcome, run_cells, work_for  # noqa: E402
from kilobench.runs.work import Workshop  # noqa: E402
from tests.caches import new_cache  # noqa: E402

BOARDS = ("nucleo_l476rg", "raspberry_pi_pico")
SUITE = Suite(title="t", tasks=("digits",), recipes=("full", "int8"), boards=BOARDS, training="epochs=1")


def cells(suite: Suite = SUITE, link: str = "emulator") -> list[Cell]:
    registry = load_registry()
    return plan(points(suite, registry, link, "zig"), registry)


def run(executor: object) -> Outcome:
    return run_cells(work_for(cells(), retry_failed=False), executor, None, Console(file=StringIO()))  # type: ignore[arg-type]


def timeless(outcome: Outcome) -> list[dict[str, object]]:
    records: list[Record] = outcome.records
    return [record.model_dump(exclude={"times", "git_commit"}) for record in records]


@pytest.fixture
def caches(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """One per host; all use the compiler's part of the tests' own."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    return {name: new_cache(tmp_path / name, cache) for name in ("head", "trains", "boards", "boards2", "alone")}


@pytest.fixture
def cluster(caches: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without CPUs, on which the run is started, and a node that trains."""
    monkeypatch.setenv("KILOBENCH_CACHE", str(caches["head"]))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # as RayExecutor has it for "local"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    add(made, caches["trains"], num_cpus=2)
    yield made
    ray.shutdown()
    made.shutdown()


def add(cluster: Cluster, folder: Path, **resources: object) -> object:
    """A node whose workers have a cache of their own."""
    return cluster.add_node(object_store_memory=100 << 20, env_vars={"KILOBENCH_CACHE": str(folder)}, **resources)


def boards(count: int) -> dict[str, float]:
    return {f"board:{name}": count for name in BOARDS}


def test_records_are_those_of_one_process_and_work_is_done_where_it_belongs(
    cluster: Cluster, caches: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(cluster, caches["boards"], num_cpus=0, resources=boards(1))
    outcome = run(RayExecutor(cluster.address, Limits()))
    assert (outcome.measured, len(outcome.failed)) == (4, 0), outcome.failed
    assert len(list((caches["trains"] / "models").glob("*.safetensors"))) == 3
    assert not (caches["trains"] / "records").exists()
    assert len(list((caches["boards"] / "records").glob("*.json"))) == 4
    assert not (caches["boards"] / "models").exists()
    assert len(list((caches["head"] / "records").glob("*.json"))) == 4
    monkeypatch.setenv("KILOBENCH_CACHE", str(caches["alone"]))
    assert timeless(run(InProcess(Workshop(load_registry())))) == timeless(outcome)


def test_a_host_that_dies_is_replaced(cluster: Cluster, caches: dict[str, Path]) -> None:
    """One of two hosts with such boards is killed while it measures; the other does its work."""
    node = add(cluster, caches["boards"], num_cpus=0, resources=boards(1))
    add(cluster, caches["boards2"], num_cpus=0, resources=boards(1))
    executor = RayExecutor(cluster.address, Limits())

    def kill() -> None:
        while not list((caches["boards"] / "records").glob("*.lock")):
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run(executor)
    killer.join()
    assert (outcome.measured, len(outcome.failed)) == (4, 0), outcome.failed
    assert list((caches["boards2"] / "records").glob("*.json"))


def test_a_board_that_no_host_has_fails_its_cells_only(cluster: Cluster) -> None:
    """Training is done; the cells say what is missing."""
    planned = cells(replace(SUITE, boards=BOARDS[:1], recipes=("full",)), "serial")
    executor = RayExecutor(cluster.address, Limits())
    outcome = run_cells(work_for(planned, retry_failed=False), executor, None, Console(file=StringIO()))
    ((_, failed),) = outcome.failed.values()
    assert failed.reason == "no host of the Ray cluster announces board:nucleo_l476rg; it has no boards"
    assert not failed.lasting
