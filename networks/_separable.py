# SPDX-License-Identifier: Apache-2.0
"""Depthwise separable convolutions and inverted residuals, as modules that survive being stored and traced.

Maps are padded as TensorFlow's SAME does it, which MLPerf Tiny's networks have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from kilobench.api import Add, Shape, UserError, scaled

_LEAST_MAP = 3
"""Rows and columns that the last map has at least."""


class Residual(nn.Module):
    """What layers give, added to what they take."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape."""
        result: Tensor = self.add(self.layers(x), x)
        return result


class Layers:
    """Layers in a row: those ``made`` so far, and the ``shape`` [channels, height, width] of what they give."""

    def __init__(self, input_shape: Shape) -> None:
        self.shape = input_shape
        self.made: list[nn.Module] = []

    def conv(
        self, out: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, *, depthwise: bool = False, relu: bool = True
    ) -> None:
        """A convolution without bias, batch norm, and ReLU."""
        channels, height, width = self.shape
        rows, columns = _same(height, kernel[0], stride), _same(width, kernel[1], stride)
        padding = (rows[0], columns[0])
        if rows[0] != rows[1] or columns[0] != columns[1]:
            self.made.append(nn.ZeroPad2d((*columns, *rows)))
            padding = (0, 0)
        groups = channels if depthwise else 1
        self.made.append(nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False))
        self.made.append(nn.BatchNorm2d(out))
        if relu:
            self.made.append(nn.ReLU())
        self.shape = (out, math.ceil(height / stride), math.ceil(width / stride))

    def separable(self, out: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> None:
        """A depthwise convolution, then a pointwise one, which alone may have no ReLU."""
        self.conv(self.shape[0], (kernel, kernel), stride, depthwise=True)
        self.conv(out, relu=relu)

    def inverted(self, inner: int | None, out: int, kernel: int, stride: int, *, residual: bool) -> None:
        """A pointwise convolution to ``inner`` channels, if any, and a separable one to few, where there is no ReLU."""
        block = Layers(self.shape)
        if inner is not None:
            block.conv(inner)
        block.separable(out, kernel, stride, relu=False)
        self.made += [Residual(block.made)] if residual else block.made
        self.shape = block.shape

    def classified(self, classes: int) -> nn.Module:
        """The network of all layers, a global average and a linear classifier."""
        return nn.Sequential(*self.made, nn.AvgPool2d(self.shape[1:]), nn.Flatten(), nn.Linear(self.shape[0], classes))


def inverted_residuals(
    input_shape: Shape,
    classes: int,
    stem: int,
    blocks: Sequence[tuple[int, int | None, int, int]],
    head: int | None,
    width: float,
) -> nn.Module:
    """A 3 x 3 stem of stride 2, inverted residuals, a pointwise convolution to ``head`` channels if any, the classifier.

    ``blocks`` has kernel, inner channels, output channels and stride of each; one of stride 1 that keeps the channels has a
    shortcut. All channels are for a width of 1.
    """
    outs = [stem, *(out for _, _, out, _ in blocks)]
    shortcuts = [stride == 1 and out == before for before, (_, _, out, stride) in zip(outs, blocks, strict=False)]
    wanted = [stem, *(count for _, inner, out, _ in blocks for count in (inner or out, out)), head or outs[-1]]
    stem, *rest, last = scaled(wanted, width)
    strides = fitting([2, *(stride for *_, stride in blocks)], input_shape)
    layers = Layers(input_shape)
    layers.conv(stem, (3, 3), strides[0])
    for index, (kernel, inner, _, _) in enumerate(blocks):
        residual = shortcuts[index]
        out = layers.shape[0] if residual else rest[2 * index + 1]
        layers.inverted(inner and rest[2 * index], out, kernel, strides[index + 1], residual=residual)
    if head is not None:
        layers.conv(last)
    return layers.classified(classes)


def fitting(strides: Sequence[int], input_shape: Shape) -> list[int]:
    """Strides of layers in their order, of which the first are 1 where the last map would be less than 3 x 3."""
    result = list(strides)
    for index in range(len(result)):
        if math.ceil(min(input_shape[1:]) / math.prod(result)) >= _LEAST_MAP:
            break
        result[index] = 1
    return result


def require_map(name: str, what: str, least: tuple[int, int], input_shape: Shape) -> None:
    """Raise UserError for inputs that are smaller than ``least``, height and width, or raw sound."""
    if input_shape[1] < least[0] or input_shape[2] < least[1]:
        other = "; acdnet takes raw sound" if input_shape[:2] == (1, 1) else ""
        raise UserError(f"{name} takes {what} of at least {least[0]} x {least[1]}, not {input_shape}{other}")


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a row of values, so that there is an output for every ``stride`` of them: TensorFlow's SAME."""
    missing = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    return missing // 2, missing - missing // 2
