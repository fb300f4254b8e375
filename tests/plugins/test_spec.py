# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kilobench.contrib.methods.prune import Prune
from kilobench.contrib.methods.xnor import Xnor
from pydantic import TypeAdapter

from kilobench.contracts import _TRAINING_RANGES, Task, Training, UserError
from kilobench.lines import one_line
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import (
    Spec,
    build,
    canonical,
    change_training,
    parameters,
    parse,
    parse_recipe,
    training_changes,
    without_width,
)
from kilobench.record import Recipe as RecordRecipe
from kilobench.record import Spec as RecordSpec
from kilobench.results.table import methods


def test_recipes_are_split_outside_brackets() -> None:
    specs = parse_recipe("prune[keep=0.2,rank=l1]+int8")
    assert specs == (Spec("prune", (("keep", "0.2"), ("rank", "l1"))), Spec("int8"))


def test_a_value_may_be_a_specification() -> None:
    text = "distill[teacher=resnet8[width=2,x=a+b],weight=0.3]+xnor[lr=1e+0]"
    first, second = parse_recipe(text)
    assert first == Spec("distill", (("teacher", "resnet8[width=2,x=a+b]"), ("weight", "0.3")))
    assert f"{first}+{second}" == text == TypeAdapter(RecordRecipe).validate_python(text)
    assert methods(text) == ["distill", "xnor"]


def test_canonical_names_only_what_differs_from_the_defaults() -> None:
    assert canonical(build(Prune, parse("prune[rank=taylor,keep=0.2]"))) == "prune[keep=0.2]"
    assert canonical(build(Xnor, parse("xnor"))) == "xnor"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune[kep=0.2]", "prune has no parameter 'kep'; nearest is 'keep'"),
        ("prune[keep=much]", "prune: keep must be of type float, not 'much'"),
        (
            "prune[rank=tailor]",
            "prune: rank must be one of taylor, l1, l2, hybrid, bn_scale, lamp, fpgm, hessian, obdc, random, not 'tailor'; "
            "nearest is 'taylor'",
        ),
        ("prune[keep=0.5,keep=0.1]", "'prune[keep=0.5,keep=0.1]': keep is given twice"),
        ("prune[keep=0.5=0.1]", "'prune[keep=0.5=0.1]': 'keep=0.5=0.1' is not of the form key=value"),
        ("prune[keep=1e13]", "prune: keep must be from -1e+12 to 1e+12, not '1e13'"),
        ("prune[rank=a|b]", "'prune[rank=a|b]' is not of the form name[key=value,...]"),
        (f"prune[rank={'x' * 150}]", f"prune[rank={'x' * 150}] has more than 150 characters"),
        ("prune[keep]", "'prune[keep]': 'keep' is not of the form key=value"),
        ("distill[teacher=a[b]]", "'a[b]': 'b' is not of the form key=value"),
        ("distill[teacher=a[b=c[d=1]]]", "'distill[teacher=a[b=c[d=1]]]' is not of the form name[key=value,...]"),
        ("prune[keep=0.1", "'prune[keep=0.1' is not of the form name[key=value,...]"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build(Prune, parse(text))
    assert str(error.value) == message


REGISTRY = load_registry()
MEANT = {("ternary", "threshold", "0"), ("pact", "decay", "0"), ("nm", "decay", "0")}
"""What may be 0: no weight becomes 0 by it, and no range is drawn there."""


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


def trained(training: Training) -> Task:
    """A task that trains so."""
    return cast(Task, SimpleNamespace(name="a task", training=training, trainings={}))


HOSTILE = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e13",
    "9" * 30,
    "-1",
    "-0.5",
    "0",
    "0.0",
    "-0",
    "",
    "1,000",
    "1_0",
    "0x1",
    "\u0661",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(("kind", "name", "parameter"), numbers())
def test_no_parameter_takes_a_number_that_means_nothing(kind: str, name: str, parameter: str, value: str) -> None:
    if (name, parameter, value.removesuffix(".0").removeprefix("-")) in MEANT:
        assert REGISTRY.get(kind, f"{name}[{parameter}={value}]")
        return
    with pytest.raises(UserError) as error:
        REGISTRY.get(kind, f"{name}[{parameter}={value}]")
    assert parameter in str(error.value) or "key=value" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", [name for name, (kind, _) in parameters(Training).items() if kind in (int, float)])
def test_no_training_has_a_number_that_means_nothing(name: str, value: str) -> None:
    low, high = _TRAINING_RANGES[name]
    try:
        made = change_training(trained(Training()), f"{name}={value}")
    except UserError as error:
        assert name in str(error) or "key=value" in str(error)
        assert "\n" not in str(error)
    else:
        assert value.removeprefix("-").removesuffix(".0") == "0" and low <= getattr(made, name) <= high


@given(st.text(st.characters(max_codepoint=300), max_size=60) | st.from_regex(r"[a-z]+\[[a-z]=.*\]", fullmatch=True))
def test_a_record_can_hold_every_specification(text: str) -> None:
    try:
        spec = str(parse(text))
    except UserError as error:
        assert one_line(str(error))
    else:
        assert TypeAdapter(RecordSpec).validate_python(spec) == spec == str(parse(spec))


class Named(Task):
    """A task with a training of its own and another."""

    name = "named"
    training = Training(batch=50)
    trainings = {"paper": Training(epochs=400, lr=0.1, flip=True)}  # noqa: RUF012


@pytest.mark.parametrize(
    ("given", "shortest"),
    [
        ("", ""),
        ("lr=0.004,epochs=12", ""),
        ("mix=0.50,epochs=3", "epochs=3,mix=0.5"),
        ("flip=true", "flip=true"),
        ("paper", "paper"),
        ("paper,epochs=400", "paper"),
        (" paper , ema=0.9,steps=70", "paper,steps=70,ema=0.9"),
        ("paper,flip=false", "paper,flip=false"),
    ],
)
def test_a_training_is_told_in_the_shortest_way(given: str, shortest: str) -> None:
    """Which gives the same, from the same name on."""
    assert training_changes(Named(), given) == shortest == training_changes(Named(), shortest)
    assert change_training(Named(), given) == change_training(Named(), shortest)
    assert change_training(Named(), given).flip == (shortest not in ("", "epochs=3,mix=0.5", "paper,flip=false"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("papier,lr=1", "named has no training 'papier'; nearest is 'paper'"),
        ("lr=1,paper", "'paper' is not of the form key=value"),
        ("paper,drop=3", "training has no parameter 'drop'; nearest is 'drops'"),
        ("drops=60-30", "drops must be rising numbers of % as in 30-60-90, not '60-30'"),
        ("drops=30-30", "not '30-30'"),
        ("drops=100", "not '100'"),
        ("drops=", "not ''"),
        ("edges=blacks", "edges must be one of repeated, black, not 'blacks'; nearest is 'black'"),
    ],
)
def test_a_training_that_is_none_is_told_with_the_nearest(changes: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        change_training(Named(), changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_task_without_other_trainings_says_so() -> None:
    with pytest.raises(UserError, match=r"digits has no training 'study' \(it has only its own\)"):
        change_training(REGISTRY.get("tasks", "digits"), "study")


def test_a_changed_training_is_as_long_as_its_epochs_or_steps_say() -> None:
    usual = Training(epochs=12, batch=50)
    assert usual.length(101) == 12 * 3
    assert change_training(trained(usual), "steps=7").length(101) == 7
    assert change_training(trained(usual), "epochs=2,batch=101").length(101) == 2
    in_steps = Training(steps=40)
    assert in_steps.length(1000) == 40
    assert change_training(trained(in_steps), "lr=0.1").length(1000) == 40
    assert change_training(trained(in_steps), "epochs=2").length(1000) == 2 * 20
    assert training_changes(trained(in_steps), "epochs=2") == "epochs=2"
    with pytest.raises(UserError, match="give epochs or steps, not both"):
        change_training(trained(usual), "steps=7,epochs=2")


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
