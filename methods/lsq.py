# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits and int8 activations whose steps are learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, require_positive, skip

if TYPE_CHECKING:
    from torch import nn

    from kilobench.api import FakeQuant, LearnedStep


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
        from contextlib import ExitStack

        from torch import nn

        from kilobench.api import int8_grid, narrow, narrowable, quantise, ranges_through, weights_through

        bits, batches = int(self.bits), job.batches(8)
        marked = quantise(model, batches)
        layers = [module for module in marked.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        between = [] if bits == 8 else [marked.get_submodule(path) for path in narrowable(marked, batches)[1:-1]]
        few = {layer: _step(layer, bits) for layer in between}
        if bits < 8 and not few:
            skip(f"no layer lies between the first and the last, which have 8 bits; the others would have {bits}")
        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(weights_through([layer], few.get(layer, int8_grid)))
            ranges = stack.enter_context(ranges_through(marked, _range))
            steps = [parameter for one in (*few.values(), *ranges) for parameter in one.parameters()]
            group = {"params": steps, "lr": self.step_lr, "weight_decay": 0.0}
            job.train(marked, lr=self.lr, parameters=[group])
        for one, step in few.items():
            narrow(one, bits, step.size)
        return marked.eval()


def _step(layer: nn.Module, bits: int) -> LearnedStep:
    """One for each output channel of a layer's weights (section 2.1)."""
    from kilobench.api import LearnedStep

    most: int = 2 ** (bits - 1) - 1
    mean = layer.weight.detach().abs().flatten(1).mean(dim=1)  # type: ignore[operator]
    return LearnedStep(2 * mean / most**0.5, -most, most)


def _range(quant: FakeQuant) -> LearnedStep:
    """That of a tensor, from where calibration has found it: without a sign behind a ReLU."""
    from kilobench.api import LearnedStep

    if quant.low >= 0:
        return LearnedStep(quant.scale, 0, 255)
    return LearnedStep(quant.high.maximum(-quant.low) / 128, -128, 127)
