# SPDX-License-Identifier: Apache-2.0
"""Lowered models against torch."""

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.counts import macs, parameters
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.lower import LoweringError, lower
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import Network, UserError
from kilobench.learn.layers import FakeQuant, XnorConv2d
from kilobench.plugins.registry import load_registry


class Net(nn.Module):
    """Full-precision stem, two binary convolutions, classifier; with or without int8."""

    def __init__(self, int8: bool) -> None:
        super().__init__()

        def quant() -> nn.Module:
            return FakeQuant() if int8 else nn.Identity()

        self.body = nn.Sequential(
            quant(), nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), quant(),
            XnorConv2d(nn.BatchNorm2d(8), nn.Conv2d(8, 40, 3, 1, 1, bias=False)), nn.ReLU(), nn.MaxPool2d(2),
            XnorConv2d(nn.BatchNorm2d(40), nn.Conv2d(40, 8, 3, 1, 1, bias=False)), nn.ReLU(), quant(),
            nn.AvgPool2d(2), quant(), nn.Flatten(), nn.Linear(128, 10), quant(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> Any:
        return self.body(x)


class Separable(nn.Module):
    """A strided stem and a depthwise-separable convolution; with or without int8."""

    def __init__(self, int8: bool) -> None:
        super().__init__()

        def quant() -> nn.Module:
            return FakeQuant() if int8 else nn.Identity()

        self.body = nn.Sequential(
            quant(), nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), quant(),
            nn.Conv2d(12, 12, (3, 5), (2, 1), (1, 2), groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU(), quant(),
            nn.Conv2d(12, 12, 3, padding=1, groups=12), quant(),
            nn.Conv2d(12, 10, 1), nn.ReLU(), quant(), nn.AvgPool2d((8, 16)), quant(), nn.Flatten(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> Any:
        return self.body(x)


def randomised(net: nn.Module, x: torch.Tensor) -> nn.Module:
    """A net whose batch norms have scales of both signs."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
            module.bias.data.normal_()
    quants = [module for module in net.eval().modules() if isinstance(module, FakeQuant)]
    for module in quants:
        module.observing = True
    net(x)
    for module in quants:
        module.freeze()
    return net


@pytest.mark.parametrize("int8", [True, False])
def test_c_equals_simulation_equals_torch(int8: bool, tmp_path: Path) -> None:
    x = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    net = randomised(Net(int8), x)
    graph = lower(net, (3, 32, 32))
    kinds = [(op.kind, graph.tensors[op.output].dtype) for op in graph.ops]
    last = "int8" if int8 else "float32"
    assert kinds == [
        ("conv2d", last), ("binarize", "bit"), ("conv2d", "bit"), ("max_pool", "bit"), ("conv2d", last),
        ("avg_pool", last), ("conv2d", last),
    ]  # fmt: skip
    check_against_torch(net, graph, x, int8, tmp_path)


@pytest.mark.parametrize("int8", [True, False])
def test_depthwise_convolutions_lower(int8: bool, tmp_path: Path) -> None:
    x = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    net = randomised(Separable(int8), x)
    graph = lower(net, (3, 32, 32))
    assert [op.kind for op in graph.ops] == ["conv2d", *["depthwise_conv2d"] * 2, "conv2d", "avg_pool"]
    assert graph.ops[1].params["weight"].shape == (3, 5, 12)
    products = 16 * 16 * 12 * 27 + 8 * 16 * 12 * (15 + 9 + 10)
    assert macs(graph) == {"fp32": 0 if int8 else products, "int8": products if int8 else 0, "binary": 0}
    assert parameters(graph) == 12 * (27 + 1) + 12 * (15 + 1) + 12 * (9 + 1) + 10 * (12 + 1)
    check_against_torch(net, graph, x, int8, tmp_path)


def check_against_torch(net: nn.Module, graph: Graph, x: torch.Tensor, int8: bool, folder: Path) -> None:
    """C, simulation and torch give the same classes, and logits within what rounding explains."""
    inputs = quantise_input(graph, x.numpy())
    simulated = simulate(graph, inputs)[graph.output][:, 0, 0]
    emit(graph, folder, "net")
    c = HostModel(folder).run(inputs)
    output = graph.tensors[graph.output]
    real = (simulated.astype(np.float64) - output.zero_point) * output.scale if int8 else simulated
    with torch.no_grad():
        logits = net(x).numpy()
    assert np.array_equal(c.argmax(1), logits.argmax(1))
    if int8:
        assert np.array_equal(c, simulated)
        assert np.abs(real - logits).max() <= 2.01 * output.scale
    else:
        assert np.abs(c - simulated).max() <= 1e-5
        assert np.abs(real - logits).max() <= 1e-4


def test_an_int16_input_lowers_from_end_to_end(tmp_path: Path) -> None:
    """Micro-ACDNet's layout at a small size: C equals simulation, and both torch within what rounding explains."""
    torch.manual_seed(0)
    network: Network = load_registry().get("networks", "acdnet[channels=small]")
    net = network.build((1, 1, 2005), 3, 4000)
    x = torch.randint(-(2**15), 2**15, (16, 1, 1, 2005)) / 2**15
    randomised(quantised(net), x)
    whole = nn.Sequential(wide(2.0**-15), net)
    graph = lower(whole, (1, 1, 2005))
    source, conv = graph.tensors[graph.input], graph.ops[0]
    assert (source.dtype, source.zero_point, source.bytes) == ("int16", 0, 2 * 2005)
    assert (conv.kind, graph.tensors[conv.output].dtype) == ("conv2d", "int8")
    assert macs(graph)["int16"] == 8 * 9 * 999
    inputs = quantise_input(graph, x.numpy())
    assert inputs.dtype == np.int16
    assert np.array_equal(inputs[:, 0, :, 0], (x[:, 0, 0] * 2**15).numpy())
    check_against_torch(whole, graph, x, True, tmp_path)


def quantised(net: nn.Module) -> nn.Module:
    """With a FakeQuant after every ReLU, average and linear layer of a sequence."""
    for name, module in list(net.named_children()):
        if isinstance(module, nn.ReLU | nn.AvgPool2d | nn.Linear):
            net.set_submodule(name, nn.Sequential(module, FakeQuant()))
    return net


def flat() -> nn.Linear:
    """A layer of 256 inputs and a bias with which sums of int16 inputs, not of int8, could leave 32 bits."""
    layer = nn.Linear(256, 1)
    nn.init.ones_(layer.weight)
    nn.init.constant_(layer.bias, 9.0 * 2**20)
    return layer


def wide(scale: float = 1.0) -> FakeQuant:
    """A FakeQuant of 16 bits."""
    quant = FakeQuant(16)
    quant.freeze()
    quant.scale.fill_(scale)
    return quant


def byte() -> FakeQuant:
    """A FakeQuant of 8 bits."""
    quant = FakeQuant()
    quant.freeze()
    return quant


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.GELU()), r"0 \(aten.gelu.default\) is an operator for which there is no kernel"),
        (nn.Sequential(byte(), nn.Conv2d(4, 4, 3)), r"returns logits \[n, classes\], not float32 \(6, 6, 4\)"),
        (nn.Sequential(wide(), nn.Conv2d(4, 4, 3)), "reads int16 as conv2d to float32, but only convolutions to int8"),
        (nn.Sequential(wide(), nn.Conv2d(4, 4, 3, groups=4), byte()), "reads int16 as depthwise_conv2d to int8"),
        (nn.Sequential(wide(), nn.MaxPool2d(2)), "reads int16 as max_pool to int16"),
        (nn.Sequential(nn.Conv2d(4, 4, 3), wide()), r"1 \(FakeQuant\) has 16 bits, which only the input"),
        (
            nn.Sequential(wide(), nn.Flatten(), flat(), byte()),
            r"2 \(Linear\) may reach \d+ in its accumulator, in channel 0, above the int32 bound",
        ),
        (nn.Sequential(nn.Conv2d(4, 4, 3)), r"returns logits \[n, classes\], not \[n, 4, 6, 6\] as 0 gives"),
        (nn.Sequential(nn.AvgPool2d(8)), r"returns logits \[n, classes\], not \[n, 4, 1, 1\] as 0 gives"),
        (
            nn.Sequential(nn.Conv2d(4, 16384, 1), XnorConv2d(nn.BatchNorm2d(16384), nn.Conv2d(16384, 1, 1))),
            "sums 16384 products, 16384 per column of its kernel, above 65535 or 16383",
        ),
    ],
)
def test_what_cannot_be_lowered_is_named(module: nn.Module, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lower(module, (4, 8, 8))


def shaped(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """An untrained network of the registry, for images, or else for sound, or to reconstruct."""
    network: Network = load_registry().get("networks", name)
    for shape, outputs, rate in (((3, 32, 32), 4, 0), ((1, 1, 6400), 4, 8000), ((1, 1, 640), 640, 0)):
        with suppress(UserError):
            return network.build(shape, outputs, rate), shape
    raise AssertionError(name)


@pytest.mark.parametrize("name", load_registry().entries["networks"])
def test_lowering_an_untrained_network_leaves_it_as_it_was(name: str) -> None:
    model, shape = shaped(name)
    for index, module in enumerate(model.modules()):
        module.training = index % 3 != 0
    state = copy.deepcopy(model.state_dict())
    facts = [(m, m.training, dict(vars(m))) for m in model.modules()]
    random, x = torch.get_rng_state(), torch.zeros(2, *shape)
    assert lower(model, shape).tensors
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [(m, m.training, dict(vars(m))) for m in model.modules()] == facts
    assert model(x).requires_grad and all(p.grad is None for p in model.parameters())
