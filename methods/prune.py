# SPDX-License-Identifier: Apache-2.0
"""Structured channel pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError, require_positive

if TYPE_CHECKING:
    from torch import nn

    from kilobench.api import ChannelRanking

_SEARCHES = 8
"""Halvings of the share of channels to remove: it is found to within 0.4 %."""
_SPARSE = 0.05
"""Share of the weights that the first step of ``hybrid`` leaves."""
_BATCHES = 8
_MOST = 0.95
"""The largest share of channels to remove."""


class Prune(Method):
    """Removes whole channels, the least important first, down to a share of the weights or to a budget; then fine-tunes.

    Parameters: ``keep`` the share of weights to keep, where no budget says how large the network may become. ``rank`` what
    makes a channel important: ``taylor`` (Molchanov et al.), ``l1`` (Li et al.), ``l2`` (Fang et al., DepGraph), ``bn_scale``
    (Liu et al., network slimming, without its sparse training), ``lamp`` (Lee et al.), ``fpgm`` (He et al., geometric
    median), ``hessian`` (LeCun et al., optimal brain damage), ``obdc`` (Wang et al., C-OBD of EigenDamage), ``random``, to
    compare them with; or ``hybrid``, the study's: the network is first fine-tuned while all but the largest 5 % of its weights
    are held at zero, then its channels are ranked by their activations times gradients (kilobench.api.ChannelRanking gives the
    formulas). ``iterative`` the number of rounds, between which the network is fine-tuned for a tenth as long as at the end;
    ``effort`` its weight where a recipe's methods share steps; ``lr`` the peak learning rate of all its trainings.
    """

    name = "prune"
    reference = (
        "Molchanov et al., arXiv 1906.10771 (taylor) and 1611.06440 (hybrid's ranking); Li et al., arXiv 1608.08710 (l1); "
        "hybrid: Mohaimenuzzaman et al., arXiv 2103.03483, section 4; Fang et al., arXiv 2301.12900 (l2); "
        "Liu et al., arXiv 1708.06519 (bn_scale); Lee et al., arXiv 2010.07611 (lamp); He et al., arXiv 1811.00250 (fpgm); "
        "LeCun et al., NIPS 1989 (hessian); Wang et al., arXiv 1905.05934 (obdc)"
    )
    changes = (
        "its trainings share the steps of the contest's effort, where they had a length of their own; "
        "a budget says what to fit, for all methods alike, where its parameter fit did",
    )
    order = 20
    resizes = True
    keep: float = 0.1
    rank: Literal["taylor", "l1", "l2", "hybrid", "bn_scale", "lamp", "fpgm", "hessian", "obdc", "random"] = "taylor"
    iterative: int = 1
    effort: float = 1.6
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if not 0 < self.keep <= 1:
            raise UserError(f"prune: keep must be above 0 and at most 1, not {self.keep}")
        if not 1 <= self.iterative <= 100:
            raise UserError(f"prune: iterative must be from 1 to 100, not {self.iterative}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Remove channels in as many rounds as wanted, fine-tuning after each."""
        if job.budget and self.keep != type(self).keep:
            raise UserError("prune: a budget says how much is kept; give no keep")
        fine_tunings = self.iterative - 1
        last = 1 / (1 + 0.1 * fine_tunings + (self.rank == "hybrid"))
        if self.rank == "hybrid":
            model = job.train(model, lr=self.lr, share=last, after_step=_keep_largest)
        size = _weights(model)
        share = self.keep
        if job.budget and fine_tunings:
            share = _weights(self._fitting(model, job)) / size
        for done in range(fine_tunings):
            model = self._keeping(model, job, size * share ** ((done + 1) / self.iterative))
            model = job.train(model, lr=self.lr, share=0.1 * last)
        small = self._fitting(model, job) if job.budget else self._keeping(model, job, size * share)
        return job.train(small, lr=self.lr, share=last)

    def _ranking(self, model: nn.Module, job: Job) -> ChannelRanking:
        from kilobench.api import ChannelRanking

        how = "activation" if self.rank == "hybrid" else self.rank
        return ChannelRanking(model, job.batches(_BATCHES), how, job.progress)

    def _fitting(self, model: nn.Module, job: Job) -> nn.Module:
        """The largest network that keeps the budget: the model itself, or a copy without some channels."""
        ranking = self._ranking(model, job)
        return job.fit(lambda kept: ranking.without(1 - kept, job.input_shape) if kept < 1 else model, 1 - _MOST, 1.0)

    def _keeping(self, model: nn.Module, job: Job, weights: float) -> nn.Module:
        """The largest network found by halving that has at most so many weights: the model, or a copy without some channels."""
        if _weights(model) <= weights:
            return model
        ranking = self._ranking(model, job)
        low, high = 0.0, _MOST
        best = ranking.without(high, job.input_shape)
        if (least := _weights(best)) > weights:
            raise UserError(f"prune: keep={self.keep:g} is too little; the smallest network has {least} weights")
        for _ in range(_SEARCHES):
            middle = (low + high) / 2
            small = ranking.without(middle, job.input_shape)
            if _weights(small) <= weights:
                best, high = small, middle
            else:
                low = middle
        return best


def _weights(model: nn.Module) -> int:
    """Of the layers that the network uses."""
    from kilobench.api import trace

    return sum(parameter.numel() for parameter in trace(model).parameters())


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
