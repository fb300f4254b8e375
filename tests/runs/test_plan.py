# SPDX-License-Identifier: Apache-2.0
"""Cells, their keys, and mistakes in suites."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from kilobench.closure import code
from kilobench.contracts import Training, UserError
from kilobench.measuring.recording import Where, command
from kilobench.plugins.registry import Registry, load_registry
from kilobench.plugins.suites import Suite
from kilobench.results.check import problems
from kilobench.runs.plan import Cell, plan, points
from kilobench.runs.suite import load_suite
from tests.results.records import record


def suite(**changes: object) -> Suite:
    values = {"title": "t", "tasks": ("digits",), "recipes": ("full", "int8"), "boards": ("nucleo_l476rg",)}
    return Suite(**{**values, **changes})  # type: ignore[arg-type]


def cells(registry: Registry | None = None, toolchain: str = "zig", **changes: object) -> list[Cell]:
    registry = registry or load_registry()
    return plan(points(suite(**changes), registry, "emulator", toolchain), registry)


def keys(registry: Registry | None = None, toolchain: str = "zig", **changes: object) -> list[str]:
    return [cell.key for cell in cells(registry, toolchain, **changes)]


def test_a_suite_is_the_product_of_its_axes() -> None:
    made = cells(boards=("nucleo_l476rg", "raspberry_pi_pico"), seeds=(0, 1))
    assert len(made) == 8
    assert len({cell.key for cell in made}) == 8
    assert len({cell.model.evaluation_key for cell in made}) == 4
    assert len({cell.model.stages[0].key for cell in made}) == 2


def test_keys_depend_on_everything_that_matters() -> None:
    base = keys()
    assert base == keys()
    for change in (
        {"training": "lr=0.1"},
        {"seeds": (1,)},
        {"validation": True},
        {"effort": 2.0},
        {"tasks": ("spoken-words[classes=2]",)},
        {"network": "resnet8[width=4]"},
    ):
        assert not set(base) & set(keys(**change))
    assert not set(base) & set(keys(toolchain="gcc"))
    assert keys(recipes=("int8[batches=2]",))[0] not in base
    assert keys(recipes=("int8[batches=8]",))[0] == base[1]


def test_a_changed_method_changes_its_own_cells_only(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    text = Path(__file__).parents[2].joinpath("methods/full.py").read_text().replace('"full"', '"mine"')
    plugin.write_text(text)
    recipes = ("full", "mine")
    before = keys(load_registry([str(plugin)]), recipes=recipes)
    code.cache_clear()
    plugin.write_text(text + "\n# a comment\n")
    assert keys(load_registry([str(plugin)]), recipes=recipes) == before
    code.cache_clear()
    plugin.write_text(text + "\nCHANGED = True\n")
    after = keys(load_registry([str(plugin)]), recipes=recipes)
    assert (before[0] == after[0]) and (before[1] != after[1])


def test_a_command_names_the_cell_alone() -> None:
    cell = cells(toolchain="gcc", recipes=("int8",), network="resnet8[width=4]", seeds=(3,), effort=1.5)[0]
    assert command(cell.model.arguments, Where(cell.board, toolchain="gcc")) == (
        "kilobench run --task digits --recipe int8 --board nucleo_l476rg "
        "--network 'resnet8[width=4]' --effort 1.5 --seed 3 --fold 0 --toolchain gcc"
    )


def test_a_changed_training_is_part_of_the_command() -> None:
    cell = cells(training="optimiser=sgd,epochs=3")[0]
    assert "--training epochs=3,optimiser=sgd" in " ".join(cell.model.arguments)
    assert (cell.model.training.epochs, cell.model.training.lr) == (3, cell.model.task.training.lr)
    same = cells(training=f"lr={cell.model.task.training.lr}")[0]
    assert same.model.training_changes == "" and same.key == keys()[0]


@pytest.mark.parametrize(
    "given", ["study", "study,epochs=400", "steps=70", "study,ema=0.90,steps=70", "study,flip=false"]
)
def test_a_record_of_a_training_by_name_is_believed_as_it_is_told(given: str) -> None:
    """Its command gives the same training again, and so does the record of it, that of settings of today too."""
    registry = load_registry()
    cell = cells(registry, tasks=("cifar100[classes=10]",), recipes=("xnor",), training=given)[0]
    changes, training = cell.model.training_changes, dataclasses.asdict(cell.model.training)
    assert ("--training", changes) in pairwise(cell.model.arguments)
    assert changes == given.replace(",epochs=400", "").replace("ema=0.90,steps=70", "steps=70,ema=0.9")
    for settings in (training, {key: training[key] for key in training if training[key] != getattr(Training, key)}):
        made = record(task="cifar100[classes=10]", training=settings, training_changes=changes)
        assert not any(line.startswith("training") for line in problems(made, registry))
    wrong = record(task="cifar100[classes=10]", training=training | {"turn": 3.0}, training_changes=changes)
    assert any(line.startswith("training is not the task's own") for line in problems(wrong, registry))


def test_a_method_that_measures_boards_depends_on_them(tmp_path: Path) -> None:
    plugin = tmp_path / "fitting.py"
    plugin.write_text(
        "from kilobench.api import Method\n\nclass Fitting(Method):\n    'Fits.'\n    name, reference = 'fitting', 'none'\n"
        "    fit: str = 'nucleo_l476rg'\n    boards = property(lambda self: (self.fit,))\n"
        "    def apply(self, model, job):\n        return model\n"
    )
    recipes = ("fitting", "fitting[fit=raspberry_pi_pico]")
    first, second = cells(load_registry([str(plugin)]), recipes=recipes)
    assert first.model.stages[-1].key != second.model.stages[-1].key
    assert [board.name for board in second.model.costing] == ["raspberry_pi_pico"]


HEAD = "title: t\ntasks: [digits]\nrecipes: [xnor]\nboards: [nucleo_l476rg]"
LINES = {
    "seeds: [-1]": "a seed is from 0 to 4294967295, not -1",
    "seeds: [0, 4294967296]": "a seed is from 0 to 4294967295, not 4294967296",
    "seeds: [true]": "seeds: [True] is no list of whole numbers",
    "effort: true": "effort: True is no number",
    "effort: .nan": "effort: nan is no number",
    "effort: .inf": "effort: inf is no number",
    "effort: much": "effort: 'much' is no number",
    "effort: 0": "the effort must be a positive number of trainings below 1e+06, not 0",
    "effort: -2": "the effort must be a positive number of trainings below 1e+06, not -2",
    "effort: 1": "an effort of 1 leaves nothing to xnor after the first training; give more than 1",
    "budgets: 64KiB": "budgets: '64KiB' is no list of texts (numbers go in quotes)",
    "budgets: [64]": "budgets: [64] is no list of texts (numbers go in quotes)",
    "budgets: []": "budgets: the list is empty",
    "seeds: [1, 2, 1]": "seeds: 1 is given twice",
    "folds: some": "folds: 'some' is no list of whole numbers and not 'all'",
    "validation: 1": "validation: 1 is not true or false",
    "network: 5": "network: 5 is no text",
    "network: nosuch": "no network 'nosuch'",
    "training:": "training: it has no value; give it one, or leave the key out",
    "training: {epochs: [3]}": "training: epochs: [3] is neither a number nor a text nor true nor false",
    "training: {epochs: -3, lr: 0.1}": "training: epochs must be at least 1, not -3",
    "training: {epochs: 3, epochs: 4}": "line 5: key 'epochs' is given twice",
    "training: 'epochs=3,epochs=4'": "epochs is given twice",
    "effort: 1e6": "effort: '1e6' is no number",
    "effort: 1000000": "the effort must be a positive number of trainings below 1e+06, not 1e+06",
    "title: b": "line 5: key 'title' is given twice",
    "budgets: [64KB]": "'64KB' is no positive number with a unit (B, KiB, MiB); nearest is 'KiB'",
    "budgets: ['flash=64KiB,board=nucleo']": "no board 'nucleo'",
    "training: epochs=0": "training: epochs must be at least 1, not 0",
    "budget: [64KiB]": "no key 'budget'; nearest is 'budgets'",
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: t", "key 'tasks' is missing"),
        ("title: t\ntask: [digits]", "no key 'task'; nearest is 'tasks'"),
        ("- a", "a suite is a mapping"),
        ("title: [", "cannot be read as YAML"),
        ("title: t\ntasks: [digts]\nrecipes: [full]\nboards: [nucleo_l476rg]", "no task 'digts'; nearest is 'digits'"),
        ("title: t\ntasks: [digits]\nrecipes: [int8+prune]\nboards: [nucleo_l476rg]", "prune cannot follow int8"),
        ("title: t\ntasks: [digits]\nrecipes: [full]\nboards: [nucleo_l476rg]\nseeds: [a]", "whole numbers"),
        *((f"{HEAD}\n{line}", message) for line, message in LINES.items()),
    ],
)
def test_mistakes_in_suites_name_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_suite(path, load_registry())
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


def test_a_fold_that_a_task_has_not_is_refused() -> None:
    with pytest.raises(UserError, match="digits has no fold 1"):
        keys(folds=(1,))


@pytest.mark.parametrize(
    "name", [n for n, e in sorted(load_registry().entries["suites"].items()) if isinstance(e.value, Suite)]
)
def test_every_suite_of_the_project_can_be_planned(name: str) -> None:
    registry = load_registry()
    suite = load_suite(registry.find("suites", name).path, registry)
    assert isinstance(suite, Suite)
    found = points(suite, registry, "emulator", "zig")
    assert plan(found, registry)


def test_a_suite_may_have_a_mapping_as_training_and_no_network(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"{HEAD}\nnetwork:\ntraining: {{epochs: 3, lr: 1e-3, flip: true, optimiser: sgd}}")
    suite = load_suite(path, load_registry())
    assert isinstance(suite, Suite)
    assert (suite.network, suite.training) == (None, "epochs=3,lr=1e-3,flip=true,optimiser=sgd")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ("distill+int8",)}, "distill teaches classes; ad has none"),
        ({"training": "mix=0.5"}, "training: mix is for tasks with classes; ad is to reconstruct its inputs"),
        ({"training": "label_smoothing=0.1"}, "training: label_smoothing is for tasks with classes"),
        ({"training": "stretch=1.25"}, "training: stretch is for tasks with classes"),
        ({"validation": True}, "--validation: all that ad trains with is usual"),
    ],
)
def test_what_is_for_classes_is_refused_where_there_are_none(changes: dict[str, object], message: str) -> None:
    assert cells(tasks=("ad",))
    with pytest.raises(UserError, match=message):
        cells(tasks=("ad",), **changes)
