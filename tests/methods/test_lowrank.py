# SPDX-License-Identifier: Apache-2.0
"""Factors that are the layer, and networks that become smaller step by step."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from kilobench.compile.counts import macs
from kilobench.compile.lower import lower
from kilobench.contracts import Budget, UserError
from kilobench.plugins.registry import load_registry
from tests.learn.trained import digits, tones, weights

METHOD: Any = load_registry().get("methods", "lowrank[keep=0.6]")


def untrained(model: nn.Module, **_: Any) -> nn.Module:
    return model.eval()


def fit_all(network: Any, spec: str = "lowrank") -> list[nn.Module]:
    """All networks that a budget could ask for, from the largest."""
    offered: list[nn.Module] = []

    def fit(make: Any, low: float, high: float) -> nn.Module:
        offered.extend(make(high + (low - high) * step / 20) for step in range(21))
        result: nn.Module = make(low)
        return result

    budget = Budget("nucleo_l476rg", flash_bytes=1.0)
    job = SimpleNamespace(budget=budget, fit=fit, train=untrained, input_shape=network.task.input_shape)
    network.apply(spec, job)
    return offered


@pytest.mark.parametrize("split", ["both", "spatial", "channels"])
@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_a_budget_chooses_among_networks_each_no_larger_and_no_slower_than_the_one_before(
    trained: Any, split: str
) -> None:
    network = trained()
    shape, x = network.task.input_shape, torch.from_numpy(network.split.test_x[:8])
    offered = fit_all(network, f"lowrank[split={split}]")
    taken = [(weights(model), macs(lower(model, shape))["fp32"]) for model in offered[::5]]
    assert taken == sorted(taken, reverse=True) and taken[0][0] == weights(network.model)
    assert taken[-1][0] < 0.6 * taken[0][0] and taken[-1][1] < taken[0][1]
    with torch.no_grad():
        wanted = network.model.eval()(x)
        assert torch.equal(offered[0](x), wanted)
        assert 0 < float((offered[2](x) - wanted).norm()) < float((offered[-1](x) - wanted).norm())


@pytest.mark.parametrize("split", ["spatial", "channels"])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(16, 16, (3, 5), (2, 1), (1, 2)),
        nn.Conv2d(16, 16, 3, padding="same", dilation=2, bias=False),
        nn.Conv2d(16, 16, 1, 2),
        nn.Linear(64, 64),
    ],
    ids=["stride", "same", "pointwise", "dense"],
)
def test_factors_of_a_layer_of_that_rank_are_the_layer(layer: nn.Conv2d | nn.Linear, split: str) -> None:
    """The weights are made of four outer products; so the first four channels hold all of them, whichever way they are split."""
    shape = layer.weight.shape
    generator = torch.Generator().manual_seed(0)
    factors = [torch.randn(size, 4, generator=generator) for size in shape]
    letters = "oikl"[: len(shape)]
    layer.weight.data = torch.einsum(",".join(f"{letter}r" for letter in letters) + f"->{letters}", *factors)
    model = nn.Sequential(layer) if isinstance(layer, nn.Conv2d) else nn.Sequential(nn.Flatten(), layer)
    x = torch.randn(2, *((16, 9, 10) if isinstance(layer, nn.Conv2d) else (64, 1, 1)), generator=generator)
    method: Any = load_registry().get("methods", f"lowrank[keep=0.9,split={split}]")
    small = method.apply(model, SimpleNamespace(budget=None, train=untrained, input_shape=x.shape[1:]))
    assert weights(small) < weights(model)
    with torch.no_grad():
        assert torch.allclose(small(x), model(x), rtol=1e-3, atol=1e-3 * float(model(x).abs().max()))


def test_layers_that_have_no_factors_stay() -> None:
    depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, groups=16), nn.Flatten())
    with pytest.raises(UserError, match="factors keep 1 of the network at least"):
        METHOD.apply(depthwise, SimpleNamespace(budget=None, train=untrained, input_shape=(16, 3, 3)))
