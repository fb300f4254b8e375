# SPDX-License-Identifier: Apache-2.0
"""Residual blocks, as modules that survive being stored and traced."""

from __future__ import annotations

from torch import Tensor, nn

from kilobench.api import Add, Shape


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, which is a 1 x 1 convolution where the shape changes.

    ``inner`` is the number of channels between the two.
    """

    def __init__(self, channels: int, out: int, stride: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels == out
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )
        self.add = Add()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> [n, out, h / stride, w / stride]."""
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        result: Tensor = self.relu2(self.add(y, self.shortcut(x)))
        return result


def residual_network(
    input_shape: Shape,
    classes: int,
    widths: list[int],
    inner: list[int],
    *,
    blocks: int = 1,
    stride: int = 1,
    padding: int = 1,
) -> nn.Module:
    """A 3 x 3 stem, ``blocks`` blocks per width, global average, linear classifier.

    The first block of each width but the first halves the map; ``stride`` and ``padding`` are the stem's. ``inner`` has the
    numbers of channels between the two convolutions of blocks.
    """
    stem = [nn.Conv2d(input_shape[0], widths[0], 3, stride, padding, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    height, width = ((size + 2 * padding - 3) // stride + 1 for size in input_shape[1:])
    body = []
    for stage, (before, channels) in enumerate(zip([widths[0], *widths], widths, strict=False)):
        body.append(Block(before, channels, 2 if stage else 1, inner[stage]))
        body += [Block(channels, channels, 1, inner[stage]) for _ in range(blocks - 1)]
        if stage:
            height, width = (height + 1) // 2, (width + 1) // 2
    head = [nn.AvgPool2d((height, width)), nn.Flatten(), nn.Linear(widths[-1], classes)]
    return nn.Sequential(*stem, *body, *head)
