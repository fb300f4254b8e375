# SPDX-License-Identifier: Apache-2.0
"""Small networks of the kinds that people bring, with statistics as after a training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class InvertedResidual(nn.Module):
    """Of MobileNetV2, as torchvision has it."""

    def __init__(self, taken: int, made: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = taken * expand
        layers = [] if expand == 1 else [_normed(taken, hidden, 1)]
        layers += [_normed(hidden, hidden, 3, stride, groups=hidden)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, made, 1, bias=False), nn.BatchNorm2d(made))
        self.shortcut = stride == 1 and taken == made

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


def _normed(
    taken: int,
    made: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[..., nn.Module] = nn.ReLU6,
) -> nn.Sequential:
    conv = nn.Conv2d(taken, made, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), activation(inplace=True))


class MobileNetV2(nn.Module):
    """Sandler et al., 2018, as torchvision has it; ``width`` as there."""

    def __init__(self, width: float = 0.35, classes: int = 10, last: int = 1280) -> None:
        super().__init__()

        def wide(channels: float) -> int:
            rounded = max(8, int(channels * width + 4) // 8 * 8)
            return rounded + 8 if rounded < 0.9 * channels * width else rounded

        taken = wide(32)
        features: list[nn.Module] = [_normed(3, taken, 3, 2)]
        for expand, channels, count, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            for index in range(count):
                features.append(InvertedResidual(taken, wide(channels), stride if index == 0 else 1, expand))
                taken = wide(channels)
        features.append(_normed(taken, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class Excited(nn.Module):
    """A block of MobileNetV3 with squeeze and excitation, as torchvision has it."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = _normed(channels, hidden, 1, activation=nn.Hardswish)
        self.depthwise = _normed(hidden, hidden, 5, groups=hidden, activation=nn.Hardswish)
        self.fc1, self.fc2 = nn.Conv2d(hidden, 8, 1), nn.Conv2d(8, hidden, 1)
        self.project = nn.Sequential(nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        scale = functional.relu(self.fc1(functional.adaptive_avg_pool2d(y, 1)))
        return x + self.project(functional.hardsigmoid(self.fc2(scale), inplace=True) * y)


class MobileNetV3(nn.Module):
    """Two blocks of it (Howard et al., 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(3, 8, 3, 2, activation=nn.Hardswish)
        self.blocks = nn.Sequential(Excited(8, 16), Excited(8, 24))
        self.classifier = nn.Sequential(nn.Linear(8, 16), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean([2, 3]))


class ResNet(nn.Module):
    """Two blocks, the second with a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.conv1, self.bn1 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        y += self.down(x)
        return functional.softmax(self.fc(functional.relu_(y).mean((2, 3))), dim=-1)


class DSCNN(nn.Module):
    """Keyword spotting (Zhang et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, (10, 4), 2, (5, 1)), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(_normed(8, 8, 3, groups=8, activation=nn.ReLU), _normed(8, 8, 1, activation=nn.ReLU))
        self.pool, self.fc = nn.AvgPool2d((24, 5)), nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.block(self.first(x))).flatten(1))


class TCN(nn.Module):
    """Causal convolutions of one dimension, dilated (Bai et al., 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(4 if d == 1 else 8, 8, 3, dilation=d) for d in (1, 2, 4))
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(3))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = functional.leaky_relu(norm(conv(functional.pad(x, (2 * 2**index, 0)))), 0.1)
            x = y if index == 0 else x + y
        return self.fc(x[:, :, -1])


class Autoencoder(nn.Module):
    """Dense layers (the anomaly detection of MLPerf Tiny, smaller)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (40, 16, 4, 16, 40)
        layers = [(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(sizes)]
        self.layers = nn.Sequential(*(part for layer in layers[:-1] for part in layer), layers[-1][0])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class UNet(nn.Module):
    """One level down and up again."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 12, 3, padding="same")
        self.up, self.last = nn.Conv2d(18, 6, 3, padding=1), nn.Conv2d(6, 2, 1)
        self.prelu = nn.PReLU(6)

    def forward(self, x: Tensor) -> Tensor:
        a = self.prelu(self.down(x))
        b = torch.tanh(self.deep(functional.max_pool2d(a, 2)))
        b = functional.interpolate(b, scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.last(functional.silu(self.up(torch.cat([b, a], 1)))))


class TwoOutputs(nn.Module):
    """A shared trunk, parts of which go to each head."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.a, self.b = nn.Conv2d(2, 8, 3, 2, 1), nn.Linear(4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = functional.relu6(self.trunk(x)).chunk(2, 1)
        pooled = functional.avg_pool2d(first, 3, 2, padding=1, ceil_mode=True, count_include_pad=False)
        return self.a(pooled.mean((2, 3))), self.b(second) * 2 - 1


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mobilenet_v2": (MobileNetV2, (3, 96, 96)),
    "mobilenet_v3": (MobileNetV3, (3, 24, 24)),
    "resnet": (ResNet, (3, 24, 24)),
    "ds_cnn": (DSCNN, (1, 49, 10)),
    "tcn": (TCN, (4, 30)),
    "autoencoder": (Autoencoder, (40,)),
    "unet": (UNet, (1, 12, 16)),
    "two_outputs": (TwoOutputs, (2, 11, 14)),
}
"""How to make each, and its input without the batch."""


def made(name: str) -> nn.Module:
    """One of them in evaluation mode, always the same."""
    torch.manual_seed(0)
    network = NETWORKS[name][0]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def inputs(name: str, count: int) -> Tensor:
    """Random ones."""
    return torch.randn(count, *NETWORKS[name][1], generator=torch.Generator().manual_seed(1))


def onnx_file(name: str, folder: Path, opset: int = 17) -> Path:
    """As torch's exporter writes it, with a batch that is left open."""
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(1, *NETWORKS[name][1])
        torch.onnx.export(
            made(name),
            (example,),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
    return path
