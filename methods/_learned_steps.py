# SPDX-License-Identifier: Apache-2.0
"""Training through grids whose steps learn: what methods of few bits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kilobench.api import Job

if TYPE_CHECKING:
    from torch import nn

    from kilobench.api import FakeQuant, LearnedStep


def train_steps(marked: nn.Module, bits: Mapping[str, int], job: Job, lr: float, step_lr: float) -> nn.Module:
    """Train a quantised model through its rounding, and mark its layers with what was learnt (arXiv 1902.08153, section 2).

    Layers of ``bits``, by path, have so many, below 8, and a step for each output channel, which starts at twice the mean
    magnitude of its weights over the root of the largest code; other layers have the grid of the board. Activations have 8 bits
    and a step that starts at what calibration has found. Weights learn at the rate ``lr``, steps at ``step_lr``.
    """
    from contextlib import ExitStack

    from torch import nn

    from kilobench.api import int8_grid, narrow, ranges_through, weights_through

    layers = [module for module in marked.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    few = {marked.get_submodule(path): _step(marked.get_submodule(path), width) for path, width in bits.items()}
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(weights_through([layer], few.get(layer, int8_grid)))
        ranges = stack.enter_context(ranges_through(marked, _range))
        steps = [parameter for one in (*few.values(), *ranges) for parameter in one.parameters()]
        job.train(marked, lr=lr, parameters=[{"params": steps, "lr": step_lr, "weight_decay": 0.0}])
    for (one, step), width in zip(few.items(), bits.values(), strict=True):
        narrow(one, width, step.size)
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
