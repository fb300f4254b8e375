# SPDX-License-Identifier: Apache-2.0
"""A network on images that was searched for microcontrollers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, require_positive

if TYPE_CHECKING:
    from torch import nn

_STEM = 16
_BLOCKS = (
    (3, None, 8, 1),
    (3, 32, 16, 2),
    (3, 48, 16, 1),
    (7, 48, 24, 2),
    (3, 120, 24, 1),
    (3, 120, 40, 2),
    (7, 160, 40, 1),
    (5, 160, 48, 1),
    (3, 144, 48, 1),
    (3, 192, 48, 1),
    (7, 240, 96, 2),
    (5, 384, 96, 1),
    (5, 384, 96, 1),
    (3, 576, 160, 1),
)
"""Kernel, inner channels, output channels and stride of every inverted residual at width 1."""


class McuNet(Network):
    """Image network of 14 inverted residuals with kernels of 3, 5 and 7, found by a search for little memory and time.

    It is the published mcunet-5fps, which takes 96 x 96; ReLU stands for its ReLU6. Where the last map would be smaller than
    3 x 3, as for images of 32 x 32, the first strides are 1.

    Parameters: ``width`` a factor on the channels, any positive number; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "mcunet"
    reference = "Lin et al., arXiv 2007.10319, section 3.1; shape of mcunet-5fps (ImageNet) in its model zoo"
    width: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For images [channels, height, width] of at least 4 x 4."""
        from kilobench.contrib.networks._separable import inverted_residuals, require_map

        require_map(self.name, "images", (4, 4), input_shape)
        return inverted_residuals(input_shape, classes, _STEM, _BLOCKS, None, self.width)
