# SPDX-License-Identifier: Apache-2.0
"""What is tried by default: all that is plugged in, in recipes that can be run."""

from pathlib import Path

import pytest

from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import canonical, parse_recipe
from kilobench.plugins.suites import Suite
from kilobench.runs.space import candidates, default_networks, default_recipes
from kilobench.runs.suite import check

REGISTRY = load_registry()
USUAL, VARIED = default_recipes(REGISTRY, 2.6)
MINE = """
from typing import Literal
from kilobench.api import Method, UserError

class Mine(Method):
    "Finishes."
    name, reference = "mine", "none"
    order = 40
    how: Literal["quick", "slow", "never"] = "quick"
    exact: bool = False
    lr: float = 1e-3

    def __post_init__(self):
        if self.how == "never":
            raise UserError("mine: never")

    def apply(self, model, job):
        return model
"""


@pytest.mark.parametrize("name", sorted(REGISTRY.entries["methods"]))
def test_every_method_is_in_a_recipe(name: str) -> None:
    assert any(name == spec.name for recipe in USUAL for spec in parse_recipe(recipe))


def test_all_recipes_can_be_run_and_are_there_once() -> None:
    check(Suite("t", ("digits",), (*USUAL, *VARIED), ("nucleo_l476rg",)), REGISTRY)
    assert len({*USUAL, *VARIED}) == len([*USUAL, *VARIED])


@pytest.mark.parametrize("recipe", [*USUAL, *VARIED])
def test_whoever_teaches_has_a_pupil(recipe: str) -> None:
    methods = [REGISTRY.get("methods", str(spec)) for spec in parse_recipe(recipe)]
    for place, method in enumerate(methods):
        assert not method.teaches or any(later.effort for later in methods[place + 1 :])


def test_an_effort_that_leaves_nothing_to_methods_leaves_them_out() -> None:
    usual, _ = default_recipes(REGISTRY, 1.0)
    assert {"full", "int8"} <= set(usual) < set(USUAL)


def test_a_plug_in_is_tried_with_each_of_its_choices(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    usual, varied = default_recipes(load_registry([str(tmp_path)]), 2.6)
    assert {"mine", "prune+mine"} <= set(usual)
    assert {recipe for recipe in varied if "mine[" in recipe} == {"mine[how=slow]", "mine[exact=true]"}
    assert {"prune[rank=l1]+int8", "prune[rank=l1]+mine"} <= set(varied)


@pytest.mark.parametrize("name", sorted(REGISTRY.entries["tasks"]))
def test_the_first_network_is_that_of_the_task(name: str) -> None:
    task = REGISTRY.get("tasks", name)
    own, *others = default_networks(task, REGISTRY)
    assert own == canonical(REGISTRY.get("networks", task.network))
    named = {spec.partition("[")[0] for spec in [own, *others]}
    assert named == set(REGISTRY.entries["networks"]) and len({own, *others}) == 1 + len(others)


def test_the_order_is_that_of_the_seed_after_the_usual_ones() -> None:
    networks, recipes = ["a", "b"], ["r", "s", "t"]
    order = candidates(networks, recipes, 2, 0)
    assert order == candidates(networks, recipes, 2, 0) and len(order) == 6
    assert [(one.network, one.recipe) for one in order[:2]] == [("a", "r"), ("a", "s")]
    orders = {tuple(candidates(networks, recipes, 2, seed)) for seed in range(20)}
    assert len(orders) > 10 and {frozenset(one) for one in orders} == {frozenset(order)}
