# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation to 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import nn


class Int8(Method):
    """Post-training quantisation: int8 weights per output channel, int8 activations per tensor with zero points.

    Parameters: ``input`` the type of the network's input (int16 is symmetric); ``calibrate`` the range of an activation:
    from the smallest to the largest value seen, or from the 0.01th to the 99.99th percentile of all values seen (the input's is
    the former always); ``batches`` how many batches of 64 training inputs are run to see them.
    """

    name = "int8"
    reference = "Jacob et al., arXiv 1712.05877, section 2; Krishnamoorthi, arXiv 1806.08342, section 3"
    order = 40
    input: Literal["int8", "int16"] = "int8"
    calibrate: Literal["minmax", "percentile"] = "minmax"
    batches: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.batches <= 1000:
            raise UserError(f"int8: batches must be from 1 to 1000, not {self.batches}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Observe ranges on training data and fix scales and zero points."""
        from kilobench.api import quantise

        bits: Literal[8, 16] = 8 if self.input == "int8" else 16
        return quantise(model, job.batches(self.batches), input_bits=bits, calibrate=self.calibrate)
