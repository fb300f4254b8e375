# SPDX-License-Identifier: Apache-2.0
"""Convolutional networks on raw audio in the manner of ACDNet."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from kilobench.api import Network, Shape, UserError, require_positive

if TYPE_CHECKING:
    from torch import nn

_CHANNELS = {
    "small": (8, 16, 32, 32, 64, 64, 64, 64, 96, 96),
    "paper": (8, 64, 32, 64, 64, 128, 128, 256, 256, 512, 512),
    "micro": (7, 20, 10, 14, 22, 31, 35, 41, 51, 67, 69, 48),
    "nano": (7, 19, 10, 8, 18, 25, 29, 31, 31, 43, 49, 42),
    "gap8": (6, 29, 20, 31, 32, 52, 56, 97, 104, 145, 122, 50),
}
"""conv1 and up; where the last, 1 x 1, is not given it has as many channels as there are classes."""
_LAYERS = {"small": 11}
_PUBLISHED_LAYERS = 12


class AcdNet(Network):
    """Raw-audio network: two 1-D convolutions as a learnt spectrogram, then 3 x 3 convolutions on time by frequency.

    Parameters: ``channels`` those of every layer, ``paper`` ACDNet's own, ``micro``, ``nano`` and ``gap8`` its published
    pruned forms, ``small`` a network of 11 layers for short sounds; ``width`` a factor on them, rounded to
    multiples of four channels where it is not 1.
    """

    name = "acdnet"
    reference = "ACDNet, arXiv 2103.03483, sections 3.1 and 5; small: scaled down"
    changes = ("with a width, layers round their channels at different widths, so that a budget is filled",)
    channels: Literal["small", "paper", "micro", "nano", "gap8"] = "small"
    width: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "width")

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For input [1, 1, samples]; pools 10 ms frames as the paper does."""
        from torch import nn

        from kilobench.api import SwapAxes, scaled

        if input_shape[:2] != (1, 1) or not sample_rate:
            raise UserError(f"acdnet takes raw audio, 1 x 1 x samples, not {input_shape}")
        layer_count = _LAYERS.get(self.channels, _PUBLISHED_LAYERS)
        widths = list(_CHANNELS[self.channels])
        if self.width != 1:
            widths = scaled(widths, self.width)
        widths += [classes] * (layer_count - len(widths))
        layers: OrderedDict[str, nn.Module] = OrderedDict()

        def conv(index: int, channels: int, kernel: tuple[int, int], **options: int | tuple[int, int]) -> int:
            out = widths[index - 1]
            layers[f"conv{index}"] = nn.Conv2d(channels, out, kernel, bias=False, **options)  # type: ignore[arg-type]
            layers[f"norm{index}"] = nn.BatchNorm2d(out)
            layers[f"relu{index}"] = nn.ReLU()
            return out

        channels = conv(1, 1, (1, 9), stride=(1, 2))
        bands = conv(2, channels, (1, 5), stride=(1, 2))
        samples = ((input_shape[2] - 9) // 2 + 1 - 5) // 2 + 1
        frame = max(1, sample_rate // 100 // 4)
        layers["pool2"] = nn.MaxPool2d((1, frame))
        layers["swap"] = SwapAxes()
        channels, height, width = 1, bands, samples // frame
        for index in range(3, layer_count):
            channels = conv(index, channels, (3, 3), padding=(1, 1))
            if (index % 2 or index == layer_count - 1) and max(height, width) > 2:
                kernel = (2 if height > 1 else 1, 2 if width > 1 else 1)
                layers[f"pool{index}"] = nn.MaxPool2d(kernel)
                height, width = height // kernel[0], width // kernel[1]
        layers["dropout"] = nn.Dropout(0.2)
        channels = conv(layer_count, channels, (1, 1))
        layers["average"] = nn.AvgPool2d((height, width))
        layers["flatten"] = nn.Flatten()
        layers["classifier"] = nn.Linear(channels, classes)
        return nn.Sequential(layers)
