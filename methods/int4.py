# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation with weights of 4 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import nn


class Int4(Method):
    """Post-training quantisation: weights of 4 bits per output channel, int8 activations per tensor; nothing is trained.

    The step of a channel is that of the least squared error of its weights, so that the largest may be cut off; biases make up
    for what rounding does to the mean of each channel's outputs on training data. Depthwise convolutions, which have few weights,
    keep 8 bits, and so does the first layer unless told otherwise.

    Parameters: ``first`` the bits of the first layer's weights; ``calibrate`` as in ``int8``; ``batches`` how many batches of 64
    training inputs are run.
    """

    name = "int4"
    reference = (
        "Nagel et al., arXiv 1906.04721, section 4.2 (bias correction, here of measured means); Banner et al., arXiv 1810.05723 "
        "(clipping by squared error, here searched)"
    )
    order = 40
    first: int = 8
    calibrate: Literal["minmax", "percentile"] = "minmax"
    batches: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.batches <= 1000:
            raise UserError(f"int4: batches must be from 1 to 1000, not {self.batches}")
        if self.first not in (4, 8):
            raise UserError(f"int4: first must be 4 or 8, not {self.first}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Fold batch norms, round weights, correct biases, and fix the ranges of activations."""
        from kilobench.api import fold_norms, narrowable, quantise, round_weights

        batches, folded = job.batches(self.batches), fold_norms(model)
        layers = narrowable(folded, batches)
        bits = dict.fromkeys(layers[self.first == 8 :], 4)
        return quantise(round_weights(folded, bits, batches), batches, calibrate=self.calibrate)
