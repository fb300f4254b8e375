# SPDX-License-Identifier: Apache-2.0
"""What the methods that share one surgery make of a network, before it is trained."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kilobench.learn.layers import BinaryConv2d
from kilobench.plugins.registry import load_registry
from tests.learn.trained import tones


class Operated(Exception):
    """Holds the network that a method would train."""


def operated(recipe: str) -> nn.Module:
    def train(model: nn.Module, **_: Any) -> nn.Module:
        raise Operated(model)

    job = SimpleNamespace(train=train, input_shape=tones().task.input_shape)
    with pytest.raises(Operated) as raised:
        load_registry().get("methods", recipe).apply(copy.deepcopy(tones().model), job)
    network: nn.Module = raised.value.args[0]
    return network


@pytest.mark.parametrize("recipe", ["bireal", "reactnet", "adabin"])
def test_signs_behind_a_pool_are_of_both_kinds(recipe: str) -> None:
    network = operated(recipe)
    plus: dict[str, tuple[float, float]] = {}
    for path, layer in network.named_modules():
        if isinstance(layer, BinaryConv2d) and layer.norm is not None:

            def count(layer: nn.Module, inputs: tuple[Tensor], _: Tensor, path: str = path) -> None:
                normed, plain = (layer.signs(x) > 0 for x in (layer.norm(inputs[0]), inputs[0]))  # type: ignore[operator]
                plus[path] = float(normed.float().mean()), float(plain.float().mean())

            layer.register_forward_hook(count)
    with torch.no_grad():
        network.train()(torch.from_numpy(tones().split.train_x[..., :1600]))
    assert {"conv4", "conv6", "conv8"} <= set(plus) and "conv5" not in plus
    assert all(0.3 < normed < 0.7 < plain for normed, plain in plus.values()), plus
