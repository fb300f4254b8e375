# SPDX-License-Identifier: Apache-2.0
"""Models of image tasks take the data's bytes, and use all of their values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower, lower_for
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import Task, silent
from kilobench.data.arrays import as_pixels
from kilobench.learn.quantise import quantise
from kilobench.learn.untrained import finished
from kilobench.measuring.evaluate import evaluate
from kilobench.plugins.registry import load_registry
from kilobench.record import accuracy
from tests.learn.trained import digits, tones

REGISTRY = load_registry()


@pytest.mark.parametrize("recipe", ["full", "int8", "int8[input=int16]", "xnor"])
def test_boards_and_evaluation_get_the_bytes_of_the_data(recipe: str, tmp_path: Path) -> None:
    """And say what the model without pixels says of the floats that it was trained on."""
    trained = digits()
    split, model = trained.split, trained.apply(recipe)
    graph, bare = lower_for(trained.task, model), lower(model, trained.task.input_shape)
    images = (split.test_x.transpose(0, 2, 3, 1) * 128 + 128).astype(np.uint8)
    assert set(np.unique(images)) == {*range(0, 256, 16), 255}
    assert np.array_equal(quantise_input(graph, split.test_x), images)
    (tmp_path / "bare").mkdir()
    emit(bare, tmp_path / "bare", "m")
    classes = HostModel(tmp_path / "bare").run(quantise_input(bare, split.test_x)).argmax(axis=1)
    evaluation = evaluate(graph, tmp_path / "pixels", "m", split, silent)
    assert evaluation.quality == accuracy(classes == split.test_y)
    assert evaluation.reference.inputs.dtype == np.uint8


def test_int8_reads_all_256_values_of_photographs() -> None:
    """215 of them were left where the range was 2 / 255 wide."""
    task: Task = REGISTRY.get("tasks", "cifar10")
    codes = torch.randint(0, 255, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0))  # no 255 in calibration
    x = (codes - 128) / 128
    model = quantise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 10)), [(x, torch.zeros(8))])
    graph = lower_for(task, model)
    images = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(1, 32, 32, 3)
    assert len(np.unique(simulate(graph, images)[graph.ops[0].output])) == 256


@pytest.mark.parametrize("recipe", ["full", "int8", "xnor"])
def test_untrained_models_take_pixels_as_trained_ones_do(recipe: str) -> None:
    """For sizes in budgets, and what a recipe makes."""
    trained, method = digits(), REGISTRY.get("methods", recipe)
    model = trained.apply(recipe)
    found, wanted = (lower_for(trained.task, m) for m in (model, finished(trained.model, [method], trained.task)))
    assert [op.kind for op in found.ops] == [op.kind for op in wanted.ops]
    assert found.tensors[found.input] == wanted.tensors[wanted.input]
    assert found.tensors[found.input].dtype == "uint8"


def test_sound_is_taken_as_before() -> None:
    trained = tones()
    whole, bare = lower_for(trained.task, trained.model), lower(trained.model, trained.task.input_shape)
    assert whole.digest() == bare.digest()


def test_what_is_no_pixel_is_the_nearest() -> None:
    graph = lower_for(digits().task, digits().model)
    x = np.array([-1, -0.997, -0.996, 0.0039, 0.004, 0.9999, 1], np.float32).reshape(7, 1, 1, 1)
    assert quantise_input(graph, x).ravel().tolist() == [0, 0, 1, 128, 129, 255, 255]
    assert np.array_equal(quantise_input(graph, as_pixels(x)), quantise_input(graph, x))
