# SPDX-License-Identifier: Apache-2.0
"""Two briefly trained networks and the jobs that trained them: scikit-learn's digits, and sounds made here."""

import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import Method, Precision, Split, Task, Training
from kilobench.learn.train import TrainingJob, seed_everything
from kilobench.plugins.registry import load_registry


class Tones(Task):
    """Four tones in noise."""

    name = "tones"
    kind = "audio"
    network = "acdnet"
    sample_rate = 8000
    training = Training(epochs=2)

    @property
    def class_count(self) -> int:
        return 4

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, 1, 1600

    def load(self, fold: int, cache: Path, progress: Any) -> Split:
        random, y = np.random.default_rng(0), np.arange(160) % 4
        time = np.arange(1800) / self.sample_rate
        tone = np.sin(2 * np.pi * np.array([300, 700, 1500, 3000])[y][:, None] * time + random.uniform(0, 6, (160, 1)))
        x = np.clip(tone / 2 + random.normal(0, 0.2, tone.shape), -1, 1).astype(np.float32)[:, None, None]
        return Split(x[:100], y[:100], x[100:, ..., :1600], y[100:], ("a", "b", "c", "d"), "tones")


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Trained:
    """A network after its full training, what it was trained on, and its task."""

    model: nn.Module
    split: Split
    task: Task

    def job(self, steps: int = 4, poisoned: bool = False, precision: Precision = "float32") -> TrainingJob:
        """What a method gets; with test data replaced by NaN and wrong labels if ``poisoned``."""
        split = self.split
        if poisoned:
            split = replace(split, test_x=np.full_like(split.test_x, np.nan), test_y=split.test_y[::-1] * 0)
        training = replace(self.task.training, precision=precision)
        return TrainingJob(split, self.task, seed=0, progress=silent, training=training, steps=steps)

    def apply(self, recipe: str, job: Any = None, steps: int = 4) -> nn.Module:
        """A copy of the model after the methods of a recipe, each of which trains for so many steps."""
        model = copy.deepcopy(self.model)
        for spec in recipe.split("+"):
            method: Method = load_registry().get("methods", spec)
            model = method.apply(model, job or self.job(steps))
        return model


def _train(task: Task, network: str, steps: int) -> Trained:
    split: Split = task.load(0, None, silent)  # type: ignore[arg-type]
    seed_everything(0)
    trained = Trained(
        load_registry().get("networks", network).build(task.input_shape, task.class_count, task.sample_rate),
        split,
        task,
    )
    trained.job(steps).train(trained.model, lr=4e-3)
    return trained


@cache
def digits() -> Trained:
    """resnet8 of width 8 on digits."""
    return _train(load_registry().get("tasks", "digits"), "resnet8[width=8]", 54)


@cache
def residual() -> Trained:
    """The study's ResNet-18, 16 times as narrow, on digits."""
    return _train(load_registry().get("tasks", "digits"), "resnet18[width=4]", 10)


@cache
def tones() -> Trained:
    """acdnet of half width on tones."""
    return _train(Tones(), "acdnet[width=0.5]", 50)


def run_in_c(model: nn.Module, trained: Trained, folder: Path) -> tuple[Graph, NDArray[Any], NDArray[Any]]:
    """The lowered model, outputs of its C on the host for 32 test inputs, and those of the simulation."""
    graph = lower(model, trained.task.input_shape)
    inputs = quantise_input(graph, trained.split.test_x[:32])
    emit(graph, folder, "model")
    simulated = simulate(graph, inputs)[graph.output].reshape(len(inputs), -1)
    return graph, HostModel(folder).run(inputs), simulated


def weights(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def logits(model: nn.Module, x: NDArray[np.float32]) -> torch.Tensor:
    """What a model says in evaluation."""
    with torch.no_grad():
        result: torch.Tensor = model.eval()(torch.from_numpy(x))
    return result
