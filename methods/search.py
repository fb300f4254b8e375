# SPDX-License-Identifier: Apache-2.0
"""Search for the width of every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from kilobench.api import Budget, Cost, Job, Method, UserError, require_positive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import Slimmable

    Batches = Sequence[tuple[Tensor, Tensor]]

_HELD_OUT = 0.2
"""Share of the training data that candidates are judged on."""
_LEAST = 1e-9
"""What a layer saves at least where nothing could be measured, so that it goes last."""


class Search(Method):
    """Searches the width of every layer with one training: all widths share weights, and layers are slimmed greedily.

    The network trains at random widths, one choice for every layer at each step. From all channels on, the layer is then made
    narrower, an eighth at a time, that raises the loss least for what it saves, until the network is as small as wanted; the loss
    is that on a fifth of the training data that this training did not see, batch norms taking the statistics of each batch.
    What a layer saves is measured on the budget's board, of the limit that the widest network comes nearest to or exceeds most;
    without a budget, by its weights. The network found trains on, on all of the data.

    Parameters: ``keep`` the share of weights to keep, where no budget says how large the network may become; ``shared`` the share
    of its steps in which all widths are trained; ``effort`` its weight where a recipe's methods share steps; ``lr`` the peak
    learning rate of both trainings. It begins with the untrained network, so that what judges was never seen.
    """

    name = "search"
    reference = (
        "Yu and Huang, AutoSlim, arXiv 1903.11728 (greedy slimming); Yu et al., slimmable networks, arXiv 1812.08928; trained "
        "with one choice at a step, as Guo et al., arXiv 1904.00420, in place of the four of arXiv 1903.05134"
    )
    order = 20
    resizes = True
    from_scratch = True
    keep: float = 0.1
    shared: float = 0.4
    effort: float = 2.6
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        for name in ("keep", "shared"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"search: {name} must be above 0 and below 1, not {getattr(self, name)}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train all widths, slim, and train on what keeps the budget."""
        from kilobench.api import Slimmable

        if job.budget and self.keep != type(self).keep:
            raise UserError("search: a budget says how much is kept; give no keep")
        slim = Slimmable(model, job.input_shape)
        with job.held_out(_HELD_OUT) as held, slim.narrowed():
            model = job.train(model, lr=self.lr, share=self.shared, after_step=lambda _: slim.use(_drawn(slim)))

        @cache
        def path() -> list[list[int]]:
            return _slimmed(model, slim, held, _savings(slim, job), job)

        def make(size: float) -> nn.Module:
            smallest = [choices[-1] for choices in slim.choices]
            return slim.network(path()[round((1 - size) * (len(path()) - 1))] if size else smallest)

        small = job.fit(make, 0.0, 1.0) if job.budget else slim.network(self._keeping(path(), slim))
        return job.train(small, lr=self.lr, share=1 - self.shared)

    def _keeping(self, path: list[list[int]], slim: Slimmable) -> list[int]:
        """The widest of a path that keep a share of the weights, found by halving."""
        limit, low, high = self.keep * _weights(slim.network(path[0])), 0, len(path) - 1
        if (least := _weights(slim.network(path[-1]))) > limit:
            raise UserError(f"search: keep={self.keep:g} is too little; the smallest network has {least} weights")
        while low < high:
            middle = (low + high) // 2
            if _weights(slim.network(path[middle])) <= limit:
                high = middle
            else:
                low = middle + 1
        return path[high]


def _drawn(slim: Slimmable) -> list[int]:
    """A width for every layer, at random."""
    import torch

    return [choices[int(torch.randint(len(choices), ()))] for choices in slim.choices]


def _savings(slim: Slimmable, job: Job) -> list[float]:
    """What a channel less of each layer saves, measured at half of its widths."""
    widest = [choices[0] for choices in slim.choices]

    def measured(widths: list[int], done: int) -> Sequence[float]:
        job.progress(f"what layer {done}/{len(widest)} takes", done, len(widest))
        network = slim.network(widths)
        return _loads(job.cost(network), job.budget) if job.budget else [_weights(network)]

    most = measured(widest, 0)
    limit = most.index(max(most))
    savings = []
    for layer, choices in enumerate(slim.choices):
        half = choices[len(choices) // 2]
        less = measured([*widest[:layer], half, *widest[layer + 1 :]], layer + 1)
        saved = (most[limit] - less[limit]) / max(1, choices[0] - half)
        savings.append(saved if saved > _LEAST else _LEAST)
    return savings


def _loads(cost: Cost, budget: Budget) -> list[float]:
    """What a network takes of each limit."""
    taken = (
        (cost.flash_bytes, budget.flash_bytes),
        (cost.ram_bytes, budget.ram_bytes),
        (cost.latency_ms, budget.latency_ms),
    )
    return [0.0 if limit == math.inf else amount / limit for amount, limit in taken]


def _slimmed(model: nn.Module, slim: Slimmable, held: Batches, savings: list[float], job: Job) -> list[list[int]]:
    """The widths from the widest network to the narrowest, one layer narrower at each step.

    What a layer costs in accuracy is asked again only where it could be the cheapest by what it was before: a network that has
    become narrower loses more by the same.
    """
    place, price = [0] * len(savings), [-math.inf] * len(savings)
    total = sum(len(choices) - 1 for choices in slim.choices)

    def widths(after: int | None = None) -> list[int]:
        return [choices[place[i] + (i == after)] for i, choices in enumerate(slim.choices)]

    def loss(after: int | None = None) -> float:
        slim.use(widths(after))
        return _loss(model, held)

    path = [widths()]
    with slim.narrowed(), _norms_by_batch(model):
        now = loss()
        while left := [i for i, choices in enumerate(slim.choices) if place[i] + 1 < len(choices)]:
            job.progress(f"narrower {len(path)}/{total}, held-out loss {now:.2f}", len(path), total)
            asked: dict[int, float] = {}
            while (best := min(left, key=price.__getitem__)) not in asked:
                asked[best] = loss(best)
                channels = slim.choices[best][place[best]] - slim.choices[best][place[best] + 1]
                price[best] = (asked[best] - now) / (channels * savings[best])
            place[best], now = place[best] + 1, asked[best]
            path.append(widths())
    return path


def _loss(model: nn.Module, batches: Batches) -> float:
    """Cross entropy of the classes, or the mean squared error where there are none."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        losses = [
            (functional.mse_loss if y.is_floating_point() else functional.cross_entropy)(model(x), y)
            for x, y in batches
        ]
    return float(torch.stack(losses).mean())


@contextmanager
def _norms_by_batch(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms take the statistics of each batch, and keep their own as they are; all else is as in evaluation."""
    from torch import nn

    norms = [(norm, norm.momentum) for norm in model.eval().modules() if isinstance(norm, nn.BatchNorm2d)]
    for norm, _ in norms:
        norm.train().momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.eval().momentum = momentum


def _weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
