# SPDX-License-Identifier: Apache-2.0
"""Gradients of the binary layers, and that they learn: also with one input channel, as ACDNet's conv3 has."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kilobench.learn.layers import XnorConv2d, sign

Gradient = Literal["ste", "xnor"]


def test_sign_has_two_values_and_a_straight_through_gradient() -> None:
    x = torch.tensor([-2.0, -0.5, -0.0, 0.0, 0.5, 2.0], requires_grad=True)
    sign(x).backward(torch.arange(1.0, 7.0))
    assert sign(x).tolist() == [-1, -1, 1, 1, 1, 1]
    assert x.grad is not None and x.grad.tolist() == [0, 2, 3, 4, 5, 0]


def layer(channels: int, gradient: Gradient) -> XnorConv2d:
    torch.manual_seed(0)
    return XnorConv2d(nn.BatchNorm2d(channels), nn.Conv2d(channels, 8, 3, padding=1, bias=False), gradient)


@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("gradient", ["ste", "xnor"])
def test_weight_gradients_are_those_of_the_formulas(gradient: Gradient, channels: int) -> None:
    net = layer(channels, gradient)
    net.weight.data.mul_(1.2 / net.weight.detach().abs().max())  # some beyond 1
    x, target = torch.randn(4, channels, 6, 5), torch.randn(4, 8, 6, 5)
    (net(x) * target).sum().backward()
    weight = net.weight.detach()
    n, alpha, signs = weight[0].numel(), net.alpha.detach()[:, None, None, None], sign(weight)
    used = (alpha * signs).requires_grad_()
    (functional.conv2d(sign(net.norm(x)).detach(), used, padding=1) * target).sum().backward()
    assert used.grad is not None and net.weight.grad is not None and bool((weight.abs() > 1).any())
    passing = alpha * used.grad * (weight.abs() <= 1)
    rest = used.grad / n if gradient == "xnor" else signs * (used.grad * signs).sum((1, 2, 3), keepdim=True) / n
    assert torch.allclose(net.weight.grad, passing + rest, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("gradient", ["ste", "xnor"])
def test_latent_weights_learn_a_binary_filter(gradient: Gradient, channels: int) -> None:
    net, teacher = layer(channels, gradient), layer(channels, gradient)
    teacher.weight.data = torch.randn_like(teacher.weight).clamp(-1, 1)
    before = sign(net.weight.detach())
    wrong = float((before != sign(teacher.weight)).float().mean())
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(150):
        x = torch.randn(16, channels, 6, 6)
        optimiser.zero_grad()
        loss: Tensor = functional.mse_loss(net(x), teacher(x).detach())
        loss.backward()
        if step == 0:
            assert net.weight.grad is not None
            assert (net.weight.grad != 0).float().mean() > 0.9
        optimiser.step()
        with torch.no_grad():
            net.weight.clamp_(-1, 1)
    after = float((sign(net.weight) != sign(teacher.weight)).float().mean())
    assert wrong > 0.35 and after < 0.1


@pytest.mark.parametrize("gradient", ["ste", "xnor"])
def test_one_input_channel_learns_as_fast_as_many(gradient: Gradient) -> None:
    sizes = []
    for channels in (1, 16):
        net, x = layer(channels, gradient), torch.randn(16, channels, 8, 8)
        functional.mse_loss(net(x), torch.randn(16, 8, 8, 8)).backward()
        assert net.weight.grad is not None
        sizes.append(float(net.weight.grad.abs().mean() / net.alpha.detach().mean()))
    assert sizes[0] >= sizes[1]
