# SPDX-License-Identifier: Apache-2.0
"""Published records made again from their models, without training: costs as the kernels and boards of today have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from kilobench.contracts import CellError, Progress, UserError
from kilobench.keys import measuring_key
from kilobench.measuring.evaluate import EvaluatedModel, load_model_file, save_model_file
from kilobench.measuring.recording import Where, record_of
from kilobench.plugins.names import outside
from kilobench.plugins.registry import Registry, load_registry
from kilobench.record import Record
from kilobench.results.costing import Costing, cost, evaluation_key
from kilobench.results.packed import unpacked
from kilobench.results.store import Store, more, timeless
from kilobench.results.verify import Refuted, Verifier, recounted, require_told
from kilobench.scratch import temporary_folder
from kilobench.sources import code_has_changed


@dataclass(frozen=True)
class Renewal:
    """The records of one model that are to be made again: a step for kilobench.runs.executors, which predicts once."""

    key: str
    """The name of the model's file, without its ending."""
    records: tuple[Record, ...]
    cells: tuple[str, ...]
    """The keys that the records get, of today's code."""
    plugins: tuple[str, ...]
    on_real_board: bool = False

    @property
    def task(self) -> str:
        """Its model's."""
        return self.records[0].task

    @property
    def label(self) -> str:
        """For people."""
        one = self.records[0]
        return ", ".join(filter(None, (f"{one.task} {one.recipe}", one.budget, f"seed {one.seed}", f"fold {one.fold}")))

    @property
    def seconds(self) -> float:
        """That it took when the records were made."""
        times = [record.times for record in self.records]
        return times[0].evaluate_s + sum(time.build_s + time.run_s for time in times)


def renewable(record: Record) -> bool:
    """Whether a record can be made again: it was before, which takes its model, and an emulated board."""
    return record.link == "emulator" and record.trust != "claimed"


def renewals(records: Iterable[Record], store: Store, registry: Registry, *, again: bool = False) -> Iterator[Renewal]:
    """What there is to do for renewable records: those whose ``cell`` is not that of today's code, or all of them ``again``.

    Those of one task and fold follow each other. Nothing is built for it. Raises UserError for a task or board that there is
    not, and where a toolchain is missing.
    """
    models: dict[Path, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.task, r.fold, r.seed, r.network, r.recipe, r.board)):
        models.setdefault(store.model_path(record), []).append(record)
    for path, group in models.items():
        key = evaluation_key(path)
        cells = [(record, _cell(key, record, registry)) for record in group]
        if wanted := [(record, cell) for record, cell in cells if again or record.cell != cell]:
            plugins = outside([registry.get("tasks", group[0].task)])
            yield Renewal(path.stem, tuple(r for r, _ in wanted), tuple(cell for _, cell in wanted), plugins)


def place_of(record: Record, registry: Registry) -> Where:
    """Where a record was measured."""
    return Where(registry.get("boards", record.board), toolchain=record.toolchain.split()[0])


def _cell(evaluation_key: str, record: Record, registry: Registry) -> str:
    place = place_of(record, registry)
    return measuring_key(evaluation_key, asdict(place.board), place.link, place.toolchain, place.power)


@cache
def renewer(folder: Path, sources: tuple[str, ...], plugins: tuple[str, ...]) -> Renewer:
    """What makes the records of a ``folder`` again in this process; as kilobench.runs.executors.workshop."""
    return Renewer(Store(folder), load_registry(sources, plugins))


class Renewer:
    """Makes records of a store again, and writes them there."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry, self._verifier = store, registry, Verifier(store, registry)

    def do(self, unit: Renewal | Costing, progress: Progress) -> str:
        """Make the costs of a model on all boards, or its records; what is not known then, or nothing."""
        if isinstance(unit, Costing):
            cost(unit, self._store, self._registry, progress)
            return ""
        return self._renew(unit, progress)

    def _renew(self, unit: Renewal, progress: Progress) -> str:
        """Make the records of a model again; returns why the test set was not predicted again, or nothing where it was.

        Accuracy, training and command stay. Raises Refuted where the model computes or predicts otherwise than it did, after the
        last record CellError for boards that fail, and UserError where the code changes meanwhile.
        """
        first, failed = unit.records[0], []
        progress("predicting again", 0, 1)
        model = self._counted(unit)
        unknown = self._verifier.predicted(first, model)
        for record, cell in zip(unit.records, unit.cells, strict=True):
            try:
                self._measure(record, cell, model, unknown, progress)
            except CellError as error:
                failed.append(str(error))
        if failed:
            raise CellError("; ".join(failed))
        return unknown

    def _counted(self, unit: Renewal) -> EvaluatedModel:
        """The model with all counted again, in the store too. Raises Refuted where its outputs are others than they were."""
        with unpacked(self._store.model_path(unit.records[0])) as file:
            model = load_model_file(file)
        for record in unit.records:
            require_told(record, model)
        again = recounted(model)
        if not np.array_equal(again.reference.outputs, model.reference.outputs):
            raise Refuted(
                "its outputs are others than its file holds: it computes otherwise than when it was evaluated"
            )
        with temporary_folder() as folder:
            save_model_file(folder / "model", again.graph, again.reference, again.about)
            self._store.publish(unit.records[0], folder / "model")
            return load_model_file(folder / "model")

    def _measure(self, record: Record, cell: str, model: EvaluatedModel, unknown: str, progress: Progress) -> None:
        with temporary_folder() as folder:
            made, _ = record_of(model, place_of(record, self._registry), folder, progress)
        if made.cell != cell or code_has_changed():
            raise UserError("the source code has changed since it began; start it again")
        spent = {"train_s": record.times.train_s, "evaluate_s": record.times.evaluate_s}
        changes = {
            "trust": "re-measured" if unknown else "verified",
            "command": record.command,
            "times": made.times.model_copy(update=spent),
        }
        made = made.model_copy(update=changes)
        alike = made.model_copy(update={"versions": record.versions})  # of packages; those that matter are in the cell
        if timeless(alike) != timeless(record) or more(made, record):
            self._store.write(made)
