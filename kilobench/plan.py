"""Suite -> cells: what there is to do, addressed by content.

A key is a hash of everything that a result depends on: specifications with all parameters, and the source code that
turns them into the result. Changing one line of a method therefore repeats that method's cells and no others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from kilobench.api import Board, Contribution, Method, Network, Task, Training, UserError
from kilobench.data import partial_allowed
from kilobench.device.boards import require_emulated
from kilobench.paths import hardware_dir
from kilobench.registry import Registry
from kilobench.spec import canonical, change_training, parse_recipe
from kilobench.suite import Suite

_ENGINE = Path(__file__).parent
_TRAINING = ("layers.py", "train.py", "augment.py", "networks/_residual.py")
_COMPRESSING = ("quantise.py", "pruning.py", "latent.py")
_DATA = ("data.py", "sources.py")
_MEASURING = (
    "graph.py",
    "lower.py",
    "layout.py",
    "schedule.py",
    "memory.py",
    "emit.py",
    "host.py",
    "run.py",
    "measure.py",
    "record.py",
    "device",
)
_TRAINING_PACKAGES = ("torch", "torch-pruning", "numpy")
_DATA_PACKAGES = ("soxr", "soundfile", "espeakng-loader", "scikit-learn")
_MEASURING_PACKAGES = ("ziglang", "unicorn", "platformio", "SCons")


@dataclass(frozen=True)
class Stage:
    """One model on the way of a recipe: the trained network, or what a method made of the stage before."""

    key: str
    method: Method | None
    """None for the trained network itself."""
    label: str


@dataclass(frozen=True)
class Cell:
    """One point of a suite."""

    key: str
    task: Task
    network: Network
    training: Training
    training_changes: str
    """What the training differs in from the task's own, as in ``epochs=40``."""
    recipe: str
    stages: tuple[Stage, ...]
    board: Board
    costing: tuple[Board, ...]
    """The boards that methods of the recipe measure candidates on."""
    seed: int
    fold: int
    link: str
    toolchain: str
    threads: int
    """That train it: results depend on their number in the last bits."""
    validation: bool
    """Whether it is measured on a part of the training data instead of the test fold."""

    @property
    def label(self) -> str:
        """For people: what it is, without the hash."""
        return f"{canonical(self.task)} {self.recipe} on {self.board.name}, seed {self.seed}, fold {self.fold}"

    @property
    def model_key(self) -> str:
        """Key of the finished model, the same on every board."""
        return self.stages[-1].key

    @property
    def command(self) -> str:
        """The command that repeats this cell alone."""
        words = [
            "kilobench",
            "run",
            "--task",
            canonical(self.task),
            "--recipe",
            self.recipe,
            "--board",
            self.board.name,
        ]
        if canonical(self.network) != self.task.network:
            words += ["--network", canonical(self.network)]
        if self.training_changes:
            words += ["--training", self.training_changes]
        words += ["--seed", str(self.seed), "--fold", str(self.fold)]
        if self.toolchain != "zig":
            words += ["--toolchain", self.toolchain]
        if self.threads != 2:
            words += ["--threads", str(self.threads)]
        if self.validation:
            words.append("--validation")
        return shlex.join(words)


def plan(suite: Suite, registry: Registry, link: str, toolchain: str, threads: int = 2) -> list[Cell]:
    """The cells of a suite, those that share models next to each other.

    Raises UserError for a fold that a task does not have.
    """
    cells = []
    for task_text, recipe in product(suite.tasks, suite.recipes):
        task: Task = registry.get("tasks", task_text)
        network: Network = registry.get("networks", suite.network or task.network)
        methods = [registry.get("methods", str(spec)) for spec in parse_recipe(recipe)]
        training = change_training(task.training, suite.training)
        folds = range(task.folds) if suite.folds == "all" else suite.folds
        for seed, fold in product(suite.seeds, folds):
            if not 0 <= fold < task.folds:
                raise UserError(f"{canonical(task)} has no fold {fold}; it has 0 to {task.folds - 1}")
            numbers = (seed, fold, threads, "validation") if suite.validation else (seed, fold, threads)
            stages = _stages(task, network, training, methods, numbers, registry)
            for board_name in suite.boards:
                board: Board = registry.get("boards", board_name)
                if link == "emulator":
                    require_emulated(board)
                data = [_identity(task), _digest(_DATA, _DATA_PACKAGES), partial_allowed()]
                key = _hash(stages[-1].key, data, dataclasses.asdict(board), link, toolchain, measuring_digest())
                name = "+".join(canonical(method) for method in methods)
                cells.append(
                    Cell(
                        key=key,
                        task=task,
                        network=network,
                        training=training,
                        training_changes=_changes(task.training, training),
                        recipe=name,
                        stages=stages,
                        board=board,
                        costing=tuple(registry.get("boards", name) for m in methods for name in m.boards),
                        seed=seed,
                        fold=fold,
                        link=link,
                        toolchain=toolchain,
                        threads=threads,
                        validation=suite.validation,
                    )
                )
    return cells


def _changes(default: Training, training: Training) -> str:
    values = dataclasses.asdict(training)
    return ",".join(
        f"{key}={values[key]}" for key, value in dataclasses.asdict(default).items() if values[key] != value
    )


def _stages(
    task: Task,
    network: Network,
    training: Training,
    methods: Iterable[Method],
    numbers: tuple[int | str, ...],
    registry: Registry,
) -> tuple[Stage, ...]:
    """``numbers``: seed, fold, threads, and what else tells the training data.

    The keys are without the code of the data: a stored model knows its data's digest.
    """
    settings = dataclasses.asdict(training)
    key = _hash(canonical(task), _identity(network), settings, numbers, _digest(_TRAINING, _TRAINING_PACKAGES))
    stages = [Stage(key, None, "train")]
    for method in methods:
        boards = [dataclasses.asdict(registry.get("boards", board)) for board in method.boards]
        measured = [boards, measuring_digest()] if boards else []
        key = _hash(key, _identity(method), _digest(_COMPRESSING), measured)
        stages.append(Stage(key, method, canonical(method)))
    return tuple(stages)


def _identity(contribution: Contribution) -> list[Any]:
    """Name, all parameters, and the source file it comes from."""
    source = Path(inspect.getfile(type(contribution))).read_bytes()
    return [contribution.name, dataclasses.asdict(contribution), hashlib.sha256(source).hexdigest()]  # type: ignore[call-overload]


@cache
def _digest(sources: tuple[str, ...], packages: tuple[str, ...] = ()) -> str:
    return _hash(_sources(_ENGINE / name for name in sources), _versions(packages))


@cache
def measuring_digest() -> str:
    """Hash of the code, the C sources and the tools that turn a model into a measurement."""
    folders = [hardware_dir() / name for name in ("firmware", "kernels", "platformio")]
    return _hash(_sources([*(_ENGINE / name for name in _MEASURING), *folders]), _versions(_MEASURING_PACKAGES))


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in packages}


def versions() -> dict[str, str]:
    """Versions of everything that results depend on."""
    packages = (*_TRAINING_PACKAGES, *_DATA_PACKAGES, *_MEASURING_PACKAGES)
    return {"kilobench": version("kilobench"), **_versions(packages)}


def _sources(paths: Iterable[Path]) -> str:
    hasher = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                hasher.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
