# SPDX-License-Identifier: Apache-2.0
"""What a recipe makes of a model without training is as large as with it."""

import pytest

from kilobench.compile.lower import lower
from kilobench.contracts import Budget, Method, UserError
from kilobench.learn.untrained import UntrainedJob, finished
from kilobench.plugins.registry import load_registry
from tests.learn.trained import digits, weights

REGISTRY = load_registry()


@pytest.mark.parametrize("recipe", ["int8", "qat", "ternary", "xnor", "xnor[layout=study]"])
def test_the_finished_form_has_the_operators_and_sizes_of_the_trained_one(recipe: str) -> None:
    task, before = digits().task, {name: value.clone() for name, value in digits().model.state_dict().items()}
    method: Method = REGISTRY.get("methods", recipe)
    graphs = [
        lower(model, task.input_shape)
        for model in (finished(digits().model, [method], task), digits().apply(recipe, steps=3))
    ]
    shapes = [[(op.kind, {name: v.shape for name, v in op.params.items()}) for op in graph.ops] for graph in graphs]
    assert shapes[0] == shapes[1]
    assert all((before[name] == value).all() for name, value in digits().model.state_dict().items())


def test_a_method_that_resizes_makes_the_smallest() -> None:
    methods = [REGISTRY.get("methods", name) for name in ("prune", "int8")]
    small = finished(digits().model, methods, digits().task, Budget("nucleo_l476rg", flash_bytes=1e6))
    assert weights(small) < 0.06 * weights(digits().model)


def test_nothing_is_measured_on_a_board() -> None:
    with pytest.raises(UserError, match="a method that measures candidates cannot be sized for a budget"):
        UntrainedJob(digits().task).cost(digits().model, "nucleo_l476rg")
