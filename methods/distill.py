# SPDX-License-Identifier: Apache-2.0
"""Knowledge distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import nn


class Distill(Method):
    """Knowledge distillation: the trained network teaches every training that follows in the recipe.

    It changes nothing itself; put it first, as in ``distill+xnor``. The loss of what follows becomes
    (1 - weight) * task loss + weight * T^2 * KL(teacher || student), both at temperature T.

    Parameters: ``teacher`` the network that teaches: ``full``, the one the recipe starts from, or another, as in
    ``distill[teacher=resnet8[width=2]]+xnor``, which is trained on the task for as long as a first training, out of the recipe's
    effort; ``weight`` its share of the loss; ``temperature`` T, by which both networks' logits are divided.
    """

    name = "distill"
    reference = "Hinton et al., arXiv 1503.02531, section 2"
    order = 10
    teaches = True
    teacher: str = "full"
    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise UserError(f"distill: weight must be above 0 and at most 1, not {self.weight}")
        if not self.teacher:
            raise UserError("distill: teacher must be full or a network")
        if self.temperature <= 0:
            raise UserError(f"distill: temperature must be positive, not {self.temperature}")

    @property
    def taught_by(self) -> str:
        """Another network, if one is named."""
        return "" if self.teacher == "full" else self.teacher

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """The model, unchanged."""
        return model
