# SPDX-License-Identifier: Apache-2.0
"""Knowledge distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import nn


class Distill(Method):
    """Knowledge distillation: the trained network teaches every training that follows in the recipe.

    It changes nothing itself; put it first, as in ``distill+xnor``. The loss of what follows becomes
    (1 - weight) * task loss + weight * T^2 * KL(teacher || student), both at temperature T.

    Parameters: ``teacher`` the network that teaches: ``full``, the one the recipe starts from; ``weight`` its share of the
    loss; ``temperature`` T, by which both networks' logits are divided.
    """

    name = "distill"
    reference = "Hinton et al., arXiv 1503.02531, section 2"
    order = 10
    teaches = True
    teacher: Literal["full"] = "full"
    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise UserError(f"distill: weight must be above 0 and at most 1, not {self.weight}")
        if self.temperature <= 0:
            raise UserError(f"distill: temperature must be positive, not {self.temperature}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """The model, unchanged."""
        return model
