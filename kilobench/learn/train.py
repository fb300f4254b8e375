# SPDX-License-Identifier: Apache-2.0
"""The one training loop: optimiser, schedule, augmentation by kind of task, checkpoints, distillation."""

from __future__ import annotations

import ctypes
import io
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kilobench.contracts import (
    Budget,
    CellError,
    Cost,
    Optimiser,
    Progress,
    Schedule,
    Shape,
    Split,
    Step,
    Task,
    Training,
    UserError,
)
from kilobench.data.splits import held_out
from kilobench.files import read_kept, write_kept
from kilobench.learn.augment import AudioAugmenter, Heard, ImageAugmenter, SpectrogramAugmenter, Windows, heard
from kilobench.learn.objective import as_on_board
from kilobench.learn.optimisers import Factor, Factory, groups, make_factor, make_optimiser
from kilobench.learn.watching import features, where_not_finite

CHECKPOINT_SECONDS = 60.0
_HELD_OUT = 8
"""Batches of what is held out, at most."""
Fit = Callable[[Callable[[float], nn.Module], float, float], nn.Module]
"""See kilobench.api.Job.fit."""
Loss = Callable[[Step], Tensor]
After = Callable[[nn.Module], None]


def seed_everything(seed: int, threads: int = 2) -> None:
    """Seed every generator and ask torch for deterministic kernels.

    The number of ``threads`` is not that of the cores, because sums are split, and thus rounded, by it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it only
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # float32 is what a training that says so computes in
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
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


def _one_thread() -> None:
    """Let torch use one thread in the calling thread, so that making batches does not contend with the step for cores."""
    torch.get_num_threads()  # the first call in a thread sets OpenMP's number of threads
    try:
        ctypes.CDLL(None).omp_set_num_threads(1)
    except (OSError, AttributeError):
        return


@dataclass(frozen=True)
class Teacher:
    """A model whose outputs a student learns from (Hinton et al., arXiv 1503.02531, section 2)."""

    model: nn.Module
    weight: float
    """Of the teacher's part of the loss; the classes have the rest."""
    temperature: float


class TrainingJob:
    """What methods get (kilobench.api.Job): the training part of a split and the loop.

    ``checkpoints`` is a folder in which trainings that are cut leave what the same job needs to go on; ``costs`` measures a
    model on a board by its name.
    """

    def __init__(
        self,
        split: Split,
        task: Task,
        *,
        seed: int,
        progress: Progress,
        training: Training | None = None,
        checkpoints: Path | None = None,
        teacher: Teacher | None = None,
        costs: Callable[[nn.Module, str], Cost] | None = None,
        budget: Budget | None = None,
        fit: Fit | None = None,
        steps: int = 0,
        device: str = "cpu",
    ) -> None:
        self.input_shape: Shape = task.network_shape
        self._width, self._frontend = task.input_shape[2], task.frontend
        self.training = training or task.training
        self.steps = steps
        self.done = 0
        self.budget = budget
        self.seed = seed
        self.progress = progress
        self.device = torch.device(device)
        self.teacher = None if teacher is None else teacher.model.to(self.device).eval()
        self._checkpoints, self._teaching, self._costs, self._fit = checkpoints, teacher, costs, fit
        self._calls = 0
        self._shares = 0.0
        self._task, self._groups = task, split.train_groups
        self._reconstructs = task.objective == "reconstruction"
        self._use(split.train_x, split.train_y, split.digest)

    def _use(self, train_x: NDArray[np.float32], train_y: NDArray[np.int64], digest: str) -> None:
        """Train on other inputs."""
        self.train_x, self.train_y, self._data = train_x, train_y, digest
        x = torch.from_numpy(np.ascontiguousarray(train_x)).to(self.device)
        y = torch.from_numpy(train_y).to(self.device)
        self._augmenter = _augmenter(self._task, x, y, self.training)

    def cost(self, model: nn.Module, board: str = "") -> Cost:
        """See kilobench.api.Job.cost. Raises UserError where this job has no boards, or no budget to take one from."""
        if self._costs is None:
            raise UserError(f"nothing can be measured on {board or 'the board of a budget'} here")
        if not board and self.budget is None:
            raise UserError("there is no budget here whose board could be measured on; name one")
        return self._costs(model, board)

    @contextmanager
    def held_out(self, share: float) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """See kilobench.api.Job.held_out. Raises UserError where nothing is left on one side."""
        x, y, digest, augmenter = self.train_x, self.train_y, self._data, self._augmenter
        out = held_out(y, self._groups, self._task.class_count, share, self.seed)
        try:
            self.train_x, self.train_y = x[out], y[out]
            held = self.batches(_HELD_OUT)
            self._use(x[~out], y[~out], f"{digest} without {share}")
            yield held
        finally:
            self.train_x, self.train_y, self._data, self._augmenter = x, y, digest, augmenter

    def fit(self, make: Callable[[float], nn.Module], low: float, high: float) -> nn.Module:
        """See kilobench.api.Job.fit. Raises UserError where this job has no budget."""
        if self._fit is None:
            raise UserError("there is no budget here to fit")
        return self._fit(make, low, high)

    def train(
        self,
        model: nn.Module,
        *,
        lr: float,
        share: float = 1.0,
        optimiser: Optimiser | Factory | None = None,
        weight_decay: float | None = None,
        after_step: After | None = None,
        loss: Loss | None = None,
        parameters: Iterable[Mapping[str, Any]] = (),
        schedule: Schedule | Factor | None = None,
    ) -> nn.Module:
        """See kilobench.api.Job.train. The result is the last step's model, on the CPU.

        Raises CellError for a share that is negative, or more than what is left; for a loss that is no number with a gradient, or
        not finite.
        """
        decay = self.training.weight_decay if weight_decay is None else weight_decay
        torch.manual_seed(self.seed)
        model = model.to(self.device).to(memory_format=_layout(model)).train()  # type: ignore[call-overload]
        made = make_optimiser(self.training, optimiser, groups(model, parameters, lr, decay))
        factor = make_factor(self.training, schedule)
        run = _Run(model, made, factor, self._take(share), self.training.ema, f"{self.training} {lr} {self._data}")
        path = self._checkpoints / f"{self._calls}.pt" if self._checkpoints else None
        self._calls += 1
        if path is not None and path.is_file():
            run.load(path)
        self._loop(run, loss, after_step, path)
        run.finish()
        return model.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]

    def _take(self, share: float) -> int:
        """The steps of a share; shares that add up to 1 take all, however they are rounded."""
        self._shares += share
        if not share >= 0 or self._shares > 1 + 1e-6:
            raise CellError(f"trainings take {self._shares:g} of the method's steps; shares must add up to 1")
        steps = round(min(1.0, self._shares) * self.steps) - self.done
        self.done += steps
        return steps

    def features(self, model: nn.Module, names: Iterable[str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        """See kilobench.api.Job.features."""
        return features(model, names)

    def _loop(self, run: _Run, loss_of: Loss | None, after_step: After | None, path: Path | None) -> None:
        saved = time.monotonic()
        loss_mean = accuracy_mean = torch.zeros((), device=self.device)
        layout = _layout(run.model)
        for x, y in self._prefetched(run.step, run.steps):
            x = x.contiguous(memory_format=layout)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.precision == "bfloat16"):
                logits = run.model(x)
                taught = None if self.teacher is None else _no_grad(self.teacher, x).float()
            usual = self._loss(logits.float(), y, taught)
            loss = usual if loss_of is None else _one_number(loss_of(Step(x, y, logits.float(), taught, usual)))
            _require_finite(loss, run, x, path)
            run.update(loss)
            if after_step is not None:
                after_step(run.model)
            right = (logits.detach().argmax(1) == y.argmax(1)).float().mean()
            share = max(0.02, 1 / run.step)
            loss_mean, accuracy_mean = loss_mean.lerp(loss.detach(), share), accuracy_mean.lerp(right, share)
            if run.step % 5 == 0 or run.step == run.steps:
                done = f"step {run.step}/{run.steps}"
                text = f"{done}, loss {loss_mean.item():.2f}, accuracy {100 * accuracy_mean.item():.0f} %"
                if self._reconstructs:
                    text = f"{done}, mean squared error {loss_mean.item():.3g}"
                self.progress(text, run.step, run.steps)
            if path is not None and (time.monotonic() - saved > CHECKPOINT_SECONDS or run.step == run.steps):
                run.save(path)
                saved = time.monotonic()

    def _loss(self, logits: Tensor, y: Tensor, taught: Tensor | None) -> Tensor:
        """Cross entropy with class shares; with a teacher, the weighted sum of both. Where the task is to reconstruct, the mean
        squared error, and no teacher.
        """
        if self._reconstructs:
            return functional.mse_loss(logits, y)
        loss = functional.cross_entropy(logits, y, label_smoothing=self.training.label_smoothing)
        if taught is None or self._teaching is None:
            return loss
        t = self._teaching.temperature
        target = functional.log_softmax(taught / t, 1)
        divergence = functional.kl_div(
            functional.log_softmax(logits / t, 1), target, reduction="batchmean", log_target=True
        )
        return (1 - self._teaching.weight) * loss + self._teaching.weight * t * t * divergence

    def batches(self, count: int, size: int = 64) -> list[tuple[Tensor, Tensor]]:
        """See kilobench.api.Job.batches; windows of longer clips are random, nothing else is varied."""
        generator = np.random.default_rng(self.seed)
        chosen = generator.permutation(len(self.train_x))[: count * size]
        result = []
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            offset = int(generator.integers(0, self.train_x.shape[3] - self._width + 1))
            x = torch.from_numpy(self.train_x[part][..., offset : offset + self._width].copy())
            x = x if self._frontend is None else heard(x, self._frontend)
            result.append((x, as_on_board(x) if self._reconstructs else torch.from_numpy(self.train_y[part])))
        return result

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(len(self.train_x) / self.training.batch)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: it depends on the seed and the step alone."""
        epoch, index = divmod(step, self._steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train_x))
        chosen = np.sort(order[index * self.training.batch : (index + 1) * self.training.batch])
        return self._augmenter.batch(chosen, np.random.default_rng([self.seed, epoch, index]))

    def _prefetched(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of some steps, made by a thread ahead of the step that uses them, in the same order."""
        ready: queue.Queue[tuple[Tensor, Tensor] | Exception] = queue.Queue(maxsize=4)

        def produce() -> None:
            _one_thread()
            try:
                for step in range(start, stop):
                    ready.put(self._batch(step))
            except Exception as error:  # raised again where the batches are used
                ready.put(error)

        threading.Thread(target=produce, daemon=True).start()
        for _ in range(start, stop):
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item


def _augmenter(
    task: Task, x: Tensor, y: Tensor, training: Training
) -> AudioAugmenter | Heard | ImageAugmenter | SpectrogramAugmenter | Windows:
    """What varies the inputs of a task of its kind."""
    if task.objective == "reconstruction":
        return Windows(x, task.input_shape[2])
    if task.kind == "audio":
        windows = AudioAugmenter(x, y, task.class_count, task.input_shape, task.sample_rate, training)
        return windows if task.frontend is None else Heard(windows, task.frontend)
    if task.kind == "spectrogram":
        return SpectrogramAugmenter(x, y, task.class_count)
    return ImageAugmenter(x, y, task.class_count, training)


def _layout(model: nn.Module) -> torch.memory_format:
    """Channels last, in which convolutions are fastest, but for two kinds of networks.

    Where the first convolution, with the largest map, makes no multiple of four, batch norm is slow: channels last it takes half
    of a step of Micro-ACDNet, whose first layer has 7 channels. And of a 1x1 convolution of fewer than eight channels that has a
    stride, oneDNN (in torch 2.13, on processors with AVX2 and no AVX-512) computes other weight gradients than there are, and
    writes into memory that is not its own.
    """
    kernels = [parameter.shape for parameter in model.parameters() if parameter.ndim == 4]
    slow = any(count % 4 for count, *_ in kernels[:1])
    wrong = any(channels < 8 and sides == [1, 1] for _, channels, *sides in kernels)
    return torch.contiguous_format if slow or wrong else torch.channels_last


class _Run:
    """A model in training with all that changes from step to step, so that it can be saved and go on."""

    def __init__(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, factor: Factor, steps: int, ema: float, what: str
    ) -> None:
        """``factor`` times the learning rate that a group of the optimiser has now is that of a step; ``what`` tells this
        training from others."""
        self.model, self.optimiser, self.steps, self.step = model, optimiser, steps, 0
        self._factor, self._ema = factor, ema
        self._peaks = [group["lr"] for group in optimiser.param_groups]
        sizes = [(len(group["params"]), group["lr"], group.get("weight_decay")) for group in optimiser.param_groups]
        self._identity = f"{what} {steps} {type(optimiser).__name__} {sizes}"
        own = set(model.parameters())
        self._others = [p for group in optimiser.param_groups for p in group["params"] if p not in own]
        for parameter in self._others:
            parameter.data = parameter.data.to(next(model.parameters()).device)
        self.averages = [t.detach().clone() for t in self._averaged()] if ema else []

    def _averaged(self) -> list[Tensor]:
        return [t for t in self.model.state_dict().values() if t.is_floating_point()]

    def update(self, loss: Tensor) -> None:
        """One step of the optimiser."""
        factor = self._factor(self.step, self.steps)
        for group, peak in zip(self.optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step += 1
        if self.averages:
            decay = min(self._ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.averages, self._averaged(), 1 - decay)

    def finish(self) -> None:
        """Put the averages, where there are some, into the model."""
        for current, average in zip(self._averaged(), self.averages, strict=bool(self.averages)):
            current.copy_(average)

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averages": self.averages,
            "others": [parameter.detach() for parameter in self._others],
            "step": self.step,
            "identity": self._identity,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_kept(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from where a run was saved.

        A file that was damaged, as by a loss of power, is as good as none; so is one of another training, length, rate or data.
        """
        content = read_kept(path)
        state = {} if content is None else torch.load(io.BytesIO(content), weights_only=True)
        if state.get("identity") != self._identity:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.averages = state["averages"]
        with torch.no_grad():
            for parameter, kept in zip(self._others, state["others"], strict=True):
                parameter.copy_(kept)
        self.step = state["step"]
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])


def _one_number(loss: object) -> Tensor:
    """The same. Raises CellError for what no training can lessen."""
    if not isinstance(loss, Tensor) or loss.ndim:
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise CellError(f"the method's loss returned {found}; it is to return one number, a tensor of shape ()")
    if not loss.requires_grad:
        raise CellError("the method's loss has no gradient: it does not depend on what the model gives")
    return loss


def _require_finite(loss: Tensor, run: _Run, x: Tensor, path: Path | None) -> None:
    """Raises CellError naming step and layer of a training that has diverged; its checkpoint leads nowhere."""
    if not math.isfinite(loss.item()):
        if path is not None:
            path.unlink(missing_ok=True)
        where = where_not_finite(run.model, x) or "in the loss alone"
        raise CellError(f"not finite: training diverged at step {run.step + 1} of {run.steps}, {where}")


def _no_grad(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(x)
        return result
