"""Cells -> records: train, compress, lower, measure; everything finished is cached, so that a run can be cut and resumed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console

from kilobench.api import CellError, Cost, Split, Task, UserError
from kilobench.data import validation
from kilobench.device.boards import timing_label
from kilobench.files import write_atomically
from kilobench.modelfile import load_model, read_facts, save_model
from kilobench.paths import cache_dir
from kilobench.plan import Cell, Stage, plan, versions
from kilobench.progress import OverallProgress
from kilobench.record import SCHEMA, FlashSplit, Layer, RamSplit, Record, Times
from kilobench.registry import Registry
from kilobench.spec import canonical
from kilobench.stats import accuracy
from kilobench.store import Store
from kilobench.suite import Suite

if TYPE_CHECKING:
    from torch import nn

    from kilobench.graph import Graph, Op
    from kilobench.measure import Evaluation, Measurement
    from kilobench.train import Teacher

VALIDATION_SHARE = 0.2
_WEIGHTS = {"stage": 30.0, "measure": 5.0}
"""Rough seconds of a step, for the ETA only."""


def run_suite(
    suite: Suite, registry: Registry, *, output: Path, on: str, toolchain: str, threads: int, console: Console
) -> tuple[list[Record], int]:
    """Do every cell of a suite and write its record under ``output``; returns the records and 1 if a cell failed, else 0.

    On a validation part nothing is written.

    A failing cell never stops the others.
    """
    if on != "emulator":
        raise UserError(f"no link {on!r}; boards are run on: emulator")
    cells = plan(suite, registry, on, toolchain, threads)
    store = Store(output / "records")
    missing = [cell for cell in cells if not _record_path(cell).is_file()]
    stages = {stage.key for cell in missing for stage in cell.stages if not _stage_path(stage).is_file()}
    failed: list[tuple[Cell, str]] = []
    records: list[Record] = []
    with OverallProgress(console, len(stages) * _WEIGHTS["stage"] + len(missing) * _WEIGHTS["measure"]) as progress:
        workshop = _Workshop(progress)
        for cell in cells:
            try:
                records.append(_cached(cell) or workshop.record(cell))
                if not suite.validation:
                    store.write(records[-1])
            except (CellError, UserError) as error:
                failed.append((cell, str(error)))
            except Exception as error:  # a plug-in's mistake must not take the other cells with it
                failed.append((cell, f"{type(error).__name__}: {error} (traceback in {_log(cell)})"))
    for cell, reason in failed:
        console.print(f"failed: {cell.label}: {reason}", highlight=False, markup=False, soft_wrap=True, style="red")
    done = len(missing) - len(failed)
    console.print(f"{done} measured, {len(cells) - len(missing)} cached, {len(failed)} failed", highlight=False)
    return records, 1 if failed else 0


def _record_path(cell: Cell) -> Path:
    return cache_dir() / "records" / f"{cell.key}.json"


def _stage_path(stage: Stage) -> Path:
    return cache_dir() / "models" / f"{stage.key}.safetensors"


def _is_made_from(data: str, path: Path) -> bool:
    """Whether a model of data with this digest is there; a damaged one is not."""
    try:
        return path.is_file() and read_facts(path).get("data") == data
    except CellError:
        return False


def _cached(cell: Cell) -> Record | None:
    path = _record_path(cell)
    return Record.model_validate_json(path.read_bytes()) if path.is_file() else None


def _log(cell: Cell) -> Path:
    path = cache_dir() / "logs" / f"{cell.key}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc())
    return path


class _Workshop:
    """Makes what cells need, each thing once: data and evaluations are kept for the cells that follow."""

    def __init__(self, progress: OverallProgress) -> None:
        self.progress = progress
        self.split = lru_cache(maxsize=1)(self._split)
        self._evaluated: tuple[str, Graph, Evaluation] | None = None

    def record(self, cell: Cell) -> Record:
        """Measure one cell and put its record into the cache."""
        from kilobench.measure import measure

        graph, evaluation = self.evaluation(cell)
        self.progress.begin(f"{cell.label}: build and run", _WEIGHTS["measure"])
        workdir = cache_dir() / "builds" / cell.model_key / f"{cell.board.name}-{cell.toolchain}"
        measured = measure(_graph_folder(cell), graph, evaluation, cell.board, workdir, cell.toolchain)
        record = self._record(cell, graph, evaluation, measured)
        write_atomically(_record_path(cell), record.model_dump_json(by_alias=True).encode())
        fits = "fits" if record.fits else "does not fit"
        self.progress.end(
            f"{cell.label}: accuracy {100 * record.accuracy.mean:.1f} %, flash {record.flash_bytes / 1024:.1f} KiB, "
            f"RAM {record.ram_bytes / 1024:.1f} KiB, {record.cycles / 1e6:.2f} Mcycles, {fits}"
        )
        return record

    def _split(self, task: Task, fold: int, validate: bool) -> Split:
        self.progress.begin(f"{canonical(task)}: data", 0)
        split = task.load(fold, cache_dir() / "data", self.progress)
        return validation(split, VALIDATION_SHARE, 0) if validate else split

    def model(self, cell: Cell, index: int = -1) -> tuple[nn.Module, float]:
        """A fresh copy of the model after a stage of the recipe, and the seconds that this stage took when it was made."""
        path = _stage_path(cell.stages[index])
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            data = self.split(cell.task, cell.fold, cell.validation).digest
            if not _is_made_from(data, path):
                start = perf_counter()
                model = self._make(cell, index % len(cell.stages), path.with_suffix(""))
                save_model(model, path, {"seconds": perf_counter() - start, "data": data})
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        model, facts = load_model(path)
        return model, facts["seconds"]

    def _make(self, cell: Cell, index: int, checkpoints: Path) -> nn.Module:
        from kilobench.train import TrainingJob, seed_everything

        stage = cell.stages[index]
        before = self.model(cell, index - 1)[0] if index else None
        split = self.split(cell.task, cell.fold, cell.validation)
        label = f"{canonical(cell.task)} {cell.recipe}: {stage.label}"
        self.progress.begin(label, _WEIGHTS["stage"])
        seed_everything(cell.seed, cell.threads)
        job = TrainingJob(
            split,
            cell.task,
            seed=cell.seed,
            progress=self.progress,
            training=cell.training,
            checkpoints=checkpoints,
            teacher=self._teacher(cell, index),
            costs=lambda model, board: self._cost(cell, split, model, board),
        )
        if before is None or stage.method is None:
            model = cell.network.build(cell.task.input_shape, cell.task.class_count, cell.task.sample_rate)
            model = job.train(model, epochs=cell.training.epochs, lr=cell.training.lr)
        else:
            model = stage.method.apply(before, job)
        self.progress.end(f"{label} done")
        return model

    def _teacher(self, cell: Cell, index: int) -> Teacher | None:
        """The model of the last method before this stage that teaches."""
        from kilobench.train import Teacher

        for before in reversed(range(index)):
            if (method := cell.stages[before].method) is not None and method.teaches:
                return Teacher(self.model(cell, before)[0], method.weight, method.temperature)  # type: ignore[attr-defined]
        return None

    def _cost(self, cell: Cell, split: Split, model: nn.Module, board_name: str) -> Cost:
        """What a candidate takes on a board: its program is built and runs the first training input."""
        from kilobench.lower import lower
        from kilobench.measure import evaluate, measure

        width, (board,) = cell.task.input_shape[2], [b for b in cell.costing if b.name == board_name]
        one = Split(split.train_x[:0], split.train_y[:0], split.train_x[:1, ..., :width], split.train_y[:1], (), "")
        with tempfile.TemporaryDirectory() as folder:
            graph = lower(model, cell.task.input_shape)
            evaluation = evaluate(graph, Path(folder), "candidate", one, self.progress)
            measured = measure(Path(folder), graph, evaluation, board, Path(folder) / "build", cell.toolchain)
        return Cost(
            flash_bytes=measured.sizes.flash_bytes,
            ram_bytes=measured.ram_bytes,
            cycles=measured.cycles[0],
            latency_ms=1000 * measured.cycles[0] / board.clock_hz,
            over_flash_bytes=measured.over_flash_bytes,
            over_ram_bytes=measured.over_ram_bytes,
        )

    def evaluation(self, cell: Cell) -> tuple[Graph, Evaluation]:
        """The lowered model and what its C says about the test set."""
        from kilobench.lower import lower
        from kilobench.measure import evaluate

        if self._evaluated is None or self._evaluated[0] != cell.model_key:
            graph = lower(self.model(cell)[0], cell.task.input_shape)
            split = self.split(cell.task, cell.fold, cell.validation)
            name = f"{canonical(cell.task)} {cell.recipe}"
            self.progress.begin(f"{name}: accuracy of the C on the host", 0)
            evaluation = evaluate(graph, _graph_folder(cell), name, split, self.progress)
            self._evaluated = cell.model_key, graph, evaluation
        return self._evaluated[1:]

    def _record(self, cell: Cell, graph: Graph, evaluation: Evaluation, measured: Measurement) -> Record:
        split, sizes = self.split(cell.task, cell.fold, cell.validation), measured.sizes
        train_seconds = sum(self.model(cell, i)[1] for i in range(len(cell.stages)))
        return Record(
            schema=SCHEMA,
            cell=cell.key,
            task=canonical(cell.task),
            classes=cell.task.class_count,
            synthetic=cell.task.synthetic,
            network=canonical(cell.network),
            training=asdict(cell.training),
            training_changes=cell.training_changes,
            recipe=cell.recipe,
            board=cell.board.name,
            clock_hz=cell.board.clock_hz,
            link="emulator",
            timing=timing_label(cell.board),
            toolchain=measured.toolchain,
            flags=measured.flags,
            seed=cell.seed,
            fold=cell.fold,
            accuracy=accuracy(evaluation.correct),
            accuracy_10_crops=None if evaluation.correct_10_crops is None else accuracy(evaluation.correct_10_crops),
            flash_bytes=sizes.flash_bytes,
            ram_bytes=measured.ram_bytes,
            stack_bytes=measured.stack_bytes,
            flash=FlashSplit(weights=sizes.weights, runtime=sizes.runtime, board_support=sizes.board_support),
            ram=RamSplit(
                arena=sizes.arena,
                arena_lower_bound=evaluation.memory.lower_bound_bytes,
                peak=evaluation.memory.peak,
                static=sizes.static,
                stack=measured.stack_bytes,
            ),
            fits=not (measured.over_flash_bytes or measured.over_ram_bytes),
            over_flash_bytes=measured.over_flash_bytes,
            over_ram_bytes=measured.over_ram_bytes,
            cycles=round(sum(measured.cycles) / len(measured.cycles)),
            cycles_low=min(measured.cycles),
            cycles_high=max(measured.cycles),
            layers=tuple(map(_layer, graph.ops, repeat(graph), measured.layer_cycles)),
            macs=graph.macs(),
            parameters=graph.parameters(),
            verified_inputs=len(measured.cycles),
            model_digest=graph.digest(),
            data_digest=split.digest,
            partial=split.partial,
            notes=split.notes,
            versions=versions(),
            git_commit=_git_commit(),
            command=cell.command + (" --allow-partial" if split.partial else ""),
            times=Times(
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                train_s=round(train_seconds, 1),
                build_s=round(measured.build_seconds, 1),
                evaluate_s=round(evaluation.seconds, 1),
                run_s=round(measured.run_seconds, 1),
            ),
        )


def _graph_folder(cell: Cell) -> Path:
    return cache_dir() / "graphs" / cell.model_key


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
