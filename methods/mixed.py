# SPDX-License-Identifier: Apache-2.0
"""Weights of 2, 4 or 8 bits, layer by layer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from kilobench.contrib.methods._learned_steps import train_steps

from kilobench.api import Job, Method, UserError, require_positive

if TYPE_CHECKING:
    from torch import nn

_WIDTHS = (2, 4, 8)
_MEASURED = 2
"""Batches on which a layer's sensitivity is measured."""


class Mixed(Method):
    """Weights of 2, 4 or 8 bits by layer, chosen for a budget and trained through the rounding; int8 activations.

    Every layer is rounded alone to 2 and to 4 bits, as ``int4`` does, and what that does to the network's outputs on training
    data is measured (mean squared difference). From 2 bits everywhere on, the layer that gains most for each bit that it takes
    gets more, as long as the budget allows, or the mean of all weights. Depthwise convolutions keep 8 bits. Then the network is
    trained on as ``lsq`` does.

    Parameters: ``bits`` the most that a weight takes on average, where no budget says how large the model may become; ``batches``
    how many batches of 64 training inputs biases and activations are fitted to; ``effort``, ``lr`` and ``step_lr`` as in ``lsq``.
    """

    name = "mixed"
    reference = (
        "Dong et al., arXiv 1905.03696 and 1911.03852 (HAWQ: bits by the sensitivity of layers; there that is of the Hessian, "
        "here the measured error of the outputs); Esser et al., arXiv 1902.08153 (the training)"
    )
    changes = ("its layers are trained on once their bits are chosen; nothing was trained before",)
    order = 40
    resizes = True
    bits: float = 4.0
    batches: int = 8
    effort: float = 0.8
    lr: float = 4e-3
    step_lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr", "step_lr")
        if not 2 <= self.bits <= 8:
            raise UserError(f"mixed: bits must be from 2 to 8, not {self.bits:g}")
        if not 1 <= self.batches <= 1000:
            raise UserError(f"mixed: batches must be from 1 to 1000, not {self.batches}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Measure the layers, choose bits, and train through them."""
        from kilobench.api import fold_norms, quantise, round_weights

        if job.budget and self.bits != type(self).bits:
            raise UserError("mixed: a budget says how many bits weights have; give no bits")
        folded, batches = fold_norms(copy.deepcopy(model)), job.batches(self.batches)
        steps, sizes = _upgrades(folded, job)
        chosen: dict[nn.Module, dict[str, int]] = {}

        def rounded(mean: float) -> nn.Module:
            bits = _below_8(_chosen(steps, sizes, mean))
            made = quantise(round_weights(copy.deepcopy(folded), bits, batches), batches)
            chosen[made] = bits
            return made

        bits = chosen[job.fit(rounded, 2.0, 8.0)] if job.budget else _below_8(_chosen(steps, sizes, self.bits))
        return train_steps(quantise(model, batches), bits, job, self.lr, self.step_lr)


def _below_8(bits: dict[str, int]) -> dict[str, int]:
    return {path: width for path, width in bits.items() if width < 8}


def _upgrades(model: nn.Module, job: Job) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """In which order layers get more bits, by what that gains for each, and the weights of each layer."""
    from kilobench.api import narrowable, output_error

    batches = job.batches(_MEASURED)
    layers = narrowable(model, batches)
    sizes = {path: model.get_submodule(path).get_parameter("weight").numel() for path in layers}
    gains: list[tuple[float, str, int]] = []
    for done, path in enumerate(layers):
        job.progress("sensitivity of layers", done, len(layers))
        errors = {width: output_error(model, {path: width}, batches) for width in (2, 4)} | {8: 0.0}
        before = 2
        for width in _hull(errors):
            gains.append(((errors[before] - errors[width]) / (width - before) / sizes[path], path, width))
            before = width
    return [(path, width) for _, path, width in sorted(gains, key=lambda gain: -gain[0])], sizes


def _hull(errors: dict[int, float]) -> tuple[int, ...]:
    """The widths that a layer goes through from 2 bits on: 4 only if it gains more for each bit than 8 does."""
    return (4, 8) if errors[2] - errors[4] >= (errors[2] - errors[8]) / 3 else (8,)


def _chosen(steps: list[tuple[str, int]], sizes: dict[str, int], mean: float) -> dict[str, int]:
    """The bits of each layer where a weight takes so many on average at most; more for a larger mean, less for none."""
    chosen = dict.fromkeys(sizes, 2)
    left = (mean - 2) * sum(sizes.values())
    for path, width in steps:
        left -= (width - chosen[path]) * sizes[path]
        if left < 0:
            break
        chosen[path] = width
    return chosen
