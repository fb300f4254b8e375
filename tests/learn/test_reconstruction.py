# SPDX-License-Identifier: Apache-2.0
"""Networks that learn to give back what is usual: training, methods, and the scores of what is not."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.lower import lower
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import CellError, Network, Split, UserError
from kilobench.data.loading import load
from kilobench.learn.objective import as_on_board
from kilobench.learn.pruning import ChannelRanking
from kilobench.learn.stage import check_model
from kilobench.learn.train import TrainingJob, seed_everything
from kilobench.measuring.evaluate import evaluate
from kilobench.plugins.registry import load_registry
from kilobench.record import Auc
from tests.learn.machine import Machine
from tests.learn.trained import Trained, silent, weights

REGISTRY = load_registry()


@cache
def machine() -> Trained:
    """An autoencoder trained for 300 steps."""
    task = Machine()
    split = load(task, 0, Path(), silent)
    seed_everything(0, threads=1)
    network: Network = REGISTRY.get("networks", task.network)
    model = network.build(task.input_shape, task.outputs, 0)
    job = TrainingJob(split, task, seed=0, progress=silent, steps=task.training.steps)
    return Trained(job.train(model, lr=task.training.lr), split, task)


def error(model: nn.Module) -> float:
    """Mean squared, of the middle windows of all training recordings."""
    x = torch.from_numpy(machine().split.train_x[..., 8:11].copy())
    with torch.no_grad():
        return float((model.eval()(x) - x.permute(0, 2, 3, 1).flatten(1)).square().mean())


def test_training_lowers_the_error_below_that_of_the_mean() -> None:
    x = machine().split.train_x
    assert error(machine().model) < 0.3 * float(x.var(axis=0).mean())


def test_the_same_training_gives_the_same_network() -> None:
    first, again = machine().model, machine.__wrapped__().model
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_batches_are_windows_and_what_is_to_be_made_of_them() -> None:
    for x, wanted in machine().job().batches(2, size=8):
        assert x.shape == (8, 12, 1, 3) and torch.equal(wanted, as_on_board(x))
        assert wanted[0, :12].tolist() == x[0, :, 0, 0].tolist()


@pytest.mark.parametrize("recipe", ["int8", "int8[input=int16]", "qat", "ternary", "prune[keep=0.5]+int8"])
def test_methods_leave_a_network_that_tells_what_is_unusual(recipe: str, tmp_path: Path) -> None:
    trained = machine()
    graph = lower(trained.apply(recipe, steps=60), trained.task.input_shape)
    found = evaluate(graph, tmp_path, "m", trained.split, silent, reconstructs=True).quality
    assert isinstance(found, Auc) and (found.usual, found.unusual) == (25, 25)
    assert found.mean > 0.8


@pytest.mark.parametrize("how", ["taylor", "l1", "activation"])
def test_channels_are_ranked_by_what_they_do_for_the_error(how: str) -> None:
    ranking = ChannelRanking(machine().model, machine().job().batches(2), how)  # type: ignore[arg-type]
    small = ranking.without(0.3, machine().task.input_shape)
    assert weights(small) < weights(machine().model)
    check_model(small, machine().task)


def test_a_score_is_the_mean_error_over_all_windows_of_a_recording(tmp_path: Path) -> None:
    trained = machine()
    for recipe in ("full", "int8"):
        graph = lower(trained.apply(recipe), trained.task.input_shape)
        output = graph.tensors[graph.output]
        found = evaluate(graph, tmp_path / recipe, "m", trained.split, silent, reconstructs=True).quality
        assert isinstance(found, Auc)
        scores = []
        for recording in trained.split.test_x:
            x = np.stack([recording[..., start : start + 3] for start in range(18)])
            made = simulate(graph, quantise_input(graph, x))[graph.output].reshape(18, 36).astype(np.float64)
            real = (made - output.zero_point) * output.scale if output.dtype == "int8" else made
            scores.append(np.square(real - x.transpose(0, 2, 3, 1).reshape(18, 36)).mean())
        np.testing.assert_allclose(found.values(), scores, rtol=1e-5)  # usual ones first, as here


def test_what_is_for_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"xnor: with keep=stem no convolution of this network becomes binary"):
        machine().apply("xnor")
    with pytest.raises(CellError, match=r"not \(2, 36\): a value for each of the input"):
        check_model(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), Machine())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_y": np.arange(80) % 2}, "train_y: expected labels from 0 to 0, found 0 to 1"),
        ({"test_y": np.zeros(50, np.int64)}, "test_y: expected labels of every class, found none of unusual"),
        ({"test_x": np.zeros((50, 12, 1, 3), np.float32)}, r"test_x: expected float32 \[50, 12, 1, 20\]"),
    ],
)
def test_data_that_is_not_as_promised_is_refused(change: dict[str, Any], message: str) -> None:
    class Changed(Machine):
        name = "changed"

        def load(self, fold: int, cache: Path, progress: Any) -> Split:
            return dataclasses.replace(super().load(fold, cache, progress), **change)

    with pytest.raises(UserError, match=f"changed: fold 0: {message}"):
        load(Changed(), 0, Path(), silent)
