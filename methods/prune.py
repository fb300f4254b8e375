# SPDX-License-Identifier: Apache-2.0
"""Structured channel pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import nn

_SEARCHES = 8
"""Halvings of the share of channels to remove: it is found to within 0.4 %."""
_SPARSE = 0.05
"""Share of the weights that the first step of ``hybrid`` leaves."""
_BATCHES = 8


class Prune(Method):
    """Removes whole channels, the least important first, down to a share of the weights or to a board; then fine-tunes.

    Parameters: ``keep`` the share of weights to keep; or ``fit`` the board that the network is to fit, the largest that
    does being chosen: its int8 form (quantised after training, before fine-tuning) is built and run there, and must need no
    more than the flash, the RAM and, if given, ``latency_ms`` per inference. ``rank`` what makes a channel important: ``taylor``
    and ``l1`` of its weights, or ``hybrid``, the study's: the network is first fine-tuned while all but the largest 5 % of its
    weights are held at zero, then its channels are ranked by their activations times gradients
    (kilobench.api.ChannelRanking gives the formulas). ``iterative`` the number of rounds, between which the network is
    fine-tuned for a tenth of ``epochs``, that of the last fine-tuning in trainings of the task; ``lr`` peak learning rate of all.
    """

    name = "prune"
    reference = (
        "Molchanov et al., arXiv 1906.10771 (taylor) and 1611.06440 (hybrid's ranking); Li et al., arXiv 1608.08710 (l1); "
        "hybrid: Mohaimenuzzaman et al., arXiv 2103.03483, section 4"
    )
    order = 20
    keep: float = 0.1
    fit: str = ""
    latency_ms: float = 0.0
    rank: Literal["taylor", "l1", "hybrid"] = "taylor"
    iterative: int = 1
    epochs: float = 1.6
    lr: float = 4e-3

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise UserError(f"prune: keep must be above 0 and at most 1, not {self.keep}")
        if self.fit and self.keep != type(self).keep:
            raise UserError("prune: give keep or fit, not both")
        if self.latency_ms < 0 or (self.latency_ms and not self.fit):
            raise UserError("prune: latency_ms must be positive, and needs fit=BOARD to say where")
        if self.iterative < 1:
            raise UserError(f"prune: iterative must be at least 1, not {self.iterative}")

    @property
    def boards(self) -> tuple[str, ...]:
        """The board to fit."""
        return (self.fit,) if self.fit else ()

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Remove channels in as many rounds as wanted, fine-tuning after each."""
        if self.rank == "hybrid":
            model = job.train(model, epochs=self._epochs(job), lr=self.lr, after_step=_keep_largest)
        size = _weights(model)
        small_enough = self._fits(job) if self.fit else partial(_at_most, self.keep * size)
        share = self.keep
        if self.fit and self.iterative > 1:
            share = _weights(self._shrunk(model, job, small_enough)) / size
        for done in range(1, self.iterative):
            model = self._shrunk(model, job, partial(_at_most, size * share ** (done / self.iterative)))
            model = job.train(model, epochs=self._epochs(job, 0.1), lr=self.lr)
        return job.train(self._shrunk(model, job, small_enough), epochs=self._epochs(job), lr=self.lr)

    def _epochs(self, job: Job, factor: float = 1.0) -> int:
        return round(self.epochs * factor * job.epochs)

    def _shrunk(self, model: nn.Module, job: Job, small_enough: Callable[[nn.Module], bool]) -> nn.Module:
        """The largest network found by halving that is small enough: the model itself, or a copy without some channels."""
        from kilobench.api import ChannelRanking

        if small_enough(model):
            return model
        ranking = ChannelRanking(model, job.batches(_BATCHES), "activation" if self.rank == "hybrid" else self.rank)
        low, high = 0.0, 0.95
        best = ranking.without(high, job.input_shape)
        if not small_enough(best):
            goal = f"fits {self.fit}" if self.fit else f"keeps a share of {self.keep:g}"
            raise UserError(f"prune: no network found that {goal}; the smallest has {_weights(best)} weights")
        for _ in range(_SEARCHES):
            middle = (low + high) / 2
            small = ranking.without(middle, job.input_shape)
            if small_enough(small):
                best, high = small, middle
            else:
                low = middle
        return best

    def _fits(self, job: Job) -> Callable[[nn.Module], bool]:
        """Whether the int8 form of a network fits the board; networks of the same shapes are measured once."""
        from kilobench.api import quantise

        known: dict[tuple[tuple[int, ...], ...], bool] = {}

        def fits(model: nn.Module) -> bool:
            shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
            if shapes not in known:
                job.progress(f"candidate {len(known) + 1} on {self.fit}", len(known), _SEARCHES + 2)
                cost = job.cost(quantise(copy.deepcopy(model), job.batches(_BATCHES)), self.fit)
                quick = not self.latency_ms or cost.latency_ms <= self.latency_ms
                known[shapes] = quick and not (cost.over_flash_bytes or cost.over_ram_bytes)
            return known[shapes]

        return fits


def _weights(model: nn.Module) -> int:
    """Of the layers that the network uses."""
    from kilobench.api import trace

    return sum(parameter.numel() for parameter in trace(model).parameters())


def _at_most(weights: float, model: nn.Module) -> bool:
    return _weights(model) <= weights


def _keep_largest(model: nn.Module) -> None:
    """Set all but the largest weights of convolutions and linear layers, taken together, to zero."""
    import torch
    from torch import nn

    with torch.no_grad():
        weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
        least = magnitudes.kthvalue(max(1, round((1 - _SPARSE) * len(magnitudes)))).values
        for weight in weights:
            weight.mul_(weight.abs() > least)
