# SPDX-License-Identifier: Apache-2.0
"""The largest size that keeps a budget: against costs made up here, and with real programs."""

from collections.abc import Callable
from typing import Any

import pytest

from kilobench.boards import Board
from kilobench.compile.lower import lower_for
from kilobench.contracts import Budget, Cost, Network, Task, silent
from kilobench.learn.untrained import finished
from kilobench.measuring import size as sizes
from kilobench.measuring.cost import cost
from kilobench.measuring.size import Search, Sized
from kilobench.plugins.registry import load_registry

REGISTRY = load_registry()
BOARD: Board = REGISTRY.get("boards", "nucleo_l476rg")
KIB = 1024


class Found:
    """A search where a size is a model, and the costs of its weights are made up; it counts what is built."""

    def __init__(
        self, patch: pytest.MonkeyPatch, weights: Callable[[float], int], **costs: Callable[[int], float]
    ) -> None:
        self.weights, self.costs, self.built = weights, costs, list[int]()
        patch.setattr(sizes, "lower_for", lambda task, size: size)
        patch.setattr(sizes, "_constants", weights)
        patch.setattr(sizes, "cost", self._cost)

    def _cost(self, size: float, board: Board, toolchain: str) -> Cost:
        assert board is BOARD and toolchain == "zig"
        weights = self.weights(size)
        self.built.append(weights)
        return self.cost(weights)

    def cost(self, weights: int) -> Cost:
        made = {name: each(weights) for name, each in self.costs.items()}
        flash, ram = int(made.get("flash", weights)), int(made.get("ram", 1))
        over = max(0, flash - BOARD.flash.bytes), max(0, ram - BOARD.ram_bytes)
        return Cost(flash, ram, 1, made.get("latency", 1.0), *over)

    def largest(self, low: float, high: float, start: float, **limits: float) -> Sized:
        identity: Any = lambda model: model  # noqa: E731
        budget = Budget(BOARD.name, **limits)
        found = Search(identity, identity, REGISTRY.get("tasks", "digits"), BOARD, budget, "zig", silent).largest(
            low, high, start
        )
        assert found.cost == self.cost(self.weights(found.size))
        assert found.keeps == (not found.cost.exceeds(budget))
        assert len(self.built) == len(set(self.built)) <= 13
        return found


def quadratic(size: float) -> int:
    return int(40 * size * size) + 100


@pytest.mark.parametrize("slope", [1.0, 1.07, 0.94])
@pytest.mark.parametrize("beside", [0, 9000, 30_000])
@pytest.mark.parametrize("start", [2.0, 16.0, 256.0])
@pytest.mark.parametrize("limit", [64, 256, 900])
def test_flash_is_filled_to_two_in_a_hundred(
    slope: float, beside: int, start: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a program takes beside its weights, and if it takes more or less of them as it grows."""
    search = Found(monkeypatch, quadratic, flash=lambda weights: beside + slope * weights)
    found = search.largest(1.0, 256.0, start, flash_bytes=limit * KIB)
    assert found.keeps and 0.98 * (limit * KIB - 256) <= found.cost.flash_bytes <= limit * KIB - 256
    assert len(search.built) <= 6


def test_the_boards_own_flash_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(monkeypatch, quadratic).largest(1.0, 256.0, 16.0)
    assert 0.98 * (BOARD.flash.bytes - 256) <= found.cost.flash_bytes <= BOARD.flash.bytes - 256


def test_all_of_it_is_taken_where_it_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Found(monkeypatch, quadratic)
    assert search.largest(1.0, 20.0, 5.0, flash_bytes=64 * KIB).size == 20
    assert len(search.built) == 2  # the smallest and the largest


@pytest.mark.parametrize("start", [16.0, 64.0])
@pytest.mark.parametrize(
    ("costs", "limits"),
    [
        ({"ram": lambda weights: 2000 + weights / 4}, {"ram_bytes": 12_000}),
        ({"latency": lambda weights: weights / 1000}, {"latency_ms": 40}),
        ({"ram": lambda weights: 2000 + weights / 4}, {"ram_bytes": 12_000, "flash_bytes": 128 * KIB}),
        ({"latency": lambda weights: weights / 1000}, {"latency_ms": 40, "flash_bytes": 128 * KIB, "ram_bytes": 99}),
        ({"ram": lambda weights: 3 * weights}, {"ram_bytes": 120_000, "latency_ms": 2}),
    ],
)
def test_ram_and_time_are_limits_too(
    costs: dict[str, Callable[[int], float]], limits: dict[str, float], start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every case 40 000 bytes of weights are the most: 31.6 wide."""
    found = Found(monkeypatch, quadratic, **costs).largest(1.0, 256.0, start, **limits)
    assert found.keeps and 0.97 * (39_900 / 40) ** 0.5 <= found.size <= (39_900 / 40) ** 0.5


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"flash_bytes": 100}, "flash by 0.1 KiB"),
        ({"ram_bytes": 512}, "RAM by 1.5 KiB"),
        ({"latency_ms": 0.5}, "time by 0.5 ms"),
        ({"flash_bytes": 100, "ram_bytes": 512, "latency_ms": 0.5}, "flash by 0.1 KiB, RAM by 1.5 KiB, time by 0.5 ms"),
    ],
)
def test_the_smallest_is_told_where_nothing_keeps_the_budget(
    limits: dict[str, float], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Found(monkeypatch, lambda size: int(200 * size), ram=lambda weights: 2048)
    found = search.largest(1.0, 256.0, 16.0, **limits)
    assert (found.size, found.keeps, search.built) == (1.0, False, [200])
    assert found.cost.exceeds(Budget(BOARD.name, **limits)) == told


def test_sizes_far_apart_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 20 000 bytes: three of them fit, and no program is built twice."""
    search = Found(monkeypatch, lambda size: 20_000 * max(1, int(size // 4)))
    found = search.largest(1.0, 256.0, 16.0, flash_bytes=70_000)
    assert found.cost.flash_bytes == 60_000 and len(search.built) <= 4


def test_what_exceeds_the_board_exceeds_every_budget() -> None:
    over = Cost(1000, 1000, 1, 1.0, over_flash_bytes=2048, over_ram_bytes=1024)
    assert over.exceeds(Budget(BOARD.name)) == "flash by 2.0 KiB, RAM by 1.0 KiB"
    assert Cost(1000, 1000, None, float("inf"), 0, 0).exceeds(Budget(BOARD.name, latency_ms=5)) == "time by inf ms"


def test_a_real_network_is_as_large_as_flash_allows() -> None:
    """The next wider one, by four channels in one place, no longer keeps the budget."""
    task: Task = REGISTRY.get("tasks", "digits")
    budget, int8 = Budget(BOARD.name, flash_bytes=32 * KIB), REGISTRY.get("methods", "int8")

    def built(width: float) -> Any:
        network: Network = REGISTRY.get("networks", f"resnet8[width={width}]")
        return network.build(task.input_shape, 10, 0)

    def finish(model: Any) -> Any:
        return finished(model, [int8], task)

    found = Search(built, finish, task, BOARD, budget, "zig", silent).largest(0.5, 128.0, 8.0)
    assert found.keeps and found.cost.flash_bytes <= 32 * KIB - 256
    graph = lower_for(task, finish(built(found.size)))
    assert cost(graph, BOARD, "zig") == found.cost
    count = [len(op.params["weight"].ravel()) for op in graph.ops if "weight" in op.params]
    wider = found.size
    while [len(op.params["weight"].ravel()) for op in graph.ops if "weight" in op.params] == count:
        wider *= 1.01
        graph = lower_for(task, finish(built(wider)))
    assert cost(graph, BOARD, "zig").flash_bytes > 32 * KIB - 256
