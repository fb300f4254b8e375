# SPDX-License-Identifier: Apache-2.0
"""Networks of all kinds are pruned to what still computes as many outputs, or refused with the layer."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kilobench.compile.counts import parameters
from kilobench.compile.lower import lower
from kilobench.contracts import UserError, silent
from kilobench.learn.layers import SwapAxes, XnorConv2d
from kilobench.learn.pruning import ChannelRanking
from kilobench.plugins.registry import load_registry

SHAPE, CLASSES = (1, 8, 8), 10
HOW = ("taylor", "l1", "activation")


def layers(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


def head(channels: int) -> list[nn.Module]:
    return [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(channels, CLASSES)]


class Made(nn.Module):
    """A network of two convolutions, a classifier and spare layers, whose forward a test gives."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Conv2d(8, 8, 3)
        self.conv, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.relu, self.pool = nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(8)
        self.fc, self.spare = nn.Linear(8, CLASSES), nn.Linear(8, CLASSES)
        self.tied = nn.Conv2d(8, 8, 3, padding=1)
        self.tied.weight = self.conv2.weight


class Residual(nn.Module):
    """A sum of what layers give and take."""

    def __init__(self, *inside: nn.Module) -> None:
        super().__init__()
        self.inside = nn.Sequential(*inside)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inside(x)


def made(forward: Callable[[Any, Tensor], Tensor]) -> nn.Module:
    network: nn.Module = type("Made", (Made,), {"forward": forward})()
    return network


def end(network: Any, x: Tensor) -> Tensor:
    result: Tensor = network.fc(torch.flatten(network.pool(x), 1))
    return result


def trains_two(self: Any, x: Tensor) -> Tensor:
    y = self.relu(self.conv(x))
    return end(self, y) + (self.spare(torch.flatten(self.pool(y), 1)) if self.training else 0)


def skips_one(self: Any, x: Tensor) -> Tensor:
    y = self.relu(self.conv(x))
    return end(self, y if self.training else self.conv2(y))


def frozen() -> nn.Module:
    return layers(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *head(8)).requires_grad_(False)


PRUNED: dict[str, Callable[[], nn.Module]] = {
    "1x1 classifier": lambda: layers(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, CLASSES, 1), nn.AvgPool2d(6), nn.Flatten()
    ),
    "convolution and relu at the end": lambda: layers(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, CLASSES, 8), nn.ReLU(), nn.Flatten()
    ),
    "linear before a 1x1 classifier": lambda: layers(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 6), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, CLASSES)
    ),
    "depthwise": lambda: layers(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), *head(8)),
    "unused layers": lambda: made(lambda self, x: end(self, self.relu(self.norm(self.conv(x))))),
    "inverted residual": lambda: layers(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), Residual(
            nn.Conv2d(8, 24, 1), nn.ReLU(), nn.ZeroPad2d((0, 2, 1, 1)), nn.Conv2d(24, 24, 3, groups=24), nn.ReLU(),
            nn.Conv2d(24, 8, 1),
        ), *head(8),
    ),
    "residual": lambda: made(lambda self, x: end(self, (y := self.relu(self.conv(x))) + self.conv2(y))),
    "sum with itself": lambda: made(lambda self, x: end(self, (y := self.conv(x)) + y)),
    "sum at the end": lambda: made(lambda self, x: (y := end(self, self.conv(x))) + y),
    "two classifiers": lambda: made(
        lambda self, x: self.fc(y := torch.flatten(self.pool(self.relu(self.conv(x))), 1)) + self.spare(y)
    ),
    "one swap": lambda: layers(
        nn.Conv2d(1, 12, 3, padding=1), SwapAxes(), nn.Conv2d(8, 8, 3, padding=1), nn.AvgPool2d((12, 8)), nn.Flatten(),
        nn.Linear(8, CLASSES),
    ),
    "depthwise classifier": lambda: layers(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, CLASSES, 1), nn.Conv2d(CLASSES, CLASSES, 6, groups=CLASSES), nn.Flatten()
    ),
    "depthwise input": lambda: layers(SwapAxes(), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 8, 1), nn.AvgPool2d((1, 8)),
        nn.Flatten(), nn.Linear(8, CLASSES),
    ),
    "frozen": frozen,
    "batch norm without scales": lambda: layers(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8, affine=False), *head(8)),
}  # fmt: skip
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "grouped": (
        lambda: layers(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2), *head(8)),
        r"1 \(Conv2d\) has groups=2, whose channels cannot be removed; supported are groups=1 and one",
    ),
    "depthwise with more outputs": (
        lambda: layers(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1, groups=8), *head(16)),
        r"1 \(Conv2d\) has groups=8, whose channels",
    ),
    "linear alone": (
        lambda: layers(nn.Flatten(), nn.Linear(64, CLASSES)),
        "no layer has channels to remove; those of 1 are the network's inputs or outputs",
    ),
    "two swaps": (
        lambda: layers(
            nn.Conv2d(1, 12, 3, padding=1), SwapAxes(), nn.Conv2d(8, 12, 3, padding=1), SwapAxes(),
            nn.Conv2d(12, 8, 3, padding=1), nn.AvgPool2d((12, 8)), nn.Flatten(), nn.Linear(8, CLASSES),
        ),
        r"4 \(Conv2d\) cannot do without the channels removed before it",
    ),
    "another output in training": (
        lambda: made(trains_two),
        r"spare \(Linear\) is used in training alone, where channels cannot be followed",
    ),
    "left out in training": (
        lambda: made(skips_one),
        r"conv2 \(Conv2d\) is used in evaluation alone, where channels cannot be followed",
    ),
    "tied weights": (
        lambda: made(lambda self, x: end(self, self.tied(self.relu(self.conv2(self.conv(x)))))),
        r"tied \(Conv2d\) has weights that conv2 has, too, and pruning would part them; supported are weights of its own",
    ),
    "swapped back": (
        lambda: layers(
            nn.Conv2d(1, 12, 3, padding=1), SwapAxes(), SwapAxes(), nn.Conv2d(12, 8, 3, padding=1), *head(8)
        ),
        r"3 \(Conv2d\) cannot do without the channels removed before it",
    ),
    "dead branch": (
        lambda: made(lambda self, x: (self.aux(y := self.relu(self.conv(x))), end(self, y))[1]),
        r"aux \(Conv2d\) cannot do without the channels removed before it",
    ),
    "binary": (
        lambda: layers(XnorConv2d(nn.BatchNorm2d(1), nn.Conv2d(1, 8, 3, padding=1)), *head(8)),
        r"0 \(XnorConv2d\) has weights whose channels cannot be removed; supported are Conv2d, Linear and BatchNorm2d",
    ),
}  # fmt: skip


def batches(count: int = 2, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.rand(size, *SHAPE), torch.randint(0, CLASSES, (size,))) for _ in range(count)]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", PRUNED)
def test_outputs_stay_and_channels_go(name: str, how: Any) -> None:
    torch.manual_seed(0)
    network = PRUNED[name]()
    small = ChannelRanking(network, batches(), how).without(0.5, SHAPE)
    graphs = [lower(model, SHAPE) for model in (network, small)]
    assert [graph.tensors[graph.output].shape[2] for graph in graphs] == [CLASSES] * 2
    assert parameters(graphs[1]) < parameters(graphs[0])
    assert small.train()(torch.rand(4, *SHAPE)).shape == (4, CLASSES)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_pruned_is_refused_with_the_layer(name: str, how: Any) -> None:
    network, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        ChannelRanking(network(), batches(), how).without(0.9, SHAPE)
    assert "\n" not in str(error.value)


def test_a_share_is_one_of_the_weights_that_are_used() -> None:
    torch.manual_seed(0)
    network, used = PRUNED["unused layers"](), 8 * 10 + 16 + 90
    assert sum(parameter.numel() for parameter in network.parameters()) > 2 * used
    train = lambda model, **_: model.eval()  # noqa: E731
    job = SimpleNamespace(batches=batches, train=train, budget=None, input_shape=SHAPE, progress=silent)
    small = load_registry().get("methods", "prune[keep=0.6]").apply(network, job)
    assert 0.4 * used < parameters(lower(small, SHAPE)) <= 0.6 * used
