# SPDX-License-Identifier: Apache-2.0
"""The trained network itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Job, Method

if TYPE_CHECKING:
    from torch import nn


class Full(Method):
    """The trained network as it is, in fp32: what the others are compared with."""

    name = "full"
    reference = "none: the baseline"
    order = 0

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """The model, unchanged."""
        return model
