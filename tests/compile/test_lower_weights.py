# SPDX-License-Identifier: Apache-2.0
"""Odd values in every tensor of networks of every kind of layer: right in float32 and int8, or refused in one line."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from kilobench.compile.graph import Graph
from kilobench.compile.lower import lower
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import UserError
from kilobench.learn.layers import Add, XnorConv2d
from kilobench.learn.quantise import quantise

SHAPE, CLASSES = (4, 6, 6), 5
Make = Callable[[], nn.Module]


class Residual(nn.Module):
    """A sum with a branch of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.add, self.relu, self.head = Add(), nn.ReLU(), nn.Linear(8 * 36, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.first(x))
        result: Tensor = self.head(torch.flatten(self.relu(self.add(self.norm(self.conv(y)), y)), 1))
        return result


def around(*layers: nn.Module) -> nn.Module:
    before = [nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(
        *before, *layers, nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, CLASSES)
    )


def binary() -> nn.Module:
    return XnorConv2d(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1))


NETWORKS: dict[str, Make] = {
    "convolution": lambda: around(nn.Conv2d(8, 8, 3, padding=1)),
    "depthwise": lambda: around(nn.Conv2d(8, 8, 3, padding=1, groups=8)),
    "residual": Residual,
    "binary": lambda: around(binary(), nn.ReLU(), binary()),
}
VALUES = (0.0, 1e-42, -1e6, 1e30, math.nan, -math.inf)
FACTORS = (-1.0, 1e-30, 1e10, 1e30)


def changes() -> dict[str, Callable[[Tensor], object]]:
    """Of one channel, and of a whole tensor."""
    one: dict[str, Callable[[Tensor], object]] = {f"channel {v}": lambda t, v=v: t[0].fill_(v) for v in VALUES}
    return one | {f"times {f}": lambda t, f=f: t.mul_(f) for f in FACTORS} | {"zero": lambda t: t.zero_()}


def made(kind: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[kind]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight.data, 0.5)):
                assert tensor is not None
                tensor.uniform_(low, 1.5)
    return network


def coarse(graph: Graph) -> bool:
    """Whether a step of some sum is more than one of its output: then a bias is rounded by more than that, too."""
    return any((op.params["shift"] <= 30).any() for op in graph.ops if "shift" in op.params)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More cost more than they save on maps this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", changes())
@pytest.mark.parametrize("kind", NETWORKS)
def test_odd_values_are_right_or_refused(kind: str, name: str) -> None:
    x = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    tensors = [key for key, tensor in made(kind).state_dict().items() if tensor.is_floating_point()]
    tensors = [key for key in tensors if not key.startswith(("0.", "1.", "first."))]
    for key in tensors:
        for int8 in (False, True):
            network = made(kind)
            changes()[name](network.state_dict()[key])
            try:
                network = quantise(network, [(x, x)]) if int8 else network
                graph = lower(network, SHAPE)
            except UserError as error:
                refused = str(error)
                assert "\n" not in refused and (
                    any(why in refused for why in ("not finite", "variance"))
                    or (int8 and "requantisation factor" in refused)
                )
                continue
            with torch.no_grad():
                wanted = network(x).double().numpy()
            if not math.isfinite(abs(wanted).max()):
                continue  # of another input than those that the lowering tries
            got = simulate(graph, quantise_input(graph, x.numpy()))[graph.output][:, 0, 0].astype(float)
            output = graph.tensors[graph.output]
            off = abs((got - output.zero_point) * output.scale - wanted) / output.scale if int8 else abs(got - wanted)
            if not int8:
                assert off.max() <= 1e-4 * max(1e-30, abs(wanted).max()), key
            elif kind != "binary" and not coarse(graph):  # there a sum that is off by one step has another sign
                assert off.max() <= 6, key
