# SPDX-License-Identifier: Apache-2.0
"""A method for the layer that only the plug-in beside it knows: a loss, a group of parameters and a skip of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Job, Method, skip

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import Step


class Even(Method):
    """Trains on, with scales of channels that are drawn to 1, at a learning rate of their own.

    Parameters: ``draw`` how much; ``effort`` its weight where a recipe's methods share steps.
    """

    name = "even"
    reference = "none: the example of docs/methods.md"
    order = 15
    draw: float = 0.1
    effort: float = 1.0

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train, if there are scales."""
        scales = [module.scale for module in model.modules() if type(module).__name__ == "ChannelScale"]
        if not scales:
            skip("it has no scaled channels")

        def loss(step: Step) -> Tensor:
            return step.usual + self.draw * sum((scale - 1).square().mean() for scale in scales)

        group = {"params": scales, "lr": 1e-2, "weight_decay": 0.0}
        return job.train(model, lr=1e-3, loss=loss, parameters=[group])
