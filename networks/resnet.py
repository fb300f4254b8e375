# SPDX-License-Identifier: Apache-2.0
"""Residual networks on images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, UserError, require_positive

if TYPE_CHECKING:
    from torch import nn


def _channels(factors: tuple[int, ...], width: float) -> tuple[list[int], list[int]]:
    """Of the blocks' outputs, and between their two convolutions."""
    from kilobench.api import scaled

    both = scaled([factor for factor in factors for _ in range(2)], width)
    return both[::2], both[1::2]


class ResNet8(Network):
    """Small residual image network: a stem and three blocks of two 3 x 3 convolutions, widths doubling.

    Parameters: ``width`` channels of the stem, any positive number; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "resnet8"
    reference = "He et al., arXiv 1512.03385, section 4.2, with n = 1; the image network of MLPerf Tiny at width 16"
    width: float = 16.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For images [channels, height, width] of at least 4 x 4."""
        from kilobench.contrib.networks._residual import residual_network

        if min(input_shape[1:]) < 4:
            raise UserError(f"resnet8 takes images of at least 4 x 4, not {input_shape}")
        widths, inner = _channels((1, 2, 4), self.width)
        return residual_network(input_shape, classes, widths, inner)


class ResNet18(Network):
    """The study's ResNet-18 on images: a stem of stride 2 and padding 3, four stages of two blocks; 11 M weights.

    Parameters: ``width`` channels of the stem, any positive number; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "resnet18"
    reference = "He et al., arXiv 1512.03385, table 1; with the stem of arXiv 2108.06128"
    width: float = 64.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For images [channels, height, width] of at least 8 x 8."""
        from kilobench.contrib.networks._residual import residual_network

        if min(input_shape[1:]) < 8:
            raise UserError(f"resnet18 takes images of at least 8 x 8, not {input_shape}")
        widths, inner = _channels((1, 2, 4, 8), self.width)
        return residual_network(input_shape, classes, widths, inner, blocks=2, stride=2, padding=3)
