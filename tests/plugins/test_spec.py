# SPDX-License-Identifier: Apache-2.0
import pytest
from kilobench.contrib.methods.prune import Prune
from kilobench.contrib.methods.xnor import Xnor

from kilobench.contracts import Training, UserError
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import (
    Spec,
    build,
    canonical,
    change_training,
    parameters,
    parse,
    parse_recipe,
    without_width,
)


def test_recipes_are_split_outside_brackets() -> None:
    specs = parse_recipe("prune[keep=0.2,rank=l1]+int8")
    assert specs == (Spec("prune", (("keep", "0.2"), ("rank", "l1"))), Spec("int8"))


def test_canonical_names_only_what_differs_from_the_defaults() -> None:
    assert canonical(build(Prune, parse("prune[rank=taylor,keep=0.2]"))) == "prune[keep=0.2]"
    assert canonical(build(Xnor, parse("xnor"))) == "xnor"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune[kep=0.2]", "prune has no parameter 'kep'; nearest is 'keep'"),
        ("prune[keep=much]", "prune: keep must be of type float, not 'much'"),
        ("prune[rank=tailor]", "prune: rank must be one of taylor, l1, hybrid, not 'tailor'; nearest is 'taylor'"),
        ("prune[keep]", "'prune[keep]': 'keep' is not of the form key=value"),
        ("prune[keep=0.1", "'prune[keep=0.1' is not of the form name[key=value,...]"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build(Prune, parse(text))
    assert str(error.value) == message


REGISTRY = load_registry()
MEANT = {("ternary", "threshold", "0")}
"""What may be 0: no weight becomes 0 by it."""


def numbers() -> list[tuple[str, str, str]]:
    """Kind, name and parameter of every number that a task, network or method takes."""
    return [
        (kind, name, parameter)
        for kind in ("tasks", "networks", "methods")
        for name in sorted(REGISTRY.entries[kind])
        for parameter, (type_, _) in parameters(REGISTRY.loaded(kind, name).value).items()
        if type_ in (int, float)
    ]


def test_numbers_are_found() -> None:
    assert {("methods", "xnor", "lr"), ("methods", "prune", "effort"), ("networks", "acdnet", "width")} <= set(
        numbers()
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "-1", "-0.5", "0", "0.0", "-0", "", "1,000"])
@pytest.mark.parametrize(("kind", "name", "parameter"), numbers())
def test_no_parameter_takes_a_number_that_means_nothing(kind: str, name: str, parameter: str, value: str) -> None:
    if (name, parameter, value.removesuffix(".0").removeprefix("-")) in MEANT:
        assert REGISTRY.get(kind, f"{name}[{parameter}={value}]")
        return
    with pytest.raises(UserError) as error:
        REGISTRY.get(kind, f"{name}[{parameter}={value}]")
    assert parameter in str(error.value) or "key=value" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_changed_training_is_as_long_as_its_epochs_or_steps_say() -> None:
    usual = Training(epochs=12, batch=50)
    assert usual.length(101) == 12 * 3
    assert change_training(usual, "steps=7").length(101) == 7
    assert change_training(usual, "epochs=2,batch=101").length(101) == 2
    in_steps = Training(steps=40)
    assert in_steps.length(1000) == 40
    assert change_training(in_steps, "lr=0.1").length(1000) == 40
    assert change_training(in_steps, "epochs=2").length(1000) == 2 * 20
    with pytest.raises(UserError, match="give epochs or steps, not both"):
        change_training(usual, "steps=7,epochs=2")


@pytest.mark.parametrize(
    ("spec", "rest"),
    [
        ("acdnet", "acdnet"),
        ("acdnet[width=0.5]", "acdnet"),
        ("acdnet[channels=paper,width=0.5]", "acdnet[channels=paper]"),
        ("acdnet[width=0.5,channels=paper]", "acdnet[channels=paper]"),
        ("mine[widths=3]", "mine[widths=3]"),
    ],
)
def test_a_network_is_told_without_its_width(spec: str, rest: str) -> None:
    assert without_width(spec) == rest
