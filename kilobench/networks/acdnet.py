"""Convolutional networks on raw audio in the manner of ACDNet."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kilobench.api import Network, Shape, UserError

if TYPE_CHECKING:
    from torch import nn

_CHANNELS = (8, 16, 32, 32, 64, 64, 64, 64, 96, 96)
"""conv1 to conv10 at width 1; conv11, 1 x 1, has as many channels as there are classes."""
_POOL_AFTER = (3, 5, 7, 9, 10)


class AcdNet(Network):
    """Raw-audio network: two 1-D convolutions as a learnt spectrogram, then 3 x 3 convolutions on time by frequency."""

    name = "acdnet"
    reference = "ACDNet, arXiv 2103.03483, section 3.1; scaled down"
    width: float = 1.0

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        """For input [1, 1, samples]; pools 10 ms frames as the paper does."""
        from torch import nn

        from kilobench.api import SwapAxes

        if self.width <= 0:
            raise UserError(f"acdnet: width must be positive, not {self.width}")
        if input_shape[:2] != (1, 1) or not sample_rate:
            raise UserError(f"acdnet takes raw audio, 1 x 1 x samples, not {input_shape}")
        widths = [max(4, round(channels * self.width / 4) * 4) for channels in _CHANNELS]
        layers: OrderedDict[str, nn.Module] = OrderedDict()

        def conv(index: int, channels: int, kernel: tuple[int, int], **options: int | tuple[int, int]) -> int:
            out = widths[index - 1] if index <= len(widths) else classes
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
        for index in range(3, 11):
            channels = conv(index, channels, (3, 3), padding=(1, 1))
            if index in _POOL_AFTER and max(height, width) > 2:
                kernel = (2 if height > 1 else 1, 2 if width > 1 else 1)
                layers[f"pool{index}"] = nn.MaxPool2d(kernel)
                height, width = height // kernel[0], width // kernel[1]
        layers["dropout"] = nn.Dropout(0.2)
        conv(11, channels, (1, 1))
        layers["average"] = nn.AvgPool2d((height, width))
        layers["flatten"] = nn.Flatten()
        layers["classifier"] = nn.Linear(classes, classes)
        return nn.Sequential(layers)
