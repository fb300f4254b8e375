"""The one training loop: AdamW, a cosine schedule with a short warm-up, label smoothing, augmentation by kind of task."""

from __future__ import annotations

import ctypes
import math
import queue
import random
import threading
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kilobench.api import Progress, Shape, Split, Task, UserError
from kilobench.augment import augment

BATCH = 50
_THREADS = 2
"""Fixed, so that sums are split, and thus rounded, in the same way on every number of cores."""


def seed_everything(seed: int) -> None:
    """Seed every generator and ask torch for deterministic kernels."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(_THREADS)
    torch.use_deterministic_algorithms(True)
    _keep_freed_memory()


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep large freed blocks instead of returning and faulting them in again at every step (mallopt(3))."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_threshold, 2**30)


class TrainingJob:
    """What methods get (kilobench.api.Job): the training part of a split and the loop."""

    def __init__(self, split: Split, task: Task, *, seed: int, progress: Progress) -> None:
        self.train_x, self.train_y = split.train_x, split.train_y
        self.input_shape: Shape = task.input_shape
        self.kind = task.kind
        self.classes = task.class_count
        self.epochs = task.training.epochs
        self.seed = seed
        self.progress = progress
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def train(
        self,
        model: nn.Module,
        *,
        epochs: int,
        lr: float,
        after_step: Callable[[nn.Module], None] | None = None,
    ) -> nn.Module:
        """See kilobench.api.Job.train. The result is the last epoch's model, on the CPU.

        Raises UserError for negative epochs.
        """
        if epochs < 0:
            raise UserError(f"epochs must not be negative, but are {epochs}")
        torch.manual_seed(self.seed)
        model = model.to(self.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2)
        steps = epochs * math.ceil(len(self.train_x) / BATCH)
        for step, (x, y) in enumerate(self._prefetched(epochs)):
            for group in optimiser.param_groups:
                group["lr"] = lr * _schedule(step, steps)
            loss = functional.cross_entropy(model(x), y, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if after_step is not None:
                after_step(model)
            if step % 5 == 0 or step + 1 == steps:
                epoch = step * epochs // max(steps, 1) + 1
                self.progress(f"epoch {epoch}/{epochs}, loss {loss.item():.2f}", step + 1, steps)
        return model.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]

    def batches(self, count: int, size: int = 64) -> list[tuple[Tensor, Tensor]]:
        """See kilobench.api.Job.batches; windows of longer clips are random, nothing else is varied."""
        generator = np.random.default_rng(self.seed)
        chosen = generator.permutation(len(self.train_x))[: count * size]
        result = []
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            offset = int(generator.integers(0, self.train_x.shape[3] - self.input_shape[2] + 1))
            x = self.train_x[part][..., offset : offset + self.input_shape[2]]
            result.append((torch.from_numpy(x.copy()), torch.from_numpy(self.train_y[part])))
        return result

    def _batches(self, epochs: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        generator = np.random.default_rng(self.seed)
        for _ in range(epochs):
            order = generator.permutation(len(self.train_x))
            for start in range(0, len(order), BATCH):
                chosen = np.sort(order[start : start + BATCH])
                yield augment(self.train_x[chosen], self.kind, self.input_shape, generator), self.train_y[chosen]

    def _prefetched(self, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches made by a thread ahead of the step that uses them, in the same order."""
        ready: queue.Queue[tuple[Tensor, Tensor] | Exception | None] = queue.Queue(maxsize=4)

        def produce() -> None:
            try:
                for x, y in self._batches(epochs):
                    tensor = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
                    ready.put((tensor, torch.from_numpy(y)))
                ready.put(None)
            except Exception as error:  # raised again where the batches are used
                ready.put(error)

        threading.Thread(target=produce, daemon=True).start()
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item[0].to(self.device), item[1].to(self.device)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over the first twentieth, then a cosine to zero (arXiv 1608.03983, equation 5)."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
