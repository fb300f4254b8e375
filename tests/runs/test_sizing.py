# SPDX-License-Identifier: Apache-2.0
"""Points with a budget: the sizes that are looked for, what is shared, and what depends on the budget."""

import dataclasses
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from kilobench.contracts import Cost, UserError, silent
from kilobench.files import write_kept
from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import Suite
from kilobench.runs import sizing
from kilobench.runs.executors import InProcess
from kilobench.runs.plan import Cell, Planner, Point, Sizing, plan, points
from kilobench.runs.units import size_unit, units
from kilobench.runs.work import Workshop

REGISTRY = load_registry()
BOARD = "nucleo_l476rg"
SMALL = Cost(30_000, 9000, 1_000_000, 12.5, 0, 0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    return tmp_path


def found_points(*recipes: str, budgets: tuple[str, ...] = ("64KiB",), **changes: object) -> list[Point]:
    suite = Suite("t", ("digits",), recipes, (BOARD,), budgets=budgets, **changes)  # type: ignore[arg-type]
    return points(suite, REGISTRY, "emulator", "zig")


def put(point: Point, search: Sizing, size: float, keeps: bool = True) -> None:
    """The product of a search, as if it had been made."""
    values = {"size": size, "cost": dataclasses.asdict(SMALL), "keeps": keeps}
    write_kept(size_unit(point, search).path, json.dumps(values).encode())


def cells(recipe: str, budget: str = "none", network: str | None = None, effort: float = 2.6) -> Cell:
    (point,) = found_points(recipe, budgets=(budget,), network=network, effort=effort)
    return plan([point], REGISTRY)[0]


def keys(cell: Cell) -> list[str]:
    return [stage.key for stage in cell.model.stages]


def test_points_with_a_budget_are_given_the_width_that_was_found() -> None:
    wanted = found_points("int8", "xnor", budgets=("none", "64KiB"))
    searches = sizing.sizes(wanted, REGISTRY)
    assert list(searches) == [point for point in wanted if point.budget]
    for point, search in searches.items():
        put(point, search, 12.5 if point.recipe == "int8" else 40.0)
    fitting, too_large, unsuited = sizing.sized(wanted, searches)
    assert not too_large and not unsuited
    made = {(point.recipe, bool(point.budget)): point.network for point in fitting}
    assert made == {
        ("int8", False): None,
        ("int8", True): "resnet8[width=12.5]",
        ("xnor", False): None,
        ("xnor", True): "resnet8[width=40]",
    }
    assert [dataclasses.replace(point, network=None) for point in fitting] == wanted


def test_a_recipe_that_resizes_keeps_the_width_that_it_has() -> None:
    (point,) = found_points("prune+int8", network="resnet8[width=24]")
    searches = sizing.sizes([point], REGISTRY)
    put(point, searches[point], 0.0)
    assert sizing.sized([point], searches)[0] == [dataclasses.replace(point, network="resnet8[width=24]")]


def test_what_no_size_keeps_is_told_with_the_smallest() -> None:
    wanted = found_points("int8", budgets=("64KiB", "flash=20KiB,latency=10ms"))
    searches = sizing.sizes(wanted, REGISTRY)
    put(wanted[0], searches[wanted[0]], 8.0)
    put(wanted[1], searches[wanted[1]], 0.5, keeps=False)
    fitting, (missing,), _ = sizing.sized(wanted, searches)
    assert [point.budget for point in fitting] == [f"flash=64KiB,board={BOARD}"]
    assert (missing.point, missing.smallest) == (wanted[1], SMALL)
    assert missing.line == (
        f"digits int8: no size keeps flash=20KiB,latency=10ms,board={BOARD}; the smallest takes 29.3 KiB of flash, "
        "8.8 of RAM, 12.5 ms"
    )


def test_one_search_serves_all_seeds_and_boards() -> None:
    suite = Suite(
        "t", ("digits",), ("int8", "int8[batches=8]"), (BOARD, "nrf52840_dk"), seeds=(0, 1, 2), budgets=("64KiB",)
    )
    wanted = points(suite, REGISTRY, "emulator", "zig")
    searches = sizing.sizes(wanted, REGISTRY)
    assert len(wanted) == 12 and len({search.key for search in searches.values()}) == 1
    work = sizing.unknown(searches)
    assert len(work.units) == 1
    put(wanted[0], searches[wanted[0]], 8.0)
    assert not sizing.unknown(searches).units


def test_a_search_depends_on_what_it_measures() -> None:
    recipes, budgets = ("int8", "xnor", "int8[input=int16]"), ("64KiB", "32KiB", "ram=9KiB", "board=raspberry_pi_pico")
    found = sizing.sizes(found_points(*recipes, budgets=budgets), REGISTRY)
    found |= sizing.sizes(found_points("int8", network="resnet8[width=9]"), REGISTRY)
    assert len({search.key for search in found.values()}) == len(found) == 13
    (same,) = sizing.sizes(found_points("int8", budgets=("flash=65536B",), seeds=(7,), effort=5.2), REGISTRY).values()
    assert same.key in {search.key for search in found.values()}


def test_a_network_of_a_width_is_trained_alike_whatever_asked_for_it() -> None:
    network = "resnet8[width=12.5]"
    for recipe in ("full", "int8", "xnor", "xnor+int8"):
        plain, small, large = (cells(recipe, budget, network) for budget in ("none", "32KiB", "64KiB"))
        assert keys(plain) == keys(small) == keys(large)
        assert len({cell.model.evaluation_key for cell in (plain, small, large)}) == 3
    assert keys(cells("int8", "64KiB", "resnet8[width=12]"))[0] != keys(cells("int8", "64KiB", network))[0]


def test_a_pruned_model_depends_on_its_budget_and_on_what_follows() -> None:
    plain, small, large = (cells("prune+int8", budget) for budget in ("none", "32KiB", "64KiB"))
    assert len({keys(cell)[0] for cell in (plain, small, large)}) == 1
    assert len({keys(cell)[1] for cell in (plain, small, large)}) == 3
    assert keys(small)[1] != keys(cells("prune+int8[input=int16]", "32KiB"))[1]
    assert keys(plain)[1] == keys(cells("prune+int8[input=int16]"))[1]
    assert [board.name for board in small.model.costing] == [BOARD] and not plain.model.costing


def test_the_first_training_is_shared_by_recipes_that_train_on() -> None:
    first = {keys(cells(recipe))[0] for recipe in ("xnor", "prune+int8", "prune+xnor", "distill+qat", "ternary")}
    first |= {keys(cells("prune+int8", budget))[0] for budget in ("32KiB", "64KiB")}
    first.add(keys(cells("xnor", effort=5.2))[0])
    assert len(first) == 1
    alone = {keys(cells(recipe))[0] for recipe in ("full", "int8", "distill+int8")}
    assert len(alone) == 1 and alone != first
    scratch = keys(cells("xnor[layout=study]"))[0]
    assert scratch not in first | alone


def test_the_units_of_a_pruned_model_are_found_again_by_their_points() -> None:
    """How large it becomes depends on all of the recipe, which thus is part of the unit's point."""
    made = units([cells("prune+int8", "32KiB"), cells("xnor", "32KiB", "resnet8[width=20]"), cells("xnor+qat")])
    for unit in made.values():
        assert units([Planner(REGISTRY).cell(unit.point)])[unit.key] == unit
    pruned = next(unit for unit in made.values() if unit.kind == "train" and unit.stage == 1)
    assert pruned.point.recipe == "prune+int8" and not pruned.point.ends


def test_a_command_says_the_budget_and_no_width() -> None:
    cell = cells("int8", "ram=16KiB,flash=0.0625MiB", "resnet8[width=12.5]")
    assert cell.model.arguments == (
        "--task", "digits", "--recipe", "int8", "--budget", f"flash=64KiB,ram=16KiB,board={BOARD}", "--seed", "0", "--fold", "0",
    )  # fmt: skip
    assert "--network" in cells("int8", "none", "resnet8[width=12.5]").model.arguments


def test_a_search_that_the_user_can_mend_is_one(tmp_path: Path) -> None:
    (tmp_path / "stiff.py").write_text(
        "from kilobench.api import Network\nclass Stiff(Network):\n    'Of one size.'\n    name, reference = 'stiff', 'none'\n"
        "    def build(self, shape, classes, rate):\n        pass\n"
    )
    registry = load_registry([str(tmp_path / "stiff.py")])
    (point,) = points(
        Suite("t", ("digits",), ("int8",), (BOARD,), network="stiff", budgets=("64KiB",)), registry, "emulator", "zig"
    )
    work = sizing.unknown(sizing.sizes([point], registry))
    with pytest.raises(
        UserError, match=r"digits int8: size for flash=64KiB,board=.*: stiff has no width that could be"
    ):
        sizing.search(work, lambda units: InProcess(Workshop(registry)), Console(file=StringIO()))


def test_a_pruned_networks_search_builds_the_smallest_alone() -> None:
    wanted = found_points("prune+int8", budgets=("64KiB", "1KiB"))
    searches = sizing.sizes(wanted, REGISTRY)
    workshop = Workshop(REGISTRY)
    for point, search in searches.items():
        assert workshop.do(size_unit(point, search), silent) == ""
        assert workshop.do(size_unit(point, search), silent) is None
    fitting, too_large, _ = sizing.sized(wanted, searches)
    assert [point.network for point in fitting] == ["resnet8[width=8]"]
    assert [missing.point for missing in too_large] == wanted[1:]
