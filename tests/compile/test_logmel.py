# SPDX-License-Identifier: Apache-2.0
"""Front ends in C against NumPy, and in front of networks of every type; tests/fuzz has random ones on every core."""

from dataclasses import fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from kilobench.compile.emit import emit
from kilobench.compile.ends import PIXELS, heard
from kilobench.compile.graph import Graph, Tensor
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.host import HostModel
from kilobench.compile.lower import LoweringError, lower, lower_for
from kilobench.compile.ops.logmel import Logmel
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import Frontend, silent
from kilobench.learn.train import TrainingJob
from kilobench.learn.untrained import finished
from kilobench.plugins.registry import load_registry
from tests.data.test_frontend import FRONTENDS, LENGTH, sounds
from tests.learn.trained import Tones

REGISTRY = load_registry()


class Heard(Tones):
    """Tones as spectrograms."""

    name = "heard"
    network = "resnet8[width=4]"
    frontend: ClassVar[Frontend | None] = Frontend(rate=8000, frame=64, hop=8, bands=8, points=64, hertz=(100, 4000))


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("coefficients", [0, 10])
def test_c_is_numpy(name: str, coefficients: int, tmp_path: Path) -> None:
    frontend = replace(FRONTENDS[name], coefficients=coefficients)
    graph = front_alone(frontend)
    emit(graph, tmp_path, "m")
    inputs = np.stack(list(sounds(frontend.rate).values())).reshape(-1, 1, LENGTH, 1)
    noise = np.random.default_rng(1).integers(-32_768, 32_768, (4, 1, LENGTH, 1)).astype(np.int16)
    inputs = np.concatenate([inputs, noise])
    made = HostModel(tmp_path).run(inputs)
    assert np.array_equal(made.reshape(len(inputs), -1), simulate(graph, inputs)[graph.output].reshape(len(inputs), -1))


def front_alone(frontend: Frontend) -> Graph:
    """As before a network, without one."""
    codes = Tensor("codes", (*frontend.shape(LENGTH)[1:], 1), "uint8", *PIXELS)
    graph = heard(Graph({"codes": codes}, (), "codes", ("codes",)), frontend, LENGTH)
    check_graph(graph)
    return graph


@pytest.mark.parametrize("recipe", ["full", "int8", "int8[input=int16]", "xnor"])
def test_networks_of_every_type_get_on_boards_what_they_are_trained_on(recipe: str) -> None:
    task = Heard()
    split = task.load(0, Path(), silent)
    torch.manual_seed(0)
    model = REGISTRY.get("networks", task.network).build(task.network_shape, task.outputs, task.sample_rate)
    model = finished(model, [REGISTRY.get("methods", recipe)], task)
    graph, bare = lower_for(task, model), lower(model, task.network_shape)
    assert (
        graph.tensors[graph.input].shape == (1, task.input_shape[2], 1) and graph.tensors[graph.input].dtype == "int16"
    )
    job = TrainingJob(split, task, seed=0, progress=silent)
    x, y = job.batches(1, 8)[0]
    generator = np.random.default_rng(0)
    chosen, start = generator.permutation(len(split.train_x))[:8], int(generator.integers(0, 201))
    sound = split.train_x[chosen][..., start : start + task.input_shape[2]]
    assert job.input_shape == task.network_shape == x.shape[1:] and y.tolist() == split.train_y[chosen].tolist()
    maps = simulate(graph, quantise_input(graph, sound))
    assert np.array_equal(maps[bare.input], quantise_input(bare, x.numpy()))


def test_training_hears_windows_through_the_front_end() -> None:
    task = Heard()
    job = TrainingJob(task.load(0, Path(), silent), task, seed=0, progress=silent, steps=3)
    x, _ = next(iter(job._prefetched(0, 1)))
    codes = x * 128 + 128
    assert x.shape[1:] == task.network_shape and torch.equal(codes, codes.round()) and len(codes.unique()) > 50


def test_bands_that_cannot_be_are_refused_when_lowered() -> None:
    class Narrow(Heard):
        frontend = Frontend(rate=8000, frame=64, hop=8, bands=40, points=64)

    task = Narrow()
    model = REGISTRY.get("networks", task.network).build(task.network_shape, task.outputs, task.sample_rate)
    with pytest.raises(LoweringError, match="no frequency of 64 points lies in band 0; take fewer bands"):
        lower_for(task, model)


def test_every_setting_of_a_front_end_is_one_of_the_operator() -> None:
    assert set(Logmel.attributes) == {field.name for field in fields(Frontend)}
