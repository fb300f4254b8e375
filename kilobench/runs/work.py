"""What is done for a unit: train or compress, evaluate on the host, build and run on the board."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from kilobench.api import CellError, Cost, Progress, Split, Task
from kilobench.data import validation
from kilobench.files import write_atomically
from kilobench.learn.modelfile import load_model, read_facts, save_model
from kilobench.paths import cache_dir
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical
from kilobench.record import NOT_RUN, ModelFacts, accuracy
from kilobench.runs.plan import Cell, Planner, Point
from kilobench.runs.units import Unit, product_path, units

if TYPE_CHECKING:
    from torch import nn

    from kilobench.compile.graph import Graph
    from kilobench.learn.train import Teacher
    from kilobench.measure.evaluate import About, Evaluation

VALIDATION_SHARE = 0.2


class Workshop:
    """Does units, each once on this machine: what is there already, or what another process is making, is not made again."""

    def __init__(self, registry: Registry) -> None:
        self._planner = Planner(registry)
        self._data: tuple[tuple[Task, int, bool], Split] | None = None

    def do(self, unit: Unit, progress: Progress) -> str | None:
        """Make the product of a unit if it is not there; returns a line about it, or None if there was nothing to do.

        Raises CellError where the source code is no longer that of the plan, and what the work itself raises.
        """
        cell = self._planner.cell(unit.point)
        if units([cell]).get(unit.key) != unit:
            raise CellError("the source code has changed since the run began; start it again")
        board = (
            _locked(cache_dir() / "ports" / f"{unit.point.board}.lock", progress)
            if unit.on_real_board
            else nullcontext()
        )
        with _locked(unit.path.with_suffix(".lock"), progress), board:
            if unit.kind == "train":
                return self._train(unit, cell, progress)
            if unit.path.is_file():
                return None
            return (self._evaluate if unit.kind == "evaluate" else self._measure)(unit, cell, progress)

    def _split(self, point: Point, task: Task, progress: Progress) -> Split:
        """The data of the last unit is kept for the next."""
        wanted = task, point.fold, point.validation
        if self._data is None or self._data[0] != wanted:
            split = task.load(point.fold, cache_dir() / "data", progress)
            self._data = wanted, validation(split, VALIDATION_SHARE, 0) if point.validation else split
        return self._data[1]

    def _train(self, unit: Unit, cell: Cell, progress: Progress) -> str | None:
        """A model that was trained on other data than there is now is made anew."""
        from kilobench.learn.train import TrainingJob, seed_everything

        model, point, index = cell.model, unit.point, unit.stage
        split = self._split(point, model.task, progress)
        if unit.path.is_file() and read_facts(unit.path)["data"] == split.digest:
            return None
        start = perf_counter()
        seed_everything(point.seed, point.threads)
        checkpoints = unit.path.with_suffix("")
        job = TrainingJob(
            split,
            model.task,
            seed=point.seed,
            progress=progress,
            training=model.training,
            checkpoints=checkpoints,
            teacher=_teacher(cell, index),
            costs=lambda candidate, board: _cost(cell, candidate, board),
        )
        method = model.stages[index].method
        if method is None:
            network = model.network.build(model.task.input_shape, model.task.class_count, model.task.sample_rate)
            trained = job.train(network, epochs=model.training.epochs, lr=model.training.lr)
        else:
            trained = method.apply(_stage(cell, index - 1), job)
        facts: dict[str, Any] = {"data": split.digest, "seconds": round(perf_counter() - start, 1)}
        save_model(trained, unit.path, facts)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return f"{unit.label} done"

    def _evaluate(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.compile.lower import lower
        from kilobench.measure.evaluate import evaluate, save_model_file

        split = self._split(unit.point, cell.model.task, progress)
        graph = lower(_stage(cell, -1), cell.model.task.input_shape)
        with tempfile.TemporaryDirectory() as folder:
            evaluation = evaluate(graph, Path(folder), cell.model.label, split, progress)
        save_model_file(unit.path, graph, evaluation.reference, _about(cell, graph, evaluation, split))
        return ""

    def _measure(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.measure.evaluate import load_model_file
        from kilobench.measure.recording import Where, record_of

        model, point = load_model_file(product_path("evaluate", cell.model.evaluation_key)), unit.point
        with tempfile.TemporaryDirectory() as folder:
            where = Where(cell.board, point.link, point.toolchain, point.power)
            record, program = record_of(model, where, Path(folder), progress)
            write_atomically(cache_dir() / "firmware" / f"{unit.key}.elf", program.read_bytes())
        write_atomically(unit.path, record.model_dump_json(by_alias=True).encode())
        fits = "fits" if record.fits else "does not fit"
        cycles = NOT_RUN if record.cycles is None else f"{record.cycles / 1e6:.2f} Mcycles"
        return (
            f"{cell.label}: accuracy {100 * record.accuracy.mean:.1f} %, flash {record.flash_bytes / 1024:.1f} KiB, "
            f"RAM {record.ram_bytes / 1024:.1f} KiB, {cycles}, {fits}"
        )


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """While another process makes the same, or uses the same board, wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        progress("waiting for another worker or run", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _stage_path(cell: Cell, index: int) -> Path:
    return product_path("train", cell.model.stages[index].key)


def _stage(cell: Cell, index: int) -> nn.Module:
    """A fresh copy of the model after a stage of the recipe."""
    return load_model(_stage_path(cell, index))[0]


def _teacher(cell: Cell, index: int) -> Teacher | None:
    """The model of the last method before this stage that teaches."""
    from kilobench.learn.train import Teacher

    for before in reversed(range(index)):
        if (method := cell.model.stages[before].method) is not None and method.teaches:
            return Teacher(_stage(cell, before), method.weight, method.temperature)  # type: ignore[attr-defined]
    return None


def _cost(cell: Cell, model: nn.Module, board_name: str) -> Cost:
    """What a candidate takes on a board: its program is built and runs one input."""
    from kilobench.compile.emit import emit
    from kilobench.compile.host import HostModel
    from kilobench.compile.lower import lower
    from kilobench.measure.evaluate import reference
    from kilobench.measure.onboard import measure

    (board,) = [b for b in cell.model.costing if b.name == board_name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = lower(model, cell.model.task.input_shape)
        emit(graph, folder, "candidate")
        expected = reference(graph, HostModel(folder), 1)
        measured = measure(folder, graph, expected, board, folder / "build", cell.point.toolchain)
    cycles = measured.cycles[0] if measured.cycles else None
    return Cost(
        flash_bytes=measured.sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        cycles=cycles,
        latency_ms=float("inf") if cycles is None else 1000 * cycles / board.clock_hz,
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
    )


def _about(cell: Cell, graph: Graph, evaluation: Evaluation, split: Split) -> About:
    from kilobench.measure.evaluate import About

    model, crops = cell.model, evaluation.correct_10_crops
    facts = ModelFacts(
        task=canonical(model.task),
        classes=model.task.class_count,
        synthetic=model.task.synthetic,
        network=canonical(model.network),
        training=asdict(model.training),
        training_changes=model.training_changes,
        recipe=model.recipe,
        seed=cell.point.seed,
        fold=cell.point.fold,
        accuracy=accuracy(evaluation.correct),
        accuracy_10_crops=None if crops is None else accuracy(crops),
        macs=graph.macs(),
        parameters=graph.parameters(),
        model_digest=graph.digest(),
        data_digest=split.digest,
        partial=split.partial,
        notes=tuple(split.notes),
    )
    train_s = sum(read_facts(_stage_path(cell, index))["seconds"] for index in range(len(model.stages)))
    return About(
        model=facts,
        key=model.evaluation_key,
        arguments=(*model.arguments, *(["--allow-partial"] if split.partial else [])),
        arena_lower_bound=evaluation.arena_lower_bound,
        peak=evaluation.peak,
        train_s=round(train_s, 1),
        evaluate_s=round(evaluation.seconds, 1),
    )
