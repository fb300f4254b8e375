"""What is done for a unit: train or compress, evaluate on the host, build and run on the board."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

from filelock import FileLock, Timeout

from kilobench.api import CellError, Cost, Progress, Split, Task
from kilobench.data import validation
from kilobench.device.boards import timing_label
from kilobench.files import write_atomically
from kilobench.modelfile import load_model, read_facts, save_model
from kilobench.paths import cache_dir
from kilobench.plan import Cell, Planner, Point, versions
from kilobench.record import SCHEMA, FlashSplit, Layer, RamSplit, Record, Times
from kilobench.registry import Registry
from kilobench.spec import canonical
from kilobench.stats import accuracy
from kilobench.units import Unit, product_path, units

if TYPE_CHECKING:
    from torch import nn

    from kilobench.evaluate import Evaluation
    from kilobench.graph import Graph, Op
    from kilobench.measure import Measurement
    from kilobench.train import Teacher

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
        from kilobench.train import TrainingJob, seed_everything

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
            costs=lambda candidate, board: _cost(cell, split, candidate, board, progress),
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
        from kilobench.evaluate import evaluate, save_evaluation
        from kilobench.lower import lower

        split = self._split(unit.point, cell.model.task, progress)
        graph = lower(_stage(cell, -1), cell.model.task.input_shape)
        with tempfile.TemporaryDirectory() as folder:
            evaluation = evaluate(graph, Path(folder), cell.model.label, split, progress)
        facts = {
            "data": split.digest,
            "partial": split.partial,
            "notes": list(split.notes),
            "train_s": sum(read_facts(_stage_path(cell, i))["seconds"] for i in range(len(cell.model.stages))),
        }
        save_evaluation(unit.path, graph, evaluation, facts)
        return ""

    def _measure(self, unit: Unit, cell: Cell, progress: Progress) -> str:
        from kilobench.emit import emit
        from kilobench.evaluate import load_evaluation
        from kilobench.measure import measure

        graph, evaluation, facts = load_evaluation(product_path("evaluate", cell.model.evaluation_key))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            emit(graph, folder, cell.model.label)
            point = unit.point
            try:
                measured = measure(
                    folder, graph, evaluation, cell.board, folder / "build", point.toolchain, point.link, point.power
                )
            except CellError:
                for log in folder.glob("build/*.log"):
                    print(log.read_text())  # into the unit's log
                raise
            write_atomically(cache_dir() / "firmware" / f"{unit.key}.elf", measured.program.read_bytes())
        record = _record(cell, graph, evaluation, measured, facts)
        write_atomically(unit.path, record.model_dump_json(by_alias=True).encode())
        fits = "fits" if record.fits else "does not fit"
        return (
            f"{cell.label}: accuracy {100 * record.accuracy.mean:.1f} %, flash {record.flash_bytes / 1024:.1f} KiB, "
            f"RAM {record.ram_bytes / 1024:.1f} KiB, {record.cycles / 1e6:.2f} Mcycles, {fits}"
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
    from kilobench.train import Teacher

    for before in reversed(range(index)):
        if (method := cell.model.stages[before].method) is not None and method.teaches:
            return Teacher(_stage(cell, before), method.weight, method.temperature)  # type: ignore[attr-defined]
    return None


def _cost(cell: Cell, split: Split, model: nn.Module, board_name: str, progress: Progress) -> Cost:
    """What a candidate takes on a board: its program is built and runs the first training input."""
    from kilobench.evaluate import evaluate
    from kilobench.lower import lower
    from kilobench.measure import measure

    width, (board,) = cell.model.task.input_shape[2], [b for b in cell.model.costing if b.name == board_name]
    one = Split(split.train_x[:0], split.train_y[:0], split.train_x[:1, ..., :width], split.train_y[:1], (), "")
    with tempfile.TemporaryDirectory() as folder:
        graph = lower(model, cell.model.task.input_shape)
        evaluation = evaluate(graph, Path(folder), "candidate", one, progress)
        measured = measure(Path(folder), graph, evaluation, board, Path(folder) / "build", cell.point.toolchain)
    return Cost(
        flash_bytes=measured.sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        cycles=measured.cycles[0],
        latency_ms=1000 * measured.cycles[0] / board.clock_hz,
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
    )


def _record(cell: Cell, graph: Graph, evaluation: Evaluation, measured: Measurement, facts: dict[str, Any]) -> Record:
    model, sizes = cell.model, measured.sizes
    counter = "" if cell.point.link == "emulator" else measured.conditions["counter"]
    return Record(
        schema=SCHEMA,
        cell=cell.key,
        task=canonical(model.task),
        classes=model.task.class_count,
        synthetic=model.task.synthetic,
        network=canonical(model.network),
        training=asdict(model.training),
        training_changes=model.training_changes,
        recipe=model.recipe,
        board=cell.board.name,
        board_flash_bytes=cell.board.flash.bytes,
        board_ram_bytes=cell.board.ram_bytes,
        clock_hz=measured.clock_hz,
        conditions=measured.conditions,
        link=cast(Literal["emulator", "serial"], cell.point.link.partition(":")[0]),
        timing=timing_label(cell.board, counter),
        toolchain=measured.toolchain,
        flags=measured.flags,
        seed=cell.point.seed,
        fold=cell.point.fold,
        accuracy=accuracy(evaluation.correct),
        accuracy_10_crops=None if evaluation.correct_10_crops is None else accuracy(evaluation.correct_10_crops),
        flash_bytes=sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        stack_bytes=measured.stack_bytes,
        flash=FlashSplit(weights=sizes.weights, runtime=sizes.runtime, board_support=sizes.board_support),
        ram=RamSplit(
            arena=sizes.arena,
            arena_lower_bound=evaluation.arena_lower_bound,
            peak=evaluation.peak,
            static=sizes.static,
            stack=measured.stack_bytes,
        ),
        fits=not (measured.over_flash_bytes or measured.over_ram_bytes),
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
        cycles=round(sum(measured.cycles) / len(measured.cycles)),
        cycles_low=min(measured.cycles),
        cycles_high=max(measured.cycles),
        energy_uj=measured.energy_uj,
        layers=tuple(map(_layer, graph.ops, repeat(graph), measured.layer_cycles)),
        macs=graph.macs(),
        parameters=graph.parameters(),
        verified_inputs=len(measured.cycles),
        model_digest=graph.digest(),
        data_digest=facts["data"],
        partial=facts["partial"],
        notes=tuple(facts["notes"]),
        versions=versions(),
        git_commit=_git_commit(),
        command=cell.command + (" --allow-partial" if facts["partial"] else ""),
        times=Times(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            train_s=round(facts["train_s"], 1),
            build_s=round(measured.build_seconds, 1),
            evaluate_s=round(evaluation.seconds, 1),
            run_s=round(measured.run_seconds, 1),
        ),
    )


def _layer(op: Op, graph: Graph, cycles: int) -> Layer:
    tensor = graph.tensors[op.output]
    height, width, channels = tensor.shape
    return Layer(name=op.name, kind=op.kind, output=f"{tensor.dtype} {height}x{width}x{channels}", cycles=cycles)


@cache
def _git_commit() -> str:
    """Of the checkout that runs, as the run began, with "-dirty" where tracked files differ; "none" outside one."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"
