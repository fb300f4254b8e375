# SPDX-License-Identifier: Apache-2.0
"""Folders as kilobench run makes them, of untrained networks; and what a liar would change in them."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.counts import macs, parameters
from kilobench.compile.ends import pixels
from kilobench.contracts import Network, Split, Task
from kilobench.keys import contribution_versions
from kilobench.learn.effort import spans
from kilobench.measuring.evaluate import About, evaluate, load_model_file, save_model_file
from kilobench.measuring.recording import Where, record_of
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, parse_recipe
from kilobench.record import ModelFacts, Record, accuracy
from kilobench.results.packed import SUFFIX, content_of
from kilobench.results.store import Store
from tests.untrained import untrained

Values = dict[str, Any]


def submission(
    folder: Path,
    registry: Registry,
    split: Split,
    task_name: str = "digits",
    recipe: str = "int8",
    *,
    correct: NDArray[np.bool_] | None = None,
    made_by: str = "",
    width: float = 8,
    budget: str = "",
) -> Path:
    """One record of an untrained network and its model file; ``correct`` in place of what is, ``made_by`` another recipe."""
    network_name = f"resnet8[width={width:g}]"
    task: Task = registry.get("tasks", task_name)
    network: Network = registry.get("networks", network_name)
    methods = [registry.get("methods", str(spec)) for spec in parse_recipe(recipe)]
    graph = untrained(network_name, made_by or recipe, task.input_shape, task.class_count)
    graph = pixels(graph) if task.kind == "image" else graph
    evaluation = evaluate(graph, folder / "c", "m", split, lambda text, done, total: None)
    training = task.training.length(len(split.train_x))
    names = ["train", *(method.name for method in methods)]
    facts = ModelFacts(
        task=canonical(task),
        classes=task.class_count,
        synthetic=task.synthetic,
        network=network_name,
        training=asdict(task.training),
        recipe=recipe,
        effort=2.6,
        steps={name: span.steps(training) for name, span in zip(names, spans(methods, 2.6), strict=True)},
        contributions=contribution_versions(task, network, methods),
        budget=budget,
        size=f"width={width:g}" if budget else "",
        seed=0,
        fold=0,
        accuracy=evaluation.quality if correct is None else accuracy(correct),
        macs=macs(graph),
        parameters=parameters(graph),
        model_digest=graph.digest(),
        data_digest=split.digest,
    )
    about = About(
        model=facts,
        key="0" * 32,
        arguments=(
            *("--task", facts.task, "--recipe", recipe, "--seed", "0", "--fold", "0"),
            *(("--budget", budget) if budget else ()),
        ),
        arena_lower_bound=evaluation.arena_lower_bound,
        peak=evaluation.peak,
        train_s=1.0,
        evaluate_s=1.0,
    )
    model = folder / "m.safetensors"
    save_model_file(model, graph, evaluation.reference, about)
    record, _ = record_of(load_model_file(model), Where(registry.get("boards", "nucleo_l476rg")), folder / "c")
    store = Store(folder / "results" / "records")
    store.write(record)
    store.publish(record, model)
    return folder / "results"


def only(results: Path) -> tuple[Path, Values]:
    """The one record of a folder: its file, and what that says."""
    (path,) = (results / "records").rglob("*.json")
    return path, json.loads(path.read_text())


def model_of(results: Path) -> Path:
    """The one model of a folder, unpacked there, so that it can be changed."""
    (path,) = (path for path in (results / "models").iterdir() if path.suffix in (".safetensors", SUFFIX))
    if path.suffix != SUFFIX:
        return path
    plain = path.with_suffix("")
    plain.write_bytes(content_of(path))
    path.unlink()
    return plain


def lie(results: Path, changes: Mapping[str, Any]) -> Record:
    """Change the one record, and its model's file so that they agree; returns it, in the file where it belongs."""
    path, values = only(results)
    path.unlink()
    record = Record.model_validate(values | changes)
    Store(results / "records").write(record)
    if (results / "models").is_dir():
        model = load_model_file(model_of(results))
        told = changes.keys() & ModelFacts.model_fields.keys()
        facts = model.about.model.model_copy(update={name: getattr(record, name) for name in told})
        words = shlex.split(record.command)[2:]
        where = words.index("--board")
        about = model.about.model_copy(update={"model": facts, "arguments": (*words[:where], *words[where + 2 :])})
        save_model_file(model_of(results), model.graph, model.reference, about)
    return record


def all_right(record: Mapping[str, Any]) -> Values:
    """Of a record: every sample right."""
    return {"accuracy": accuracy(np.ones(record["accuracy"]["total"], dtype=bool)).model_dump()}
