# SPDX-License-Identifier: Apache-2.0
"""Which convolutions become binary, and that what becomes binary is the same convolution otherwise."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from kilobench.contracts import UserError
from kilobench.learn.layers import XnorConv2d, sign
from kilobench.plugins.registry import load_registry

VALUES: dict[str, list[Any]] = {
    "in_channels": [4],
    "out_channels": [1, 7],
    "kernel_size": [2, (1, 5)],
    "stride": [2, (1, 3)],
    "padding": [1, (0, 2), "valid", "same", {"padding": "same", "kernel_size": 2}],
    "dilation": [2, {"dilation": 2, "padding": "same"}],
    "groups": [2, 4],
    "bias": [False],
    "padding_mode": ["reflect", "replicate", "circular"],
    "device": ["cpu"],
    "dtype": [torch.float32],
}


class Mine(nn.Conv2d):
    """Another name may mean another thing."""


def conv(**arguments: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3} | arguments)


def tried() -> list[dict[str, Any]]:
    return [value if isinstance(value, dict) else {name: value} for name, values in VALUES.items() for value in values]


def test_every_attribute_of_a_convolution_is_tried() -> None:
    assert list(inspect.signature(nn.Conv2d.__init__).parameters)[1:] == list(VALUES)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("arguments", tried(), ids=str)
def test_a_binary_convolution_is_that_of_signs_or_refused_by_name(arguments: dict[str, Any]) -> None:
    full, x = conv(**arguments), torch.randn(2, 4, 9, 9)
    norm = nn.BatchNorm2d(4).eval()
    try:
        binary = XnorConv2d(norm, full)
    except UserError as error:
        assert any(f"cannot have {name}={getattr(full, name)!r}" in str(error) for name in arguments)
        return
    with torch.no_grad():
        full.weight.copy_(sign(full.weight) * full.weight.abs().mean(dim=(1, 2, 3), keepdim=True))
        assert torch.allclose(binary(x), full(functional.hardtanh(sign(norm(x)))), atol=1e-5)


def applied(*modules: nn.Module) -> nn.Module:
    """Those after xnor[keep=none], without training; they map [n, 4, 8, 8] to [n, 3]."""
    x = torch.rand(4, 4, 8, 8)
    features = nn.Sequential(*modules)(x).flatten(1).shape[1]
    model = nn.Sequential(*modules, nn.Flatten(), nn.Linear(features, 3))
    job = SimpleNamespace(train=lambda model, **_: model.eval(), batches=lambda count: [(x, x)])
    return load_registry().get("methods", "xnor[keep=none]").apply(model, job)


@pytest.mark.parametrize(
    ("stays", "reason"),
    [
        ({"dilation": 2}, r"dilation=\(2, 2\)"),
        ({"padding_mode": "circular", "padding": 1}, "padding_mode='circular'"),
        ({"padding": "same", "kernel_size": 2}, "padding='same'"),
        ({"groups": 2}, "groups=2"),
        ({"kernel_size": 1}, r"kernel_size=\(1, 1\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_a_convolution_that_cannot_be_binary_stays_as_it_is(stays: dict[str, Any], reason: str) -> None:
    layer = conv(**stays)
    model = applied(conv(padding="same"), layer)
    assert isinstance(model.get_submodule("0"), XnorConv2d) and model.get_submodule("1") is layer
    with pytest.raises(
        UserError, match=rf"no convolution of this network becomes binary; 0 \(Conv2d\) stays, having {reason}"
    ):
        applied(layer)


def test_the_studys_layout_is_binary_but_for_the_first_convolution() -> None:
    """Latent weights are centred over input channels, before the training and after every step of it."""
    layers = [conv(out_channels=8), conv(in_channels=8, kernel_size=1), conv(out_channels=5), nn.Flatten()]
    x, asked = torch.rand(4, 4, 8, 8), dict[str, Any]()

    def train(model: nn.Module, *, after_step: Any, **how: Any) -> nn.Module:
        asked.update(how)
        binary = [module for module in model.modules() if isinstance(module, XnorConv2d)]
        for before_step in (True, False):
            assert all(layer.weight.mean(dim=1).abs().max() < 1e-6 for layer in binary)
            if before_step:
                for layer in binary:
                    layer.weight.data += 0.5
                after_step(model)
        return model.eval()

    method = load_registry().get("methods", "xnor[layout=study]")
    job = SimpleNamespace(train=train, batches=lambda count: [(x, x)])
    made = method.apply(nn.Sequential(*layers, nn.Linear(80, 3)), job)
    assert [isinstance(made.get_submodule(str(index)), XnorConv2d) for index in range(3)] == [False, True, True]
    assert method.from_scratch and asked == {
        "lr": 1e-3,
        "optimiser": "adam",
        "weight_decay": 1e-4,
        "schedule": "cosine",
    }


def test_a_subclass_of_a_convolution_stays() -> None:
    with pytest.raises(UserError, match=r"0 \(Mine\) stays, having class=Mine"):
        applied(Mine(4, 4, 3))
