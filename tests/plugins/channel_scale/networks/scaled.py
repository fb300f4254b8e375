# SPDX-License-Identifier: Apache-2.0
"""A small network with a layer that only the plug-in beside it knows."""

import torch
from torch import nn

from kilobench.contracts import Network


class ChannelScale(nn.Module):
    """Every channel of [n, c, h, w] times the magnitude of a number of its own."""

    operator = "channel_scale"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def factors(self) -> torch.Tensor:
        """Float32 [c]."""
        return self.scale.abs()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return x * self.factors()[:, None, None]


class Scaled(Network):
    """Two convolutions with a scaled map between them."""

    name = "scaled"
    reference = "none: the example of docs/developing.md"

    def build(self, input_shape: tuple[int, int, int], classes: int, sample_rate: int) -> nn.Module:
        """Of images."""
        channels, height, width = input_shape
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            ChannelScale(8),
            nn.Flatten(),
            nn.Linear(8 * ((height + 1) // 2) * ((width + 1) // 2), classes),
        )
