"""What each method does to a network."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.api import Method, Split, Task, UserError, XnorConv2d
from kilobench.graph import Graph
from kilobench.lower import lower
from kilobench.registry import load_registry
from kilobench.train import TrainingJob, seed_everything


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, TrainingJob, Task]:
    """A briefly trained network of scikit-learn's digits."""
    registry = load_registry()
    task: Task = registry.get("tasks", "digits")
    split: Split = task.load(0, None, silent)  # type: ignore[arg-type]
    seed_everything(0)
    job = TrainingJob(split, task, seed=0, progress=silent)
    model = registry.get("networks", "resnet8[width=8]").build(task.input_shape, 10, 0)
    return job.train(model, epochs=2, lr=4e-3), job, task


def apply(spec: str, trained: tuple[nn.Module, TrainingJob, Task]) -> nn.Module:
    method: Method = load_registry().get("methods", spec)
    return method.apply(copy.deepcopy(trained[0]), trained[1])


def graph(model: nn.Module, trained: tuple[nn.Module, TrainingJob, Task]) -> Graph:
    return lower(model, trained[2].input_shape)


def weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("rank", ["taylor", "l1"])
def test_prune_keeps_the_share_that_was_asked_for(rank: str, trained: tuple[nn.Module, TrainingJob, Task]) -> None:
    small = apply(f"prune[keep=0.5,rank={rank},epochs=0]", trained)
    assert 0.35 <= weights(small) / weights(trained[0]) <= 0.5
    assert small(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    before, after = graph(trained[0], trained).macs()["fp32"], graph(small, trained).macs()["fp32"]
    assert after < before


def test_prune_refuses_to_keep_nothing(trained: tuple[nn.Module, TrainingJob, Task]) -> None:
    with pytest.raises(UserError, match="keep must be above 0"):
        apply("prune[keep=0]", trained)


def test_int8_stays_close_to_the_network_it_came_from(trained: tuple[nn.Module, TrainingJob, Task]) -> None:
    model = apply("int8", trained)
    x, _ = trained[1].batches(1)[0]
    with torch.no_grad():
        agree = (model(x).argmax(1) == trained[0](x).argmax(1)).float().mean()
    assert agree >= 0.95
    macs = graph(model, trained).macs()
    assert macs["fp32"] == 0 < macs["int8"]


def test_xnor_moves_most_products_to_bits(trained: tuple[nn.Module, TrainingJob, Task]) -> None:
    model = apply("xnor[epochs=0.1]", trained)
    binary = [module for module in model.modules() if isinstance(module, XnorConv2d)]
    assert binary and all(bool((layer.weight.abs() <= 1).all()) for layer in binary)
    macs = graph(model, trained).macs()
    assert macs["binary"] > macs["int8"] > macs["fp32"] == 0


def test_training_twice_gives_the_same_weights(trained: tuple[nn.Module, TrainingJob, Task]) -> None:
    states = [apply("prune[keep=0.5,epochs=0.1]", trained).state_dict() for _ in range(2)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
