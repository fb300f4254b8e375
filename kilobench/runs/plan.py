"""Suite -> cells: what there is to do, addressed by content (kilobench.keys).

A key is a hash of everything that a result depends on: specifications with all parameters, and the source code that
turns them into the result. Changing one line of a method therefore repeats that method's cells and no others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product

from kilobench.api import Board, Method, Network, Task, Training, UserError
from kilobench.data import partial_allowed
from kilobench.keys import (
    COMPRESSING,
    DATA,
    DATA_PACKAGES,
    TRAINING,
    TRAINING_PACKAGES,
    digest,
    files_digest,
    hashed,
    identity,
    measuring_digest,
    measuring_key,
)
from kilobench.plugins.boards import require_emulated
from kilobench.plugins.operators import plugin_sources
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, change_training, parse_recipe
from kilobench.runs.suite import Suite

LINKS = ("emulator", "serial")


@dataclass(frozen=True)
class Stage:
    """One model on the way of a recipe: the trained network, or what a method made of the stage before."""

    key: str
    method: Method | None
    """None for the trained network itself."""
    label: str


@dataclass(frozen=True)
class Point:
    """What tells a cell from all others, as written: small, so that it can be sent to other processes and hosts."""

    task: str
    network: str | None
    """None for the task's own."""
    training: str
    """What is changed in the task's own training, as in ``epochs=40``."""
    recipe: str
    board: str
    seed: int
    fold: int
    link: str
    toolchain: str
    threads: int
    """That train it: results depend on their number in the last bits."""
    power: str
    """The meter in the board's supply, as in ``ppk2``; empty for none."""
    validation: bool
    """Whether it is measured on a part of the training data instead of the test fold."""


@dataclass(frozen=True)
class Model:
    """All of a cell that does not depend on the board."""

    task: Task
    network: Network
    training: Training
    training_changes: str
    """What the training differs in from the task's own, as in ``epochs=40``."""
    recipe: str
    stages: tuple[Stage, ...]
    costing: tuple[Board, ...]
    """The boards that methods of the recipe measure candidates on."""
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


def plan(suite: Suite, registry: Registry, link: str, toolchain: str, threads: int = 2, power: str = "") -> list[Cell]:
    """The cells of a suite, those that share models next to each other.

    Raises UserError for a fold that a task does not have.
    """
    planner = Planner(registry)
    return [
        planner.cell(
            Point(
                task=task,
                network=suite.network,
                training=suite.training,
                recipe=recipe,
                board=board,
                seed=seed,
                fold=fold,
                link=link,
                toolchain=toolchain,
                threads=threads,
                power=power,
                validation=suite.validation,
            )
        )
        for task, recipe in product(suite.tasks, suite.recipes)
        for seed, fold in product(suite.seeds, planner.folds(task) if suite.folds == "all" else suite.folds)
        for board in suite.boards
    ]


class Planner:
    """Points -> cells; what cells have in common is worked out once."""

    def __init__(self, registry: Registry) -> None:
        self._get = cache(registry.get)
        self._identity = cache(identity)
        self._board = cache(lambda name: dataclasses.asdict(self._get("boards", name)))
        self._model = cache(self._model_of)

    def folds(self, task: str) -> range:
        """All folds of a task."""
        return range(self._get("tasks", task).folds)

    def cell(self, point: Point) -> Cell:
        """Raises UserError for names and folds that are not there, and for a board that cannot be run as asked."""
        board: Board = self._get("boards", point.board)
        check_link(board, point.link, point.power)
        model = self._model(dataclasses.replace(point, board="", link="", toolchain="", power=""))
        values = self._board(point.board)
        key = measuring_key(model.evaluation_key, values, point.link, point.toolchain, point.power)
        return Cell(key, point, model, board)

    def _model_of(self, point: Point) -> Model:
        task: Task = self._get("tasks", point.task)
        if not 0 <= point.fold < task.folds:
            raise UserError(f"{canonical(task)} has no fold {point.fold}; it has 0 to {task.folds - 1}")
        network: Network = self._get("networks", point.network or task.network)
        methods = [self._get("methods", str(spec)) for spec in parse_recipe(point.recipe)]
        training = change_training(task.training, point.training)
        numbers: tuple[int | str, ...] = point.seed, point.fold, point.threads
        if point.validation:
            numbers += ("validation",)
        stages = self._stages(task, network, training, methods, numbers)
        data = [self._identity(task), digest(DATA, DATA_PACKAGES), partial_allowed()]
        return Model(
            task=task,
            network=network,
            training=training,
            training_changes=_changes(task.training, training),
            recipe="+".join(canonical(method) for method in methods),
            stages=stages,
            costing=tuple(self._get("boards", name) for m in methods for name in m.boards),
            evaluation_key=hashed(stages[-1].key, data, *_measuring()),
            arguments=_arguments(point, task, network, methods, _changes(task.training, training)),
        )

    def _stages(
        self,
        task: Task,
        network: Network,
        training: Training,
        methods: Iterable[Method],
        numbers: tuple[int | str, ...],
    ) -> tuple[Stage, ...]:
        """``numbers``: seed, fold, threads, and what else tells the training data.

        The keys are without the code of the data: a stored model knows its data's digest.
        """
        settings = dataclasses.asdict(training)
        sources = digest(TRAINING, TRAINING_PACKAGES)
        key = hashed(canonical(task), self._identity(network), settings, numbers, sources)
        stages = [Stage(key, None, "train")]
        for method in methods:
            measured = [[self._board(board) for board in method.boards], *_measuring()] if method.boards else []
            key = hashed(key, self._identity(method), digest(COMPRESSING), measured)
            stages.append(Stage(key, method, canonical(method)))
        return tuple(stages)


def check_link(board: Board, link: str, power: str) -> None:
    """Raises UserError for a board that cannot be run as asked."""
    kind = link.partition(":")[0]
    if kind not in LINKS:
        raise UserError(f"no link {link!r}; boards are run on: emulator, serial[:PORT]")
    if kind == "emulator":
        require_emulated(board)
        if power:
            raise UserError("--power is for real boards: --on serial")


def _measuring() -> list[str]:
    """Of all that turns a model into a measurement: this project's code, and operators of plug-ins if there are any."""
    plugins = plugin_sources()
    return [measuring_digest(), files_digest(plugins)] if plugins else [measuring_digest()]


def _arguments(point: Point, task: Task, network: Network, methods: Iterable[Method], changes: str) -> tuple[str, ...]:
    words = ["--task", canonical(task), "--recipe", "+".join(canonical(method) for method in methods)]
    if canonical(network) != task.network:
        words += ["--network", canonical(network)]
    if changes:
        words += ["--training", changes]
    words += ["--seed", str(point.seed), "--fold", str(point.fold)]
    if point.threads != 2:
        words += ["--threads", str(point.threads)]
    if point.validation:
        words.append("--validation")
    return tuple(words)


def _changes(default: Training, training: Training) -> str:
    values = dataclasses.asdict(training)
    return ",".join(
        f"{key}={values[key]}" for key, value in dataclasses.asdict(default).items() if values[key] != value
    )
