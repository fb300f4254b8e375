# SPDX-License-Identifier: Apache-2.0
"""The steps of a contest are equal for all recipes, and shared by weight."""

import math
import re

import pytest

from kilobench.contracts import Method, UserError
from kilobench.learn.effort import Span, require_steps, spans
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import parse_recipe

ENDS = {
    "full": {1.3: [1.3, 1.3], 2.6: [2.6, 2.6], 5.2: [5.2, 5.2]},
    "int8": {1.3: [1.3, 1.3], 2.6: [2.6, 2.6], 5.2: [5.2, 5.2]},
    "prune+int8": {1.3: [1, 1.3, 1.3], 2.6: [1, 2.6, 2.6], 5.2: [1, 5.2, 5.2]},
    "xnor": {1.3: [1, 1.3], 2.6: [1, 2.6], 5.2: [1, 5.2]},
    "prune+xnor": {1.3: [1, 1.15, 1.3], 2.6: [1, 1.8, 2.6], 5.2: [1, 3.1, 5.2]},
    "prune+qat": {1.3: [1, 1.24, 1.3], 2.6: [1, 2.28, 2.6], 5.2: [1, 4.36, 5.2]},
    "distill+xnor": {1.3: [1, 1, 1.3], 2.6: [1, 1, 2.6], 5.2: [1, 1, 5.2]},
    "distill[teacher=resnet8[width=2]]+prune+qat": {2.6: [1, 2, 2.48, 2.6], 5.2: [1, 2, 4.56, 5.2]},
    "xnor[layout=study]": {1.3: [0, 1.3], 2.6: [0, 2.6], 5.2: [0, 5.2]},
    "xnor[effort=3]+qat[effort=1]": {1.3: [1, 1.225, 1.3], 2.6: [1, 2.2, 2.6], 5.2: [1, 4.15, 5.2]},
}
"""Where the stages of recipes end, by the effort; prune and xnor weigh 1.6 and qat 0.4 unless they say otherwise."""
EFFORTS = (1.3, 2.6, 5.2)


REGISTRY = load_registry()


def methods(recipe: str) -> list[Method]:
    return [REGISTRY.get("methods", str(spec)) for spec in parse_recipe(recipe)]


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("recipe", ENDS)
def test_methods_share_what_the_first_training_leaves(recipe: str, effort: float) -> None:
    if effort not in ENDS[recipe]:
        with pytest.raises(UserError, match=r"after the first training and that of its teacher; give more than 2$"):
            spans(methods(recipe), effort)
        return
    found = spans(methods(recipe), effort)
    assert [span.end for span in found] == pytest.approx(ENDS[recipe][effort])
    assert [span.begin for span in found] == [0, *(span.end for span in found[:-1])]


def test_nothing_but_the_first_training_is_all_of_it() -> None:
    assert spans([], 2.6) == (Span(0, 2.6),)


@pytest.mark.parametrize("effort", [*EFFORTS, 1.01, 1.7, 1.82, 2.5, 2.905, 3.0, 10 / 3, 7.777])
def test_all_recipes_have_as_many_steps_whatever_the_training_is_long(effort: float) -> None:
    """Also those whose parts end in the middle of a step; what does not train has none."""
    possible = [recipe for recipe in ENDS if effort > 2 or "teacher" not in recipe]
    recipes = {recipe: (methods(recipe), spans(methods(recipe), effort)) for recipe in possible}
    for training in [*range(1, 600), 1347 * 12, 100_000, 999_999]:
        for recipe, (used, found) in recipes.items():
            steps = [span.steps(training) for span in found]
            assert sum(steps) == round(round(effort, 9) * training), (recipe, training)
            for method, span, count in zip([None, *used], found, steps, strict=True):
                assert abs(count - (span.end - span.begin) * training) <= 1 + 1e-6
                if method is not None and not (method.effort or method.taught_by):
                    assert count == 0, (recipe, training)


@pytest.mark.parametrize(
    ("recipe", "training", "expected"),
    [
        ("full", 10, [26, 0]),
        ("prune+int8", 10, [10, 16, 0]),
        ("prune+xnor", 10, [10, 8, 8]),
        ("prune+qat", 100, [100, 128, 32]),
        ("distill+xnor", 5, [5, 0, 8]),
        ("distill[teacher=resnet8]+xnor", 5, [5, 5, 3]),
        ("xnor[layout=study]", 10, [0, 26]),
        ("prune+qat", 1, [1, 1, 1]),
    ],
)
def test_steps_of_stages(recipe: str, training: int, expected: list[int]) -> None:
    assert [span.steps(training) for span in spans(methods(recipe))] == expected


@pytest.mark.parametrize("effort", [0.0, -1.0, 1e6, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("recipe", ["full", "xnor", "xnor[layout=study]"])
def test_an_effort_is_a_positive_number(recipe: str, effort: float) -> None:
    with pytest.raises(
        UserError, match=rf"must be a positive number of trainings below 1e\+06, not {re.escape(f'{effort:g}')}$"
    ):
        spans(methods(recipe), effort)


@pytest.mark.parametrize("effort", [0.5, 1.0])
def test_an_effort_leaves_something_to_methods_that_train(effort: float) -> None:
    for recipe, name in (("xnor", "xnor"), ("prune+int8", "prune"), ("distill+qat", "qat")):
        with pytest.raises(UserError, match=f"an effort of {effort:g} leaves nothing to {name} after the first"):
            spans(methods(recipe), effort)
    for recipe in ("full", "int8", "distill+int8", "xnor[layout=study]"):
        assert sum(span.steps(100) for span in spans(methods(recipe), effort)) == 100 * effort


def test_a_network_that_would_teach_nothing_is_refused() -> None:
    for recipe in ("distill[teacher=resnet8]", "distill[teacher=resnet8]+int8"):
        with pytest.raises(UserError, match="distill: resnet8 teaches nothing, as no method after it trains"):
            spans(methods(recipe), 2.6)


@pytest.mark.parametrize("recipe", ["distill+search", "distill+xnor[layout=study]"])
def test_a_method_that_begins_from_scratch_is_the_first(recipe: str) -> None:
    with pytest.raises(UserError, match="begins with the untrained network: it must be the first of its recipe"):
        spans(methods(recipe), 2.6)


def test_behind_one_that_resizes_a_method_may_begin_from_scratch() -> None:
    """XMini: the network is trained and pruned, and the weights of what is left are drawn anew."""
    assert [span.end for span in spans(methods("prune+xnor[layout=study]"), 2.6)] == pytest.approx([1.0, 1.8, 2.6])


def test_a_method_that_trains_has_a_step_at_least() -> None:
    used = methods("prune+int8")
    require_steps({"train": 0, "prune": 1, "int8": 0}, used)
    with pytest.raises(UserError, match="the effort is too small: prune has no step to train for"):
        require_steps({"train": 5, "prune": 0, "int8": 0}, used)
