# SPDX-License-Identifier: Apache-2.0
"""Depthwise separable convolutions on spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, require_positive

if TYPE_CHECKING:
    from torch import nn

_BLOCKS = 4


class DsCnn(Network):
    """Network on spectrograms: a stem of 10 frames by 4 bands, stride 2, and four depthwise separable convolutions.

    Parameters: ``width`` channels of every layer, any positive number; layers have multiples of four near it
    (kilobench.api.scaled). 64 is the paper's small network.
    """

    name = "ds_cnn"
    reference = (
        "Zhang et al., arXiv 1711.07128, section 3 and table 1; the keyword network of MLPerf Tiny at width 64, "
        "without its dropout"
    )
    width: float = 64.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For spectrograms [channels, frames, bands] of at least 10 x 4."""
        from kilobench.contrib.networks._separable import Layers, require_map

        from kilobench.api import scaled

        require_map(self.name, "spectrograms, frames by bands,", (10, 4), input_shape)
        stem, *widths = scaled([1] * (1 + _BLOCKS), self.width)
        layers = Layers(input_shape)
        layers.conv(stem, (10, 4), stride=2)
        for out in widths:
            layers.separable(out)
        return layers.classified(classes)
