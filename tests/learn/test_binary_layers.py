# SPDX-License-Identifier: Apache-2.0
"""Binary convolutions that methods derive, and lines by channel: what is stored of them is what they compute, or refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kilobench.compile.lower import LoweringError, lower
from kilobench.compile.ops.piecewise_linear import PiecewiseLinear as Operator
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import UserError
from kilobench.learn.layers import BinaryConv2d, FrozenBinaryConv2d, PiecewiseLinear, XnorConv2d, approx_sign, sign
from kilobench.learn.quantise import quantise
from tests.compile.agreement import lowered

SHAPE = (4, 9, 9)


class Standardised(BinaryConv2d):
    """Signs of weights without their mean, a learned scale, and thresholds; its straight-through gradient is by hand."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__(conv, norm)
        self.scale = nn.Parameter(torch.linspace(0.1, 0.3, conv.out_channels))

    def thresholds(self) -> Tensor:
        return torch.linspace(-0.4, 0.4, self.weight.shape[1])

    def signs(self, x: Tensor) -> Tensor:
        return approx_sign(x - self.thresholds()[:, None, None])

    def kernel(self) -> Tensor:
        latent = (self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)).clamp(-1, 1)
        image = self.scale[:, None, None, None] * sign(latent)
        return image.detach() - latent.detach() + latent


class Centred(Standardised):
    """Two values around a centre, which is 0 in one channel; and a channel with one value alone."""

    def kernel(self) -> Tensor:
        centre = torch.linspace(-0.2, 0.2, self.weight.shape[0])
        centre[0] = 0
        image = self.scale[:, None, None, None] * sign(self.weight) + centre[:, None, None, None]
        return torch.cat([image[:-1], torch.full_like(image[-1:], -0.15)])

    def offsets(self) -> Tensor:
        """Beside the multiples of 1/140 that all sums are: none is at a threshold, where rounding would choose the sign."""
        return torch.linspace(-1, 1, self.weight.shape[0]) + 1 / 300


class OfXnor(XnorConv2d):
    """Other weights behind the same batch norm."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__(norm or nn.BatchNorm2d(conv.in_channels), conv)

    def kernel(self) -> Tensor:
        return sign(self.weight.roll(1, dims=1))


def norm(channels: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels)
    for tensor, low in ((made.running_mean, -0.5), (made.running_var, 0.5), (made.weight, -1.0), (made.bias, -0.5)):
        assert tensor is not None
        tensor.data.uniform_(low, 1)
    return made


def between() -> dict[str, list[nn.Module]]:
    """What stands between two binary convolutions of 8 channels."""
    return {
        "nothing": [],
        "norm": [norm(8)],
        "norm and pool": [norm(8), nn.ReLU(), nn.MaxPool2d(2)],
        "pool": [nn.MaxPool2d((1, 2))],
        "lines": [norm(8), PiecewiseLinear(8)],
        "prelu": [nn.PReLU(8), nn.MaxPool2d(2)],
    }


@pytest.mark.parametrize("layer", [BinaryConv2d, Standardised, Centred, OfXnor])
@pytest.mark.parametrize("what", between())
def test_what_is_lowered_is_what_a_layer_computes(layer: type[BinaryConv2d], what: str) -> None:
    torch.manual_seed(0)
    first = layer(nn.Conv2d(4, 8, 3, padding=1), norm(4) if what == "norm" else None)
    second = layer(nn.Conv2d(8, 8, 1 if what == "pool" else 3, stride=2, padding=(0, 1)))
    tail = [nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(first, *between()[what], second, norm(8), *tail)
    model(torch.zeros(2, *SHAPE))
    x = torch.rand(32, *SHAPE) * 2 - 1
    own = model.eval()(x)
    marked = quantise(model, [(x, torch.zeros(32))])
    assert isinstance(model[0], FrozenBinaryConv2d) and float((model(x) - own).detach().abs().mean()) < 0.05 * float(
        own.detach().std()
    )
    lowered(model, SHAPE)
    graph = lower(marked, SHAPE)
    made, output = simulate(graph, quantise_input(graph, x.numpy()))[graph.output][:, 0, 0], graph.tensors[graph.output]
    off = (made.astype(float) - output.zero_point) * output.scale - marked(x).detach().numpy()
    assert np.abs(off).mean() <= 0.05 * float(own.detach().std())  # a step, or a sum that cancels, may change a sign
    fused = what in ("nothing", "norm", "norm and pool", "pool") and layer is not Centred
    assert any(graph.tensors[op.output].dtype == "bit" for op in graph.ops if op.kind == "conv2d") == fused


def three_values(layer: BinaryConv2d) -> None:
    layer.kernel = lambda: layer.weight.sign() * (layer.weight.abs() > 0.1)  # type: ignore[method-assign]


def another_forward(layer: BinaryConv2d) -> None:
    layer.signs = lambda x: (x > 1).float()  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (three_values, r"^1: Standardised has 3 weights in channel 0; a binary convolution has two$"),
        (
            another_forward,
            r"^1: Standardised computes something else than its signs, thresholds, kernel and offsets say$",
        ),
    ],
)
def test_what_is_no_binary_convolution_is_refused(change: Callable[[BinaryConv2d], None], message: str) -> None:
    torch.manual_seed(0)
    layer = Standardised(nn.Conv2d(4, 6, 3))
    model = nn.Sequential(nn.Identity(), layer, nn.Flatten(), nn.Linear(6 * 49, 3)).eval()
    with pytest.raises(
        LoweringError, match=r"^1 \(Standardised\) is a binary convolution that still learns; supported is"
    ):
        lower(model, SHAPE)
    change(layer)
    with pytest.raises(UserError, match=message):
        quantise(model, [(torch.rand(2, *SHAPE), torch.zeros(2))])


def test_the_gradient_of_approx_sign() -> None:
    x = torch.tensor([-1.5, -1, -0.5, 0, 0.25, 2], requires_grad=True)
    approx_sign(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 1, 2, 1.5, 0]
    assert approx_sign(x).tolist() == sign(x).tolist()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e5])
def test_lines_of_any_slope_are_right_to_a_step(size: float) -> None:
    """A slope of nothing, falling lines, channels that never bend, and offsets beyond what the output holds."""
    torch.manual_seed(0)
    lines = PiecewiseLinear(8)
    for values in (lines.bend, lines.above, lines.below, lines.offset):
        values.data.normal_(0, 1)
    lines.above.data[0], lines.bend.data[1], lines.bend.data[2] = 0, 100, -100
    lines.offset.data[3:5] *= size
    model = nn.Sequential(nn.Conv2d(4, 8, 1), lines, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(72, 3))
    lowered(model, SHAPE)
    graph = lowered(model, SHAPE, int8=True)
    (op,) = (op for op in graph.ops if op.kind == "piecewise_linear")
    assert isinstance(op.attrs["fraction"], int) and Operator.attributes["fraction"].allows(op.attrs["fraction"])
