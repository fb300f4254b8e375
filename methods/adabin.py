# SPDX-License-Identifier: Apache-2.0
"""Weights and activations of two values that are not opposite ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.contrib.methods._binary import BinaryMethod, Surgery

from kilobench.api import Job

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import BinaryConv2d, PiecewiseLinear


class AdaBin(BinaryMethod):  # type: ignore[misc]  # contributions import each other by a name made at run time
    """Weights and activations of two values each, whose centre and distance adapt (AdaBin).

    Weights of an output channel are their mean plus or minus their standard deviation, so that both values are used as often;
    activations of a layer are a learned centre plus or minus a learned distance. In place of ReLUs beside binary convolutions
    each channel has two learned slopes (Maxout). What becomes binary, and the shortcuts, are those of ``bireal``; padding
    counts as the centre of the activations. Gradients pass straight through the rounding of weights, wherever these are.

    Parameters: ``keep`` as of ``bireal``; ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning
    rate.
    """

    name = "adabin"
    reference = (
        "Tu et al., arXiv 2208.08084, sections 3.2 to 3.4 (there the gradient of weights sharpens during the training)"
    )

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise the layers, then train."""
        import torch

        from kilobench.api import quantise

        layer = _layer()
        network = Surgery(model, job.input_shape, self.keep, layer, _maxout).made(self.name)
        distances = [module.distance for module in network.modules() if isinstance(module, layer)]

        def clamp(model: nn.Module) -> None:
            """Distances stay positive."""
            with torch.no_grad():
                for distance in distances:
                    distance.clamp_(min=0.01)  # type: ignore[operator]

        return quantise(job.train(network, lr=self.lr, after_step=clamp), job.batches(8))


def _maxout(channels: int) -> PiecewiseLinear:
    from kilobench.api import PiecewiseLinear

    made = PiecewiseLinear(channels)
    made.bend.requires_grad_(False)
    made.offset.requires_grad_(False)
    return made


def _layer() -> type[BinaryConv2d]:
    import torch
    from torch import nn

    from kilobench.api import BinaryConv2d, approx_sign, sign

    class AdaBinConv2d(BinaryConv2d):
        """centre + distance * sign((x - centre) / distance), convolved by mean + deviation * sign(W - mean)."""

        def __init__(self, conv: nn.Conv2d) -> None:
            super().__init__(conv)
            self.centre, self.distance = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))

        def thresholds(self) -> Tensor:
            return self.centre.expand(self.weight.shape[1])

        def signs(self, x: Tensor) -> Tensor:
            return approx_sign((x - self.centre) / self.distance)

        def kernel(self) -> Tensor:
            return self.distance * self._weights()

        def offsets(self) -> Tensor | None:
            total = self.centre * self._weights().sum(dim=(1, 2, 3))
            return total if self.bias is None else total + self.bias

        def _weights(self) -> Tensor:
            mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
            deviation = self.weight.std(dim=(1, 2, 3), keepdim=True, correction=0) + 1e-8
            distances = (self.weight - mean) / deviation
            return mean + deviation * (distances + (sign(distances) - distances).detach())

    return AdaBinConv2d
