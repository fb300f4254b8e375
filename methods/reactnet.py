# SPDX-License-Identifier: Apache-2.0
"""Binary weights and activations with learned shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.contrib.methods._binary import BinaryMethod, Surgery, clamp

from kilobench.api import Job

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import BinaryConv2d, PiecewiseLinear


class ReActNet(BinaryMethod):  # type: ignore[misc]  # contributions import each other by a name made at run time
    """Binary weights and activations with learned thresholds and PReLUs with shifts (ReActNet).

    As ``bireal``, with a threshold of each channel before the sign (RSign), and in place of ReLUs beside binary convolutions
    PReLUs with a shift of each channel before and behind them (RPReLU). The first half of its steps trains binary
    activations with real weights, the second both. The paper's distributional loss is that of a teacher alone: put
    ``distill[weight=1,temperature=1]`` before it in the recipe.

    Parameters: ``keep`` as of ``bireal``; ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning
    rate in both halves.
    """

    name = "reactnet"
    reference = "Liu et al., arXiv 2003.03488, sections 4.1 to 4.3; in two steps as arXiv 2003.11535 trains"

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise activations and train, then weights, and train again."""
        from kilobench.api import quantise

        layer = _layer()
        network = Surgery(model, job.input_shape, self.keep, layer, _rprelu).made(self.name)
        network = job.train(network, lr=self.lr, share=0.5)
        for module in network.modules():
            if isinstance(module, layer):
                module.real = False  # type: ignore[assignment]
        return quantise(job.train(network, lr=self.lr, share=0.5, weight_decay=0.0, after_step=clamp), job.batches(8))


def _rprelu(channels: int) -> PiecewiseLinear:
    from kilobench.api import PiecewiseLinear

    made = PiecewiseLinear(channels)
    made.above.requires_grad_(False)
    return made


def _layer() -> type[BinaryConv2d]:
    import torch
    from torch import nn

    from kilobench.api import BinaryConv2d, approx_sign

    class ReActConv2d(BinaryConv2d):
        """Signs of what is above learned thresholds; its weights are ``real`` at first."""

        def __init__(self, conv: nn.Conv2d) -> None:
            super().__init__(conv)
            self.threshold = nn.Parameter(torch.zeros(conv.in_channels))
            self.real = True

        def thresholds(self) -> Tensor:
            return self.threshold

        def signs(self, x: Tensor) -> Tensor:
            return approx_sign(x - self.threshold[:, None, None])

        def kernel(self) -> Tensor:
            return self.weight if self.real else super().kernel()

    return ReActConv2d
