# SPDX-License-Identifier: Apache-2.0
"""What is done for a unit: size, train or compress, evaluate on the host, build and run on the board."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kilobench.boards import Board
from kilobench.contracts import CellError, Cost, Method, PassingError, Progress, Split, Task, UserError
from kilobench.data.loading import load
from kilobench.files import intact, locked, read_kept, write_kept
from kilobench.keys import contribution_versions
from kilobench.learn.effort import require_steps
from kilobench.learn.modelfile import load_model, read_facts, save_model
from kilobench.measuring.fitting import Fit, Room, size_network, weights
from kilobench.paths import cache_dir
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, parse_recipe
from kilobench.record import NOT_RUN
from kilobench.runs.plan import Cell, Model, Planner, Point, Sizing
from kilobench.runs.units import Unit, product_path, seconds_path, size_unit, units
from kilobench.scratch import temporary_folder
from kilobench.sources import code_has_changed

if TYPE_CHECKING:
    from torch import nn

    from kilobench.learn.stage import Settings
    from kilobench.learn.train import Teacher


CHANGED = "the source code or the data have changed since the run began; start it again"


class Workshop:
    """Does units, each once on this machine: what is there already, or what another process is making, is not made again."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._planner = registry, Planner(registry)
        self._data: tuple[tuple[Task, int, bool], Split] | None = None

    def do(self, unit: Unit, progress: Progress) -> str | None:
        """Make the product of a unit if it is not there; returns a line about it, or None if there was nothing to do.

        Raises UserError where code or data are no longer those of the plan, and what the work itself raises.
        """
        make = self._size if unit.kind == "size" else self._of_cell(unit)
        if code_has_changed():
            raise UserError(CHANGED)
        board = locked(cache_dir() / "ports" / f"{unit.point.board}.lock") if unit.on_real_board else nullcontext()
        with locked(unit.lock), board:  # while another process makes the same, or uses the same board
            if intact(unit.path):
                return None
            damaged = f"{unit.product} in the cache was damaged and is made anew" if unit.path.is_file() else ""
            try:
                return "; ".join(filter(None, (damaged, make(unit, progress))))
            except CellError:
                if lost := next((name for name in unit.inputs if not intact(cache_dir() / name)), ""):
                    raise UserError(
                        f"{lost} is gone from the cache, or damaged, since it was made; start the run again"
                    ) from None
                raise

    def _of_cell(self, unit: Unit) -> Callable[[Unit, Progress], str]:
        """What makes the product of a unit that some cell needs."""
        cell = self._planner.cell(unit.point)
        if units([cell]).get(unit.key) != unit:
            raise UserError(CHANGED)
        make = {"train": self._train, "evaluate": self._evaluate, "measure": self._measure}[unit.kind]
        return lambda unit, progress: make(unit, cell, progress)

    def _size(self, unit: Unit, progress: Progress) -> str:
        sizing = self._planner.sizing(unit.point)
        if size_unit(unit.point, sizing) != unit:
            raise UserError(CHANGED)
        found = size_network(sizing.task, sizing.network, sizing.methods, _room(sizing, unit.point.toolchain), progress)
        write_kept(unit.path, json.dumps(dataclasses.asdict(found)).encode())
        return f"{unit.label}: width {found.size:g}" if found.keeps and found.size else ""

    def _split(self, point: Point, task: Task, progress: Progress) -> Split:
        """The data of the last unit is kept for the next."""
        wanted = task, point.fold, point.validation
        if self._data is None or self._data[0] != wanted:
            split = load(task, point.fold, cache_dir() / "data", progress, held_out=point.validation)
            self._data = wanted, split
        return self._data[1]

    def _train(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.learn.stage import make_stage, untrained
        from kilobench.runs.trial import try_out

        settings, stage = _settings(cell), cell.model.stages[unit.stage]
        split = self._split(unit.point, settings.task, progress)
        steps = _steps(cell, split)
        require_steps(steps, cell.model.methods)
        fit = _fit(cell, unit.stage, progress) if stage.method and stage.method.resizes else None
        if stage.method is None:
            recipes = [[self._registry.get("methods", str(spec)) for spec in parse_recipe(r)] for r in unit.recipes]
            try_out(untrained(settings), settings.task, recipes)
        else:
            _require_data_of(cell, unit.stage, split)
        start = perf_counter()
        trained = make_stage(
            settings,
            split,
            stage.method,
            0 if stage.teacher else steps[_name(stage.method)],
            _before(cell, unit.stage),
            _teacher(cell, unit.stage),
            unit.path.with_suffix(""),
            partial(_cost, cell, unit.stage),
            cell.model.budget if fit else None,
            fit,
            progress,
        )
        size = f"keep={weights(trained) / weights(_stage(cell, unit.stage - 1)):.3g}" if fit and fit.found else ""
        facts: dict[str, Any] = {"data": split.digest, "seconds": round(perf_counter() - start, 1), "size": size}
        save_model(trained, unit.path, facts)
        shutil.rmtree(unit.path.with_suffix(""), ignore_errors=True)
        return f"{unit.label} done"

    def _evaluate(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.compile.lower import lower_for
        from kilobench.measuring.evaluate import about, evaluate, save_model_file

        model = cell.model
        split = self._split(unit.point, model.task, progress)
        _require_data_of(cell, len(model.stages), split)
        graph = lower_for(model.task, _stage(cell, -1))
        with temporary_folder() as folder:
            reconstructs = model.task.objective == "reconstruction"
            evaluation = evaluate(graph, folder, model.label, split, progress, reconstructs=reconstructs)
        teachers = [stage.teacher.network for stage in model.stages if stage.teacher]
        facts: dict[str, Any] = {
            "network": canonical(model.network),
            "training": model.training,
            "training_changes": model.training_changes,
            "recipe": model.recipe,
            "effort": cell.point.effort,
            "steps": _steps(cell, split),
            "budget": cell.point.budget,
            "seed": cell.point.seed,
            "fold": cell.point.fold,
            "contributions": contribution_versions(model.task, model.network, model.methods, teachers),
        }
        stages = [read_facts(path) for path in _model_paths(cell)]
        train_s = round(sum(stage["seconds"] for stage in stages), 1)
        if model.budget:
            facts["size"] = next(filter(None, (stage["size"] for stage in stages)), _width(model))
        arguments = (*model.arguments, *(["--allow-partial"] if split.partial else []))
        described = about(model.evaluation_key, arguments, model.task, facts, graph, evaluation, split)
        seconds = {"train_s": train_s, "evaluate_s": round(evaluation.seconds, 1)}
        write_kept(seconds_path(unit.key), json.dumps(seconds).encode())
        save_model_file(unit.path, graph, evaluation.reference, described)
        return ""

    def _measure(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.measuring.evaluate import load_model_file
        from kilobench.measuring.recording import Where, record_of

        model, point = load_model_file(product_path("evaluate", cell.model.evaluation_key)), unit.point
        seconds = json.loads(read_kept(seconds_path(cell.model.evaluation_key)) or b"{}")
        model = dataclasses.replace(model, about=model.about.model_copy(update=seconds))
        with temporary_folder() as folder, _logs_told(folder):
            where = Where(cell.board, point.link, point.toolchain, point.power)
            measured, program = record_of(model, where, folder, progress)
            write_kept(cache_dir() / "firmware" / f"{unit.key}.elf", program.read_bytes())
        record = measured.model_copy(update={"trust": "verified"})  # it was evaluated here too
        write_kept(unit.path, record.model_dump_json(by_alias=True).encode())
        fits = "fits" if record.fits else "does not fit"
        cycles = NOT_RUN if record.cycles is None else f"{record.cycles / 1e6:.2f} Mcycles"
        return (
            f"{cell.label}: {record.measure} {100 * record.quality.mean:.1f} %, flash {record.flash_bytes / 1024:.1f} KiB, "
            f"RAM {record.ram_bytes / 1024:.1f} KiB, {cycles}, {fits}"
        )


@contextmanager
def _logs_told(folder: Path) -> Iterator[None]:
    """What a build wrote goes to this process's output, the unit's log, where its cell cannot be finished."""
    try:
        yield
    except (CellError, PassingError):
        for log in (folder / "build").glob("*.log"):
            print(log.read_text())
        raise


def _settings(cell: Cell) -> Settings:
    from kilobench.learn.stage import Settings

    model, point = cell.model, cell.point
    return Settings(model.task, model.network, model.training, point.seed, point.threads, point.device)


def _stage_path(cell: Cell, index: int) -> Path:
    return product_path("train", cell.model.stages[index].key)


def _model_paths(cell: Cell, count: int | None = None) -> list[Path]:
    """Of the first models of a recipe, all unless ``count`` is given, and of those that teach."""
    stages = cell.model.stages[:count]
    return [
        product_path("train", key)
        for stage in stages
        for key in (*((stage.teacher.stages[0].key,) if stage.teacher else ()), stage.key)
    ]


def _stage(cell: Cell, index: int) -> nn.Module:
    """A fresh copy of the model after a stage of the recipe."""
    return load_model(_stage_path(cell, index))[0]


def _before(cell: Cell, index: int) -> nn.Module | None:
    """What a stage begins with; None for the first, which makes the network itself."""
    from kilobench.learn.stage import drawn_anew

    stage = cell.model.stages[index]
    if stage.method is None:
        return None
    model = _stage(cell, index - 1)
    return drawn_anew(model, _settings(cell)) if stage.method.from_scratch and stage.span.begin else model


def _require_data_of(cell: Cell, count: int, split: Split) -> None:
    """Raises UserError where one of the first models of a recipe was made of other data than what has been loaded now."""
    if any(read_facts(path)["data"] != split.digest for path in _model_paths(cell, count)):
        raise UserError(CHANGED)


def _teacher(cell: Cell, index: int) -> Teacher | None:
    """The model of the last method before this stage that teaches, or the network that does in its place."""
    from kilobench.learn.train import Teacher

    for before in reversed(range(index)):
        stage = cell.model.stages[before]
        if (method := stage.method) is not None and method.teaches:
            path = product_path("train", (stage.teacher.stages[0] if stage.teacher else stage).key)
            return Teacher(load_model(path)[0], method.weight, method.temperature)  # type: ignore[attr-defined]
    return None


def _cost(cell: Cell, stage: int, model: nn.Module, board: str) -> Cost:
    """What a model takes on a board that the method of a stage names, or its finished form on that of the budget.

    The key of a stage holds the boards that its method names, and the budget, its board and the methods after it where its method
    resizes: of nothing else may the model depend that it makes.
    """
    from kilobench.compile.lower import lower_for
    from kilobench.learn.untrained import finished
    from kilobench.measuring.cost import cost

    task, method = cell.model.task, cell.model.stages[stage].method
    if board and method and board not in method.boards:
        raise UserError(f"{method.name} measures on {board}, which is none of its boards ({', '.join(method.boards)})")
    if not board:
        assert cell.model.budget is not None  # as TrainingJob.cost has seen to
        board, model = cell.model.budget.board, finished(model, _later(cell, stage), task)
    return cost(lower_for(task, model), _costing(cell, board), cell.point.toolchain)


def _later(cell: Cell, stage: int) -> list[Method]:
    """The methods after a stage."""
    return [one.method for one in cell.model.stages[stage + 1 :] if one.method]


def _costing(cell: Cell, name: str) -> Board:
    return next(board for board in cell.model.costing if board.name == name)


def _name(method: Method | None) -> str:
    return "train" if method is None else method.name


def _steps(cell: Cell, split: Split) -> dict[str, int]:
    """Of every stage, by its name."""
    training = cell.model.training.length(len(split.train_x))
    return {_name(stage.method): stage.span.steps(training) for stage in cell.model.stages}


def _width(model: Model) -> str:
    return f"width={getattr(model.network, 'width', 1):g}"


def _fit(cell: Cell, stage: int, progress: Progress) -> Fit | None:
    """What makes the model of a stage as large as the budget of a cell allows; None without one."""
    model, point, budget = cell.model, cell.point, cell.model.budget
    if budget is None:
        return None
    return Fit(model.task, _later(cell, stage), Room(_costing(cell, budget.board), budget, point.toolchain), progress)


def _room(sizing: Sizing, toolchain: str) -> Room:
    return Room(sizing.board, sizing.budget, toolchain)
