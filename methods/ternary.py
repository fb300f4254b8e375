# SPDX-License-Identifier: Apache-2.0
"""Ternary weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Job, Method, UserError, require_positive

if TYPE_CHECKING:
    from torch import Tensor, nn


class Ternary(Method):
    """Ternary weights: each is -a, 0 or a, with one a per output channel; activations are int8.

    A weight is 0 if its magnitude is at most ``threshold`` times the mean magnitude of its output channel; a is the mean
    magnitude of the others. Latent weights learn by the straight-through gradient. On the board, weights of convolutions and
    linear layers take 2 bits, those of depthwise convolutions 8.

    Parameters: ``threshold`` see above; ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning
    rate.
    """

    name = "ternary"
    reference = "Li et al., arXiv 1605.04711, sections 2.2 and 2.3 (there one a per layer)"
    changes = (
        "its trainings share the steps of the contest's effort, where they had a length of their own",
        "weights take 2 bits on the board, where they took 8; biases are rounded to steps of a, where it was a / 127",
    )
    order = 30
    threshold: float = 0.7
    effort: float = 0.8
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if self.threshold < 0:
            raise UserError(f"ternary: threshold must not be negative, but is {self.threshold}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train through the ternary function, then quantise activations."""
        from torch import nn

        from kilobench.api import narrow, quantise, weights_through

        layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        with weights_through(layers, self._ternary):
            trained = job.train(model, lr=self.lr)
        for layer in layers:
            narrow(layer, 2)
        return quantise(trained, job.batches(8))

    def _ternary(self, weight: Tensor) -> Tensor:
        """The ternary image of weights [out, ...], with a straight-through gradient."""
        size = weight.detach().abs().flatten(1)
        large = size > self.threshold * size.mean(dim=1, keepdim=True)
        scale = (size * large).sum(dim=1, keepdim=True) / large.sum(dim=1, keepdim=True).clamp(min=1)
        image = (scale * large).view_as(weight) * weight.detach().sign()
        return image + (weight - weight.detach())
