# SPDX-License-Identifier: Apache-2.0
"""A small network of much that mobile networks are made of, as modules, functions and methods: MobileNetV3's blocks and more."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPE, CLASSES = (3, 16, 16), 5


class Squeeze(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        share = self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * functional.hardsigmoid(share)


class Mobile(nn.Module):
    """Takes [n, 3, 16, 16]; every convolution pads in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)
        self.swish = nn.Hardswish()
        self.depthwise = nn.Conv2d(8, 16, 3, padding="same", groups=8)
        self.squeeze = Squeeze(16)
        self.before = nn.BatchNorm2d(16)
        self.wide = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4)
        self.leaky, self.prelu = nn.LeakyReLU(0.1), nn.PReLU(16)
        self.head, self.norm1, self.out = nn.Linear(16, 12), nn.BatchNorm1d(12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.swish(self.norm(self.stem(self.pad(x))))
        x = self.leaky(self.depthwise(x))
        x = self.squeeze(x)
        y = functional.relu6(self.wide(self.before(x)))
        x = self.prelu(x - y)
        a, b = torch.chunk(x, 2, 1)
        x = torch.cat([functional.max_pool2d(a, 2), functional.avg_pool2d(b, 3, 2, 1)], 1)
        x = functional.adaptive_avg_pool2d(functional.interpolate(x, scale_factor=2), 1)
        x = torch.tanh(self.norm1(self.head(x.flatten(1))))
        return self.out(x)


def mobile(seed: int = 0) -> Mobile:
    """With random statistics of its batch norms."""
    torch.manual_seed(seed)
    model = Mobile()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()
