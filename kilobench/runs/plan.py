# SPDX-License-Identifier: Apache-2.0
"""Suite -> cells: what there is to do, addressed by content.

A key is a hash of everything that a result depends on: specifications with all parameters, the contents of the data, and the
code that turns them into the result (kilobench.keys).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from kilobench.boards import Board
from kilobench.closure import code, digest_of, hashed
from kilobench.contracts import Budget, Method, Network, Progress, Task, Training, UserError, silent
from kilobench.data.loading import contents
from kilobench.keys import (
    board_facts,
    contribution_key,
    costing_code,
    evaluating_code,
    measuring_key,
    training_code,
)
from kilobench.learn.effort import EFFORT, Span, spans
from kilobench.paths import cache_dir
from kilobench.plugins.boards import require_emulated
from kilobench.plugins.budget import budget_text, parse_budget
from kilobench.plugins.operators import plugin_sources
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, change_training, parse_recipe, training_changes, without_width
from kilobench.plugins.suites import Suite
from kilobench.toolchain import toolchain_name

LINKS = ("emulator", "serial")


@dataclass(frozen=True)
class Stage:
    """One model on the way of a recipe: the trained network, or what a method made of the stage before."""

    key: str
    method: Method | None
    """None for the trained network itself."""
    label: str
    span: Span
    """Of the recipe's effort; where another network teaches, that network's."""
    teacher: Model | None = None
    """The training of another network, which teaches in place of this model."""


@dataclass(frozen=True)
class Point:
    """What tells a cell from all others, as written: small, so that it can be sent to other processes and hosts."""

    task: str
    network: str | None
    """None for the task's own."""
    training: str
    """What is changed in the task's own training, as in ``epochs=40``."""
    effort: float
    """Of the whole recipe, in trainings of the task."""
    budget: str
    """How large the model may become, with its board; empty where its specifications say how large it is."""
    recipe: str
    board: str
    seed: int
    fold: int
    link: str
    toolchain: str
    threads: int
    """That train it: results depend on their number in the last bits."""
    device: str
    """That trains it: ``cpu`` or ``cuda``."""
    power: str
    """The meter in the board's supply, as in ``ppk2``; empty for none."""
    validation: bool
    """Whether it is measured on a part of the training data instead of the test fold."""
    ends: tuple[float, ...] = ()
    """Where its stages end, in trainings of the task, if ``recipe`` is the beginning of another, whose effort they share."""


@dataclass(frozen=True)
class Model:
    """All of a cell that does not depend on the board."""

    task: Task
    network: Network
    training: Training
    training_changes: str
    """What the training differs in from the task's own, as in ``epochs=40``."""
    recipe: str
    methods: tuple[Method, ...]
    budget: Budget | None
    stages: tuple[Stage, ...]
    costing: tuple[Board, ...]
    """The boards that candidates of the recipe are measured on."""
    evaluation_key: str
    """Key of the finished model lowered and run on the test set."""
    arguments: tuple[str, ...]
    """Of the kilobench run that makes it; the board and its options are missing."""

    @property
    def label(self) -> str:
        """For people: task and recipe."""
        return f"{canonical(self.task)} {self.recipe}"


@dataclass(frozen=True)
class Cell:
    """One point of a suite with all that its names stand for, and its content hash."""

    key: str
    point: Point
    model: Model
    board: Board

    @property
    def label(self) -> str:
        """For people: what it is, without the hash."""
        return f"{self.model.label} on {self.board.name}, seed {self.point.seed}, fold {self.point.fold}"


@dataclass(frozen=True)
class Sizing:
    """The search for the largest network that keeps a budget when a recipe has been applied, and its content hash."""

    key: str
    task: Task
    network: Network
    methods: tuple[Method, ...]
    board: Board
    budget: Budget


def points(
    suite: Suite,
    registry: Registry,
    link: str,
    toolchain: str,
    threads: int = 2,
    power: str = "",
    device: str = "cpu",
) -> list[Point]:
    """The points of a suite, those that share models next to each other."""
    return [
        Point(
            task=task,
            network=suite.network,
            training=suite.training,
            effort=suite.effort,
            budget="" if budget == "none" else budget_text(parse_budget(budget, suite.boards[0])),
            recipe=recipe,
            board=board,
            seed=seed,
            fold=fold,
            link=link,
            toolchain=toolchain,
            threads=threads,
            device=device,
            power=power,
            validation=suite.validation,
        )
        for task, recipe, budget in product(suite.tasks, suite.recipes, suite.budgets)
        for seed, fold in product(suite.seeds, _folds(suite, registry.get("tasks", task)))
        for board in suite.boards
    ]


def _folds(suite: Suite, task: Task) -> Iterable[int]:
    return range(task.folds) if suite.folds == "all" else suite.folds


def teaching(point: Point, network: str) -> Point:
    """The training of a network that teaches the recipe of a point."""
    return dataclasses.replace(point, network=network, recipe="", budget="", ends=(1.0,))


def plan(points: Iterable[Point], registry: Registry, progress: Progress = silent) -> list[Cell]:
    """The cells of points. A network whose width a budget decides must be given (kilobench.runs.sizing).

    ``progress`` is told of files of data sets that are read to know whether they have changed. Raises UserError for a fold that a
    task does not have.
    """
    planner = Planner(registry, progress)
    return [planner.cell(point) for point in points]


class Planner:
    """Points -> cells; what cells have in common is worked out once."""

    def __init__(self, registry: Registry, progress: Progress = silent) -> None:
        self._get = cache(registry.get)
        self._key = cache(contribution_key)
        self._board = cache(lambda name: dataclasses.asdict(self._get("boards", name)))
        self._model = cache(self._model_of)
        self._contents = cache(lambda task, fold: contents(task, fold, cache_dir() / "data", progress))

    def sizing(self, point: Point) -> Sizing:
        """What finds out how large the network of a point with a budget may be."""
        task: Task = self._get("tasks", point.task)
        network: Network = self._get("networks", point.network or task.network)
        methods = self._methods(point)
        budget = parse_budget(point.budget, "")
        board: Board = self._get("boards", budget.board)
        require_emulated(board)
        of_task = [task.input_shape, task.outputs, task.sample_rate, str(task.frontend or "")]
        keys = [self._key(network), *map(self._key, methods)]
        on = [
            board_facts(self._board(board.name)),
            toolchain_name(point.toolchain),
            costing_code(),
            plugin_operators(),
        ]
        return Sizing(hashed(of_task, keys, point.budget, on), task, network, methods, board, budget)

    def _methods(self, point: Point) -> tuple[Method, ...]:
        return tuple(self._get("methods", str(spec)) for spec in parse_recipe(point.recipe))

    def cell(self, point: Point) -> Cell:
        """Raises UserError for names and folds that are not there."""
        board: Board = self._get("boards", point.board)
        model = self._model(dataclasses.replace(point, board="", link="", power=""))
        board_values = self._board(point.board)
        key = measuring_key(model.evaluation_key, board_values, point.link, point.toolchain, point.power)
        return Cell(key, point, model, board)

    def _model_of(self, point: Point) -> Model:
        task: Task = self._get("tasks", point.task)
        if not 0 <= point.fold < task.folds:
            raise UserError(f"{canonical(task)} has no fold {point.fold}; it has 0 to {task.folds - 1}")
        network: Network = self._get("networks", point.network or task.network)
        methods = self._methods(point)
        training, changes = change_training(task, point.training), training_changes(task, point.training)
        _require_suited(task, training, methods, validation=point.validation)
        stages = self._stages(point, task, network, training, methods)
        budget = parse_budget(point.budget, "") if point.budget else None
        costing = {name for method in methods for name in method.boards} | ({budget.board} if budget else set())
        return Model(
            task=task,
            network=network,
            training=training,
            training_changes=changes,
            recipe="+".join(canonical(method) for method in methods),
            methods=methods,
            budget=budget,
            stages=stages,
            costing=tuple(self._get("boards", name) for name in sorted(costing)),
            evaluation_key=hashed(stages[-1].key, point.effort, point.budget, evaluating_code(), plugin_operators()),
            arguments=_arguments(point, task, network, methods, changes),
        )

    def _stages(
        self, point: Point, task: Task, network: Network, training: Training, methods: tuple[Method, ...]
    ) -> tuple[Stage, ...]:
        """A model depends on its data, on what trains it, and on everything before it; not on what is done with it later.

        But where a method makes it as large as a budget allows: there it depends on the methods after it, too.
        """
        data = [self._key(task), self._contents(task, point.fold), point.fold, point.validation]
        settings = [dataclasses.asdict(training), point.seed, point.threads, point.device]
        first, *others = map(Span, (0.0, *point.ends), point.ends) if point.ends else spans(methods, point.effort)
        key = hashed(data, self._key(network), settings, dataclasses.astuple(first), training_code())
        stages = [Stage(key, None, "train", first)]
        for index, (method, span) in enumerate(zip(methods, others, strict=True)):
            names, fitted = list(method.boards), []
            if method.resizes and point.budget:
                names.append(parse_budget(point.budget, "").board)
                fitted = [point.budget, *map(self._key, methods[index + 1 :])]
            boards = [board_facts(self._board(name)) for name in names]
            measured = [boards, toolchain_name(point.toolchain), costing_code(), plugin_operators()] if boards else []
            teacher = self._teacher(point, method)
            taught = [teacher.stages[0].key] if teacher else []
            key = hashed(key, self._key(method), dataclasses.astuple(span), measured, fitted, *taught)
            stages.append(Stage(key, method, canonical(method), span, teacher))
        return tuple(stages)

    def _teacher(self, point: Point, method: Method) -> Model | None:
        if not method.taught_by:
            return None
        try:
            network = canonical(self._get("networks", method.taught_by))
        except UserError as error:
            raise UserError(f"{method.name}: teacher: {error}") from None
        return self._model(teaching(point, network))


def _require_suited(task: Task, training: Training, methods: tuple[Method, ...], *, validation: bool) -> None:
    """Raises UserError for what is for classes alone, where the task is to reconstruct."""
    if task.objective == "classes":
        return
    if validation:
        raise UserError(
            f"--validation: all that {task.name} trains with is usual, so that no part of it can be tested on"
        )
    for method in methods:
        if method.teaches:
            raise UserError(f"{method.name} teaches classes; {task.name} has none, but is to reconstruct its inputs")
    for name in ("label_smoothing", "mix", "stretch", "tilt", "beyond", "polarity", "flip", "turn", "edges"):
        if getattr(training, name) != (0 if name == "label_smoothing" else getattr(Training, name)):
            raise UserError(f"training: {name} is for tasks with classes; {task.name} is to reconstruct its inputs")


def check_link(board: Board, link: str, power: str) -> None:
    """Raises UserError for a board that cannot be run as asked."""
    kind = link.partition(":")[0]
    if kind not in LINKS:
        raise UserError(f"no link {link!r}; boards are run on: emulator, serial[:PORT]")
    if kind == "emulator":
        require_emulated(board)
        if power:
            raise UserError("--power is for real boards: --on serial")


def plugin_operators() -> list[Any]:
    """What operators of plug-ins, what they import, and their kernels are: which of them a model uses is not known here."""
    operators, kernels = plugin_sources()
    if not operators:
        return []
    used = code(*sorted(operators))
    return [used.digest, used.packages, digest_of(kernels)]


def _arguments(
    point: Point, task: Task, network: Network, methods: tuple[Method, ...], changes: str
) -> tuple[str, ...]:
    words = ["--task", canonical(task), "--recipe", "+".join(canonical(method) for method in methods)]
    asked, usual = canonical(network), task.network
    if point.budget and not any(method.resizes for method in methods):
        asked, usual = without_width(asked), without_width(usual)
    if asked != usual:
        words += ["--network", asked]
    if changes:
        words += ["--training", changes]
    if point.effort != EFFORT:
        words += ["--effort", f"{point.effort:g}"]
    if point.budget:
        words += ["--budget", point.budget]
    words += ["--seed", str(point.seed), "--fold", str(point.fold)]
    if point.threads != 2:
        words += ["--threads", str(point.threads)]
    if point.device != "cpu":
        words += ["--device", point.device]
    if point.validation:
        words.append("--validation")
    return tuple(words)
