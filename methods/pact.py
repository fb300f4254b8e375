# SPDX-License-Identifier: Apache-2.0
"""Activations that are cut off where training finds it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError, require_positive, skip

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import FakeQuant, LearnedClip, Step


class Pact(Method):
    """Parameterised clipping: where activations behind a ReLU are cut off learns with the weights, trained through the rounding.

    A range starts at the largest value that calibration has seen, and is drawn to 0 by a part of the loss. Other than in the
    paper, activations have 8 bits, as boards know no fewer, and weights the grid of the board, whose step is the largest of a
    channel over the largest code; the first and the last layer have 8 bits, and so have grouped ones.

    Parameters: ``bits`` of the weights; ``decay`` the weight of the ranges' squares in the loss, half of which is added;
    ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning rate, of ranges as well.
    """

    name = "pact"
    reference = "Choi et al., arXiv 1805.06085, section 3"
    order = 40
    bits: Literal["2", "3", "4", "8"] = "4"
    decay: float = 1e-3
    effort: float = 0.8
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if self.decay < 0:
            raise UserError(f"pact: decay must not be negative, but is {self.decay}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train through the rounding with ranges that learn, then mark the layers."""
        from contextlib import ExitStack

        import torch
        from torch import nn

        from kilobench.api import int8_grid, narrow, narrowable, quantise, ranges_through, weights_through

        bits, batches = int(self.bits), job.batches(8)
        marked = quantise(model, batches)
        layers = [module for module in marked.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        few = [] if bits == 8 else [marked.get_submodule(path) for path in narrowable(marked, batches)[1:-1]]
        if bits < 8 and not few:
            skip(f"no layer lies between the first and the last, which have 8 bits; the others would have {bits}")
        with ExitStack() as stack:
            stack.enter_context(weights_through(few, self._rounded))
            stack.enter_context(weights_through([layer for layer in layers if layer not in few], int8_grid))
            ranges = stack.enter_context(ranges_through(marked, _clip))
            alphas = [parameter for one in ranges for parameter in one.parameters()]
            if not alphas:
                skip("no ReLU has a range that could be learnt")

            def loss(step: Step) -> Tensor:
                return step.usual + self.decay / 2 * torch.stack([alpha.square() for alpha in alphas]).sum()

            job.train(marked, lr=self.lr, loss=loss, parameters=[{"params": alphas, "weight_decay": 0.0}])
        for layer in few:
            narrow(layer, bits)
        return marked.eval()

    def _rounded(self, weight: Tensor) -> Tensor:
        """Weights [out, ...] on the board's grid, with a straight-through gradient."""
        most: int = 2 ** (int(self.bits) - 1) - 1
        largest = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=1e-12)
        step = (largest / most).view(-1, *[1] * (weight.dim() - 1))
        return (weight / step).round().detach() * step + (weight - weight.detach())


def _clip(quant: FakeQuant) -> LearnedClip | None:
    """That of a tensor behind a ReLU, from where calibration has found it."""
    from kilobench.api import LearnedClip

    return LearnedClip(quant.high) if quant.low >= 0 else None
