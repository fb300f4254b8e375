"""Structured channel pruning."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Prune(Method):
    """Removes whole channels, the least important first, until a share of the weights is left; then fine-tunes.

    Parameters: ``keep`` the share of weights to keep; ``rank`` what makes a channel important (first-order Taylor
    expansion of the loss, or the l1 norm of its weights); ``epochs`` length of the fine-tuning in trainings of the task;
    ``lr`` its peak learning rate.
    """

    name = "prune"
    reference = "Molchanov et al., arXiv 1611.06440, section 2.2 (taylor); Li et al., arXiv 1608.08710 (l1)"
    order = 20
    keep: float = 0.14
    rank: Literal["taylor", "l1"] = "taylor"
    epochs: float = 0.8
    lr: float = 4e-3

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Prune in one shot to the wanted size, then fine-tune."""
        if not 0 < self.keep <= 1:
            raise UserError(f"prune: keep must be above 0 and at most 1, not {self.keep}")
        _accumulate_gradients(model, job)
        size = _weights(model)
        low, high = 0.0, 0.95
        for _ in range(8):  # the share of channels to remove, to within 0.4 %
            middle = (low + high) / 2
            small_enough = _weights(self._pruned(model, middle, job)) <= self.keep * size
            low, high = (low, middle) if small_enough else (middle, high)
        return job.train(self._pruned(model, high, job), epochs=round(self.epochs * job.epochs), lr=self.lr)

    def _pruned(self, model: nn.Module, ratio: float, job: Job) -> nn.Module:
        """A copy without the given share of its channels; the classifier's outputs stay."""
        import torch
        import torch_pruning as tp
        from torch import nn

        small = copy.deepcopy(model)
        for parameter, original in zip(small.parameters(), model.parameters(), strict=True):
            parameter.grad = None if original.grad is None else original.grad.clone()
        linear = [module for module in small.modules() if isinstance(module, nn.Linear)]
        importance = (
            tp.importance.GroupTaylorImportance()
            if self.rank == "taylor"
            else tp.importance.GroupMagnitudeImportance(p=1)
        )
        tp.pruner.BasePruner(
            small,
            torch.zeros(1, *job.input_shape),
            importance,
            global_pruning=True,
            pruning_ratio=ratio,
            max_pruning_ratio=0.9,
            round_to=4,
            ignored_layers=linear[-1:],
        ).step()
        return small


def _accumulate_gradients(model: nn.Module, job: Job) -> None:
    from torch.nn import functional

    model.eval()
    for x, y in job.batches(8):
        loss: Tensor = functional.cross_entropy(model(x), y)
        loss.backward()


def _weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
