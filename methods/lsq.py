# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits and int8 activations whose steps are learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.contrib.methods._learned_steps import train_steps

from kilobench.api import Job, Method, require_positive, skip

if TYPE_CHECKING:
    from torch import nn


class Lsq(Method):
    """Learned step size: weights of 2, 3, 4 or 8 bits and int8 activations, trained through the rounding; steps learn, too.

    Weights have a step for each output channel, which starts at twice their mean magnitude over the root of the largest code, and
    activations one, which starts at what calibration finds. As in the paper, the first and the last layer have 8 bits, and batch
    norm is trained on. Other than there, grouped layers have 8 bits, too, grids are symmetric (of 2 bits: -s, 0 and s),
    activations always have 8 bits, and weights of 8 bits the step of the board, max|w| / 127. Steps learn at ``step_lr``: Adam
    takes no notice of how large a gradient is, which the paper balances steps and weights by.

    Parameters: ``bits`` of the weights; ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning
    rate, ``step_lr`` that of the steps.
    """

    name = "lsq"
    reference = "Esser et al., arXiv 1902.08153, section 2"
    order = 40
    bits: Literal["2", "3", "4", "8"] = "4"
    effort: float = 0.8
    lr: float = 4e-3
    step_lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr", "step_lr")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train through grids whose steps learn, then mark the layers with what was learnt."""
        from kilobench.api import narrowable, quantise

        bits, batches = int(self.bits), job.batches(8)
        marked = quantise(model, batches)
        between = [] if bits == 8 else narrowable(marked, batches)[1:-1]
        if bits < 8 and not between:
            skip(f"no layer lies between the first and the last, which have 8 bits; the others would have {bits}")
        return train_steps(marked, dict.fromkeys(between, bits), job, self.lr, self.step_lr)
