# SPDX-License-Identifier: Apache-2.0
"""Mobile networks on images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, require_positive

if TYPE_CHECKING:
    from torch import nn

_V1_STEM = 32
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of every separable convolution at width 1."""
_V2_STEM, _V2_HEAD = 32, 1280
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks and stride of the first, at width 1."""


class MobileNetV1(Network):
    """Image network: a stem and 13 depthwise separable convolutions, which halve the map four times.

    Where the last map would be smaller than 3 x 3, as for images of 32 x 32, the first strides are 1.

    Parameters: ``width`` the factor on the paper's channels, any positive number; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "mobilenet_v1"
    reference = "Howard et al., arXiv 1704.04861, table 1; the visual wake words network of MLPerf Tiny at width 0.25"
    width: float = 0.25

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For images [channels, height, width] of at least 4 x 4."""
        from kilobench.contrib.networks._separable import Layers, fitting, require_map

        from kilobench.api import scaled

        require_map(self.name, "images", (4, 4), input_shape)
        stem, *widths = scaled([_V1_STEM, *(out for out, _ in _V1)], self.width)
        first, *strides = fitting([2, *(stride for _, stride in _V1)], input_shape)
        layers = Layers(input_shape)
        layers.conv(stem, (3, 3), first)
        for out, stride in zip(widths, strides, strict=True):
            layers.separable(out, stride=stride)
        return layers.classified(classes)


class MobileNetV2(Network):
    """Image network of 17 inverted residuals: expanded six times, depthwise, and few channels in between.

    ReLU stands for the paper's ReLU6, and the width is a factor on the last convolution too. Where the last map would be smaller
    than 3 x 3, as for images of 32 x 32, the first strides are 1.

    Parameters: ``width`` the factor on the paper's channels, any positive number; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "mobilenet_v2"
    reference = "Sandler et al., arXiv 1801.04381, table 2"
    width: float = 0.35

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For images [channels, height, width] of at least 4 x 4."""
        from kilobench.contrib.networks._separable import inverted_residuals, require_map

        require_map(self.name, "images", (4, 4), input_shape)
        blocks: list[tuple[int, int | None, int, int]] = []
        channels = _V2_STEM
        for expansion, out, count, stride in _V2:
            for index in range(count):
                inner = channels * expansion if expansion > 1 else None
                blocks.append((3, inner, out, 1 if index else stride))
                channels = out
        return inverted_residuals(input_shape, classes, _V2_STEM, blocks, _V2_HEAD, self.width)
