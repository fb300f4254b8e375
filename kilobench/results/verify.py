# SPDX-License-Identifier: Apache-2.0
"""How much of a record holds: made again from its model, on the emulated board and on the test set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kilobench.compile.counts import macs, parameters
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.contracts import CellError, Method, Network, Split, Task, UserError, silent
from kilobench.data.loading import load
from kilobench.data.sources import present
from kilobench.extras import mend, missing
from kilobench.measuring.evaluate import (
    MEASURED_INPUTS,
    EvaluatedModel,
    Evaluation,
    evaluate,
    load_model_file,
    reference,
)
from kilobench.measuring.fitting import Room, size_network
from kilobench.measuring.recording import Where, record_of
from kilobench.paths import cache_dir
from kilobench.plugins.budget import parse_budget
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import change_training, parse_recipe, without_width
from kilobench.record import Auc, ModelFacts, Record, Trust
from kilobench.results.contest import steps_of
from kilobench.results.packed import MODEL_BYTES, PART_BYTES, unpacked
from kilobench.results.store import Store
from kilobench.scratch import temporary_folder

if TYPE_CHECKING:
    from kilobench.measuring.size import Sized

_NOT_REPEATED = {"versions", "git_commit", "times", "trust"}
"""What may differ when a record is made again: where and when."""
_ROOM = 100_000
"""Bytes of a model file that are not weights, at most."""
_MORE = 1.05
"""What a trained model may have of the weights of the untrained one that was pruned alike."""
_LESS = 0.93
"""What a model must take of the flash of the largest that a search finds for its budget, which a few bytes elsewhere change."""


class Refuted(UserError):
    """A record, or its model, is not what it says."""


@dataclass(frozen=True)
class Verdict:
    """What is known of a record now, and in words what was done and what could not be."""

    trust: Trust
    words: str


def facts_of(record: Record) -> dict[str, object]:
    """What a record says of its model."""
    return {name: getattr(record, name) for name in ModelFacts.model_fields}


def recounted(model: EvaluatedModel) -> EvaluatedModel:
    """A model with all that can be counted of its graph counted again, and its reference outputs computed again."""
    graph, about = model.graph, model.about
    with temporary_folder() as folder:
        memory = emit(graph, folder, "counted")
        found = reference(graph, HostModel(folder), MEASURED_INPUTS)
    facts = about.model.model_copy(update={"macs": macs(graph), "parameters": parameters(graph)})
    counted = {"model": facts, "arena_lower_bound": memory.lower_bound_bytes, "peak": memory.peak}
    return replace(model, reference=found, about=about.model_copy(update=counted))


def require_told(record: Record, model: EvaluatedModel) -> None:
    """Raise Refuted where a record does not say of its model what the model's file says."""
    told = model.about.model
    if differing := [name for name, value in facts_of(record).items() if getattr(told, name) != value]:
        raise Refuted(f"{', '.join(differing)}: not that of its model")


class Verifier:
    """Makes the records of a store again. Data that is not here is downloaded, where that can be done and is wanted."""

    def __init__(self, store: Store, registry: Registry, *, download: bool = True) -> None:
        self._store, self._registry, self._download = store, registry, download
        self._untrained: dict[tuple[str, str, str], Graph] = {}
        self._largest: dict[tuple[str, ...], Sized] = {}
        self._loaded: tuple[tuple[str, int], Split] | None = None
        self._absent: dict[str, str] = {}

    def verify(self, record: Record) -> Verdict:
        """What holds of a record. Raises Refuted saying what does not, and UserError or CellError where that cannot be told."""
        path = self._store.model_path(record)
        if not path.exists():
            if record.link == "emulator" and record.flash.weights + _ROOM <= MODEL_BYTES:
                raise UserError(f"its model is missing: {path}")
            return Verdict("claimed", "no model: nothing could be made again")
        if path.is_symlink() or path.stat().st_size > PART_BYTES:
            raise UserError(f"{path} is a link, or has more than {PART_BYTES} bytes")
        with unpacked(path) as file:
            model = load_model_file(file)
        self._facts(record, model)
        if missing("train"):
            return self._costs_alone(record, model)
        if unlike := self._unlike(record, model.graph):
            return Verdict("claimed", unlike)
        if record.link != "emulator":
            unknown = self.predicted(record, model)
            predicted = f"not predicted again: {unknown}" if unknown else "predicted again"
            return Verdict("claimed", f"real board: not repeated, {predicted}")
        self._measured(record, model)
        self._sized(record)
        if unknown := self.predicted(record, model):
            trust: Trust = "claimed" if record.partial or record.transcoded else "re-measured"
            return Verdict(trust, f"measured again, not predicted again: {unknown}")
        return Verdict("verified", "measured again, predicted again")

    def _costs_alone(self, record: Record, model: EvaluatedModel) -> Verdict:
        """Where nothing can be trained: whether the recipe makes such a model is not known, whatever else is."""
        if record.link == "emulator":
            self._measured(record, model)
        done = "measured again" if record.link == "emulator" else "real board: not repeated"
        return Verdict("claimed", f"{done}; recipe and accuracy not checked, which needs an extra: {mend('train')}")

    def _facts(self, record: Record, model: EvaluatedModel) -> None:
        """What the record says of its model is what the model's file says, and what can be counted of it."""
        require_told(record, model)
        again = recounted(model)
        counted: tuple[tuple[str, object, object], ...] = (
            ("macs", model.about.model.macs, again.about.model.macs),
            ("parameters", model.about.model.parameters, again.about.model.parameters),
            ("ram.arena_lower_bound", model.about.arena_lower_bound, again.about.arena_lower_bound),
            ("ram.peak", model.about.peak, again.about.peak),
        )
        for name, stated, wanted in counted:
            if stated != wanted:
                raise Refuted(f"{name}: its model has {wanted}, not {stated}")
        stored, found = model.reference, again.reference
        if not (np.array_equal(stored.outputs, found.outputs) and np.array_equal(stored.checksums, found.checksums)):
            raise Refuted("its model file holds other outputs than its graph gives, or of other inputs")

    def _unlike(self, record: Record, graph: Graph) -> str:
        """Why it cannot be told whether the recipe makes such a graph; empty if it does. Raises Refuted if it does not.

        What a recipe can leave is what it makes of the untrained network: the same operators, types and shapes; where a method
        chooses channels, the same operators and types, and no more weights than it was told to keep.
        """
        from kilobench.compile.lower import lower_for
        from kilobench.learn.train import seed_everything
        from kilobench.learn.untrained import finished

        task: Task = self._registry.get("tasks", record.task)
        methods: list[Method] = [self._registry.get("methods", str(spec)) for spec in parse_recipe(record.recipe)]
        key = record.task, record.network, record.recipe
        if key not in self._untrained:
            network: Network = self._registry.get("networks", record.network)
            seed_everything(0)
            try:
                model = finished(network.build(task.network_shape, task.outputs, task.sample_rate), methods, task)
                self._untrained[key] = lower_for(task, model)
            except (UserError, CellError) as error:
                return f"what its recipe makes cannot be told without training: {error}"
        wanted = self._untrained[key]
        chosen = any(method.resizes for method in methods)
        for number, (found, like) in enumerate(zip(_form(graph, chosen), _form(wanted, chosen), strict=False)):
            if found != like:
                raise Refuted(f"operator {number} of its model is {found}; {record.recipe} makes {like}")
        if len(graph.ops) != len(wanted.ops):
            raise Refuted(f"its model has {len(graph.ops)} operators; {record.recipe} makes {len(wanted.ops)}")
        if chosen and not record.budget and parameters(graph) > _MORE * parameters(wanted):
            raise Refuted(f"its model has {parameters(graph)} weights; {record.recipe} keeps {parameters(wanted)}")
        return ""

    def _measured(self, record: Record, model: EvaluatedModel) -> None:
        where = Where(self._registry.get("boards", record.board), toolchain=record.toolchain.split()[0])
        with temporary_folder() as folder:
            again, _ = record_of(model, where, folder)
        for name in type(record).model_fields:
            if name not in _NOT_REPEATED and getattr(again, name) != getattr(record, name):
                found, stated = getattr(again, name), getattr(record, name)
                shown = f"{found}, not {stated}" if isinstance(found, int | str) else "another value"
                raise Refuted(f"measured again, {name} is {shown} (kilobench measure makes the record anew)")

    def _sized(self, record: Record) -> None:
        """That a network made for a budget is as large as that allows: no width was chosen for its accuracy."""
        methods: list[Method] = [self._registry.get("methods", str(spec)) for spec in parse_recipe(record.recipe)]
        budget = parse_budget(record.budget, "") if record.budget else None
        if budget is None or budget.board != record.board or any(method.resizes for method in methods):
            return
        key = record.task, without_width(record.network), record.recipe, record.budget, record.toolchain
        if key not in self._largest:
            task, network = self._registry.get("tasks", key[0]), self._registry.get("networks", key[1])
            room = Room(self._registry.get("boards", budget.board), budget, record.toolchain.split()[0])
            self._largest[key] = size_network(task, network, methods, room, silent)
        found = self._largest[key]
        if record.flash_bytes < _LESS * found.cost.flash_bytes:
            raise Refuted(
                f"size: {record.size} takes {record.flash_bytes} bytes of flash; the budget allows width={found.size:g}, "
                f"which takes {found.cost.flash_bytes}"
            )

    def predicted(self, record: Record, model: EvaluatedModel) -> str:
        """Why the accuracy cannot be told here; empty if it is right. Raises Refuted if it is not."""
        found = self.evaluated(record, model)
        if isinstance(found, str):
            return found
        if isinstance(found.quality, Auc):
            if not found.quality.agrees(record.quality):
                raise Refuted("predicted again, recordings have other scores than it says")
        elif found.quality != record.accuracy:
            raise Refuted("predicted again, other test samples are right than its bitmap says")
        if found.accuracy_10_crops != record.accuracy_10_crops:
            raise Refuted("predicted again, the accuracy over 10 windows is another")
        return ""

    def evaluated(self, record: Record, model: EvaluatedModel) -> Evaluation | str:
        """What the model makes of the record's test set, or why that cannot be told here. Raises Refuted where data differ."""
        task: Task = self._registry.get("tasks", record.task)
        version = record.contributions.get(f"task {task.name}", task.version())
        if version != task.version():
            return f"it is of version {version} of its task"
        split = self._split(task, record)
        if isinstance(split, str):
            return split
        if split.digest != record.data_digest:
            if split.partial or record.partial:
                return f"the data here lacks {split.partial} inputs, and the record's lacked {record.partial}"
            if split.transcoded or record.transcoded:
                return f"of the data here {split.transcoded} inputs are transcoded, of the record's {record.transcoded}"
            raise Refuted(f"data_digest: the data here has {split.digest}")
        if split.partial != record.partial:
            raise Refuted(f"partial: the data lacks {split.partial} inputs")
        if split.transcoded != record.transcoded:
            raise Refuted(f"transcoded: {split.transcoded} inputs of the data are")
        training = change_training(task, record.training_changes).length(len(split.train_x))
        if record.effort and steps_of(record) != (wanted := round(record.effort * training)):
            raise Refuted(f"steps: {steps_of(record)} in all, the data gives {wanted}")
        with temporary_folder() as folder:
            reconstructs = task.objective == "reconstruction"
            return evaluate(model.graph, folder, "submitted", split, silent, reconstructs=reconstructs)

    def _split(self, task: Task, record: Record) -> Split | str:
        """The data of a record, or why it is not to be had; one fold is kept at a time."""
        if record.task in self._absent:
            return self._absent[record.task]
        if self._loaded is None or self._loaded[0] != (record.task, record.fold):
            try:
                self._require_at_hand(task)
                self._loaded = (record.task, record.fold), load(task, record.fold, cache_dir() / "data", silent)
            except UserError as error:
                self._absent[record.task] = str(error)
                return str(error)
        return self._loaded[1]

    def _require_at_hand(self, task: Task) -> None:
        lacking = [one.folder for one in task.sources() if present(one, cache_dir() / "data") is None]
        if lacking and not self._download:
            raise UserError(f"{lacking[0]} is not here (kilobench data fetch {task.name})")


def _form(graph: Graph, chosen: bool) -> list[str]:
    """Operators with types and, unless channels are ``chosen`` by a method, shapes: ``conv2d int8 -> int8 16x16x8``."""

    def shape(name: str) -> str:
        return "" if chosen else " " + "x".join(map(str, graph.tensors[name].shape))

    return [
        f"{op.kind} {', '.join(graph.tensors[name].dtype for name in op.inputs)} -> "
        f"{graph.tensors[op.output].dtype}{shape(op.output)}"
        for op in graph.ops
    ]
