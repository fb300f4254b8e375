# SPDX-License-Identifier: Apache-2.0
"""Autoencoders of dense layers."""

from __future__ import annotations

from collections import OrderedDict
from math import prod
from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, UserError, require_positive

if TYPE_CHECKING:
    from torch import nn

_HIDDEN = (128, 128, 128, 128, 8, 128, 128, 128, 128)


class Autoencoder(Network):
    """Autoencoder: ten dense layers that give back their input through a neck of eight values.

    Each but the last is followed by batch norm and ReLU. A dense layer is a convolution over its whole map, so that methods
    treat it as any other.

    Parameters: ``width`` a factor on the numbers of hidden values; layers have multiples of four near it
    (kilobench.api.scaled).
    """

    name = "autoencoder"
    reference = (
        "Koizumi et al., Description and Discussion on DCASE2020 Challenge Task 2, arXiv 2006.05822, section 4; "
        "the anomaly detector of MLPerf Tiny, arXiv 2106.07597, section 4"
    )
    width: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For any input of which as many values are to be made."""
        from torch import nn

        from kilobench.api import scaled

        if classes != prod(input_shape):
            raise UserError(
                f"autoencoder gives back what it takes, the {prod(input_shape)} values of {input_shape}, not {classes}"
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, kernel = input_shape[0], input_shape[1:]
        for index, values in enumerate(scaled(_HIDDEN, self.width), 1):
            layers[f"dense{index}"] = nn.Conv2d(channels, values, kernel, bias=False)
            layers[f"norm{index}"] = nn.BatchNorm2d(values)
            layers[f"relu{index}"] = nn.ReLU()
            channels, kernel = values, (1, 1)
        layers[f"dense{len(_HIDDEN) + 1}"] = nn.Conv2d(channels, classes, kernel)
        layers["flatten"] = nn.Flatten()
        return nn.Sequential(layers)
