# SPDX-License-Identifier: Apache-2.0
"""Quantisation-aware fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, require_positive

if TYPE_CHECKING:
    from torch import nn


class Qat(Method):
    """Quantisation-aware fine-tuning: trains on with weights and activations rounded to int8, for what int8 loses.

    Batch norm is folded into the convolutions first; weights are rounded per output channel by their largest magnitude
    in every step, activations to ranges fixed beforehand on training data, gradients pass straight through. The result is
    lowered as that of ``int8``. Binary layers of an earlier ``xnor`` train on as they are.

    Parameters: ``input`` and ``calibrate`` as in ``int8``; ``effort`` its weight where a recipe's methods share steps; ``lr``
    its peak learning rate.
    """

    name = "qat"
    reference = "Jacob et al., arXiv 1712.05877, section 3; Krishnamoorthi, arXiv 1806.08342, section 4"
    changes = ("its trainings share the steps of the contest's effort, where they had a length of their own",)
    order = 40
    input: Literal["int8", "int16"] = "int8"
    calibrate: Literal["minmax", "percentile"] = "minmax"
    effort: float = 0.4
    lr: float = 2e-4

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Fold, find ranges, and train through the rounding."""
        from torch import nn

        from kilobench.api import fold_norms, int8_grid, quantise, weights_through

        bits: Literal[8, 16] = 8 if self.input == "int8" else 16
        marked = quantise(fold_norms(model), job.batches(8), input_bits=bits, calibrate=self.calibrate)
        layers = [module for module in marked.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        with weights_through(layers, int8_grid):
            return job.train(marked, lr=self.lr)
