# SPDX-License-Identifier: Apache-2.0
"""What reporting the best epoch on the test fold adds to an accuracy, as the study (arXiv 2108.06128) does, over the last one.

Trains a task's network as it is, in float32, and looks at the test fold after every epoch: which no run of kilobench does,
and of which no record can come. Another seed is another training on the same data.

    python -m benchmarks.best_epoch 'cifar100[classes=10]' study,epochs=100 3 resnet8
"""

import math
import sys

import torch
from torch import nn

from kilobench.contracts import Split, Task, UserError, silent
from kilobench.data.loading import load
from kilobench.learn.train import TrainingJob, seed_everything
from kilobench.paths import cache_dir
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import change_training

BATCH = 250


def accuracy(model: nn.Module, split: Split) -> float:
    """Of the windows of the test fold, in %; leaves the model as it is, in training."""
    model.eval()
    with torch.no_grad():
        parts = torch.from_numpy(split.test_x.copy()).split(BATCH)
        said = torch.cat([model(part).argmax(1) for part in parts])
    model.train()
    return 100 * float((said.numpy() == split.test_y).mean())


def epochs_of(task: Task, split: Split, network: str, changes: str, seed: int) -> list[float]:
    """The accuracy on the test fold after every epoch of one training."""
    training, found, done = change_training(task, changes), list[float](), 0
    steps, epoch = training.length(len(split.train_x)), math.ceil(len(split.train_x) / training.batch)

    def look(model: nn.Module) -> None:
        nonlocal done
        done += 1
        if done % epoch == 0 or done == steps:
            found.append(accuracy(model, split))

    seed_everything(seed, 1)
    model = load_registry().get("networks", network).build(task.network_shape, task.outputs, task.sample_rate)
    job = TrainingJob(split, task, seed=seed, progress=silent, training=training, steps=steps)
    job.train(model, lr=training.lr, after_step=look)
    return found


def main(name: str, changes: str, seeds: int, network: str) -> None:
    task: Task = load_registry().get("tasks", name)
    if task.objective != "classes" or task.frontend is not None:
        raise UserError(f"{name}: for tasks with classes whose networks take inputs as they are")
    split = load(task, 0, cache_dir() / "data", silent)
    print(
        f"{name}, {network}, {changes}: {len(split.train_y)} training inputs, {len(split.test_y)} test inputs",
        flush=True,
    )
    gains = []
    for seed in range(seeds):
        found = epochs_of(task, split, network, changes, seed)
        best = max(found)
        gains.append(best - found[-1])
        settled = sum(found[-10:]) / len(found[-10:])
        at = f"epoch {found.index(best) + 1} of {len(found)}"
        print(
            f"seed {seed}: last {found[-1]:.2f}, best {best:.2f} ({at}), mean of the last ten {settled:.2f}", flush=True
        )
    print(f"best over last: mean {sum(gains) / len(gains):.2f} points, {min(gains):.2f} to {max(gains):.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
