# SPDX-License-Identifier: Apache-2.0
"""Scales of integer weights: healthy channels by their largest weight, dead and near-dead ones by their bias."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from kilobench.compile.graph import Tensor
from kilobench.compile.int8 import binary_params, conv_params, multiplier
from kilobench.compile.lower import lower
from kilobench.compile.ops._integers import requantise
from kilobench.contracts import UserError
from kilobench.learn.layers import FakeQuant, XnorConv2d
from kilobench.learn.quantise import quantise
from tests.compile.agreement import lowered

INT32 = 2**31 - 1
REACH = {"int8": 255, "int16": 2**15}


def maps(source: float, output: float, dtype: Any = "int8") -> tuple[Tensor, Tensor]:
    return Tensor("x", (1, 1, 1), dtype, source), Tensor("y", (1, 1, 1), "int8", output, -128)


def channels(seed: int, taps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [O, 1, 1, taps] and biases: healthy ones first, then all sizes of weights with all sizes of biases."""
    r = np.random.default_rng(seed)
    weight = r.normal(size=(40, 1, 1, taps))
    weight[20:] *= 10.0 ** r.uniform(-30, 3, (20, 1, 1, 1))
    weight[30:33] = 0
    bias = r.normal(size=40)
    bias[25:] *= 10.0 ** r.uniform(-10, 6, 15)
    return weight, bias


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("taps", [1, 9, 27])
@pytest.mark.parametrize("seed", range(4))
def test_integers_say_what_the_reals_do(seed: int, taps: int, dtype: str) -> None:
    """Every output is within a step of the real one and what the usual rounding of weights explains."""
    weight, bias = channels(seed, taps)
    source, output = maps(0.01 if dtype == "int8" else 1e-4, 0.03, dtype)
    params = conv_params(weight, bias, source, output)
    q, bias_q = params["weight"].astype(np.int64), params["bias"].astype(np.int64)
    assert (np.abs(q).sum(axis=(1, 2, 3)) * REACH[dtype] + np.abs(bias_q)).max() <= INT32
    x = np.random.default_rng(seed).integers(-REACH[dtype], REACH[dtype] + 1, (200, taps))
    acc = x @ q[:, 0, 0].T + bias_q
    made = np.clip(requantise(acc, params["multiplier"], params["shift"]), -128, 127)
    real = np.clip((source.scale * x @ weight[:, 0, 0].T + bias) / output.scale, -128, 127)
    usual = source.scale * REACH[dtype] * taps * np.abs(weight).max(axis=(1, 2, 3)) / 254
    assert (np.abs(made - real) <= 1.5 + usual / output.scale).all()


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_healthy_channels_are_rounded_as_ever_whatever_is_beside_them(dtype: str) -> None:
    weight, bias = channels(0, 9)
    source, output = maps(1e-4, 0.03, dtype)
    params = conv_params(weight, bias, source, output)
    scale = np.abs(weight[:20]).max(axis=(1, 2, 3)) / 127
    m, t = multiplier(source.scale * scale / output.scale)
    wanted = {
        "weight": np.rint(weight[:20] / scale[:, None, None, None]),
        "bias": np.rint(bias[:20] / (source.scale * scale)),
    }
    for name, array in (wanted | {"multiplier": m, "shift": t}).items():
        assert np.array_equal(params[name][:20], array), name


def test_a_channel_of_zeros_keeps_its_step_where_that_is_fine_enough() -> None:
    weight, bias = np.zeros((3, 1, 1, 9)), np.array([0.0, 0.5, 0.25])
    fine, coarse = (conv_params(weight, bias, *maps(source, 0.5)) for source in (2.0**-10, 1.0))
    assert fine["bias"].tolist() == [0, 512, 256]
    assert coarse["bias"].tolist() == [0, 256, 128] and coarse["multiplier"].tolist() == [2**30] * 3


@pytest.mark.parametrize("alpha", [0.0, 1e-30, 1e-12, 1e-6, 0.1])
@pytest.mark.parametrize("bias", [0.0, 1e-9, 0.4, -3.0, 1e5])
@pytest.mark.parametrize("taps", [9, 576, 16383])
def test_binary_sums_say_what_the_reals_do(alpha: float, bias: float, taps: int) -> None:
    output = maps(1, 0.03)[1]
    params = binary_params(np.array([alpha]), np.array([bias]), taps, output)
    acc = np.unique(np.linspace(-taps, taps, 1000).astype(np.int64))
    assert 256 * taps + abs(int(params["bias"][0])) <= INT32
    made = requantise(256 * acc + params["bias"], params["multiplier"], params["shift"])
    real = (alpha * acc + bias) / output.scale
    assert np.abs(np.clip(made, -128, 127) - np.clip(real, -128, 127)).max() <= 1.1


def dead(layer: Any) -> None:
    """A channel whose scale training took away, as its batch norm says."""
    layer[1].weight.data[3], layer[1].bias.data[3] = 1e-12, 0.3


def zero(layer: Any) -> None:
    layer[0].weight.data[0] = 0
    layer[1].bias.data[0] = 0.4


def large(layer: Any) -> None:
    layer[0].bias.data[0] = 1e6


def vast(layer: Any) -> None:
    layer[0].bias.data[0] = -1e30
    layer[1].running_mean.data[1] = 1e30


def small(layer: Any) -> None:
    layer[0].weight.data.mul_(1e-30)


def near_dead(layer: Any) -> None:
    layer[0].weight.data[:4] *= torch.tensor([1e-20, 1e-15, 1e-9, 1e-5])[:, None, None, None]
    layer[1].bias.data[:4] = 0.5


def negative(layer: Any) -> None:
    layer[1].weight.data[::2] = -1


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(8, 8, 3, padding=1),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "binary": lambda: XnorConv2d(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)),
}


@pytest.mark.parametrize("change", [dead, zero, large, vast, small, near_dead, negative])
@pytest.mark.parametrize("scale", [1.0, 1000.0], ids=["usual input", "large input"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_network_with_odd_channels_lowers_to_int8(kind: str, scale: float, change: Callable[[Any], None]) -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(LAYERS[kind](), nn.BatchNorm2d(8))
    with torch.no_grad():
        change(layer)
        before = [nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
        before[1].weight.mul_(scale)  # type: ignore[operator,union-attr]
        if kind != "binary":
            layer[0].weight.div_(scale)  # type: ignore[operator,union-attr]
    lowered(nn.Sequential(*before, *layer, nn.ReLU(), nn.Flatten(), nn.Linear(512, 5)), (4, 8, 8), int8=True)


def test_a_linear_layer_with_zero_weights_keeps_its_biases() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6))
    with torch.no_grad():
        network[1].weight[:3] *= torch.tensor([0.0, 1e-20, 1e-8])[:, None]  # type: ignore[operator,index]
    lowered(network, (1, 4, 4), int8=True)


def test_what_still_overflows_is_refused_with_its_channel() -> None:
    weight, bias = np.ones((2, 1, 1, 600)), np.zeros(2)
    weight[0] = 0.5 * np.eye(1, 600)
    with pytest.raises(
        ValueError, match=r"may reach 2496921600 in its accumulator, in channel 1, above the int32 bound 2147"
    ):
        conv_params(weight, bias, *maps(1e-4, 0.1, "int16"))
    with pytest.raises(ValueError, match="has a requantisation factor of 2\\*\\*30 or more"):
        conv_params(weight, bias, *maps(1e30, 1e-10))


def test_a_factor_that_no_shift_holds_is_told_with_its_layer() -> None:
    quants = [FakeQuant(), FakeQuant()]
    for quant, high in zip(quants, (1e30, 1e-10), strict=True):
        quant.high.fill_(high)
        quant.freeze()
    network = nn.Sequential(quants[0], nn.Flatten(), nn.Linear(16, 2), quants[1])
    with pytest.raises(UserError, match=r"^2 \((Linear|dense)\) has a requantisation factor of 2\*\*30 or more"):
        lower(network, (1, 4, 4))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_quantising_what_is_not_finite_names_the_layer(value: float) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    network[0].weight.data[0, 0, 0, 0] = value  # type: ignore[operator,index,union-attr]
    x = torch.ones(2, 1, 4, 4)
    with pytest.raises(UserError, match=r"^0 is not finite: it gives NaN or infinite values for training data"):
        quantise(network, [(x, x)])


def test_a_range_below_every_float_has_a_scale() -> None:
    quant = FakeQuant()
    quant.high.fill_(1e-44)
    quant.freeze()
    assert float(quant.scale) == torch.finfo(torch.float32).tiny and int(quant.zero_point) == -128
