# SPDX-License-Identifier: Apache-2.0
"""What cannot be lowered, stored or compressed is told before the training, and only where no recipe could use what it makes."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from kilobench.contracts import CellError, Method, Unsuited, UserError, silent, skip
from kilobench.learn.stage import Settings, untrained
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import parse_recipe
from kilobench.runs.executors import Failed, attempt
from kilobench.runs.plan import plan, points
from kilobench.runs.suite import Suite
from kilobench.runs.trial import try_out
from kilobench.runs.units import Unit, units
from kilobench.runs.work import Workshop

REGISTRY = load_registry()
TASK = REGISTRY.get("tasks", "digits")


class Listed(nn.Module):
    """Keeps a layer in a list as well, which no file can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.all = [self.fc]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc(x.flatten(1))
        return result


class Measures(Method):
    """Asks what the model costs."""

    name = "measures"

    def apply(self, model: nn.Module, job: Any) -> nn.Module:
        job.cost(model, "nucleo_l476rg")
        return model


class Needs(Measures):
    """Asks for what there is in a training alone."""

    def apply(self, model: nn.Module, job: Any) -> nn.Module:
        job.nothing()
        return model


class Picky(Measures):
    """Suits nothing."""

    name = "picky"

    def apply(self, model: nn.Module, job: Any) -> nn.Module:
        skip("it has no depthwise convolution")


def recipe(text: str) -> list[Method]:
    return [REGISTRY.get("methods", str(spec)) for spec in parse_recipe(text)]


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.mark.parametrize(
    ("recipes", "refused"),
    [
        ([], ""),
        ([recipe("int8"), recipe("ternary")], ""),
        ([recipe("prune")], "no layer has channels to remove; those of 1 are the network's inputs or outputs"),
        ([recipe("int8+prune"), recipe("prune")], "no layer has channels to remove"),
        ([recipe("xnor+int8")], "xnor: with keep=stem no convolution of this network becomes binary"),
        ([recipe("xnor"), recipe("prune")], "xnor: with keep=stem no convolution"),
        ([recipe("prune"), recipe("int8")], ""),
        ([recipe("prune"), [Measures()]], ""),
        ([recipe("prune"), [Needs()]], ""),
    ],
)
def test_only_a_training_that_no_recipe_could_use_is_refused(recipes: list[list[Method]], refused: str) -> None:
    if not refused:
        try_out(linear(), TASK, recipes)
        return
    with pytest.raises(UserError, match=refused):
        try_out(linear(), TASK, recipes)


@pytest.mark.parametrize(
    ("recipes", "reasons"),
    [
        ([[Picky()]], {"picky": "it has no depthwise convolution"}),
        ([recipe("prune"), [Picky(), *recipe("int8")]], {"picky+int8": "it has no depthwise convolution"}),
        ([[Picky()], recipe("int8")], None),
        ([[Picky()], [Measures()]], None),
    ],
)
def test_what_does_not_suit_a_network_is_told_with_its_recipes(
    recipes: list[list[Method]], reasons: dict[str, str] | None
) -> None:
    if reasons is None:
        try_out(linear(), TASK, recipes)
        return
    with pytest.raises(Unsuited) as told:
        try_out(linear(), TASK, recipes)
    assert told.value.recipes == reasons
    failed = attempt(Unit("train", "k", None, 0, "", (), "", ()), lambda: Refusing(told.value), silent)  # type: ignore[arg-type]
    assert isinstance(failed, Failed) and not failed.lasting
    assert failed.of(next(iter(reasons))).unsuited and not failed.of("prune").unsuited
    assert "no layer has channels" in failed.of("prune").reason or len(recipes) == 1


class Refusing:
    """A workshop whose every unit does not suit."""

    def __init__(self, error: Unsuited) -> None:
        self.error = error

    def do(self, unit: Unit, progress: Any) -> str:
        raise self.error


def test_what_cannot_be_lowered_or_stored_is_refused_whatever_the_recipe() -> None:
    for network, why in ((nn.Sequential(nn.GELU(), *linear()), "gelu"), (Listed(), "cannot be (stored|lowered)")):  # type: ignore[misc]
        with pytest.raises(UserError, match=why):
            try_out(network, TASK, [recipe("int8")])


def first(recipes: tuple[str, ...], budget: str | None = None) -> Unit:
    suite = Suite(
        "t", ("digits",), recipes, ("nucleo_l476rg",), network="resnet8[width=4]", training="steps=1", effort=2
    )
    return next(iter(units(plan(points(suite, REGISTRY, "emulator", "zig"), REGISTRY)).values()))


def test_a_training_knows_the_recipes_that_need_it() -> None:
    assert first(("xnor", "prune+int8")).recipes == ("xnor", "prune+int8")
    assert first(("full", "int8")).recipes == ("full", "int8")
    assert first(("int8",)).recipes == ("int8",)


def test_a_recipe_that_fails_is_told_without_a_step_and_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("kilobench.learn.stage.make_stage", lambda *args: pytest.fail("it trains"))
    with pytest.raises(UserError, match=r"prune: keep=0\.001 is too little; the smallest network has"):
        Workshop(REGISTRY).do(first(("prune[keep=0.001]",)), silent)


def test_a_product_that_is_gone_again_is_no_lasting_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    suite = Suite("t", ("digits",), ("full",), ("nucleo_l476rg",), network="resnet8[width=4]", training="steps=1")
    made = {unit.kind: unit for unit in units(plan(points(suite, REGISTRY, "emulator", "zig"), REGISTRY)).values()}
    for kind in ("evaluate", "measure"):
        with pytest.raises(
            UserError, match="is gone from the cache, or damaged, since it was made; start the run again"
        ):
            Workshop(REGISTRY).do(made[kind], silent)  # type: ignore[index]


def test_layers_without_weights_yet_are_refused_by_name() -> None:
    network = type("Lazy", (), {"build": lambda *args: nn.Sequential(nn.Flatten(), nn.LazyLinear(10))})()
    with pytest.raises(
        CellError, match=r"^1 \(LazyLinear\) has no weights before its first input; supported is Linear"
    ):
        untrained(Settings(TASK, network, TASK.training, 0, 1, "cpu"))
