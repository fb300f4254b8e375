# SPDX-License-Identifier: Apache-2.0
"""What torch computes in the layout that a network is trained in, on processors without AVX-512, too."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch import Tensor, nn

from kilobench.learn.train import _layout


def convolutions(count: int) -> Iterator[tuple[nn.Conv2d, Tensor]]:
    """Random ones, in groups or depthwise, and inputs of them."""
    dice = random.Random(0)
    for seed in range(count):
        torch.manual_seed(seed)
        groups = dice.choice([1, 1, 2, 0])
        inputs, outputs = (part * max(groups, 1) for part in (dice.randint(1, 12), 4 * dice.randint(1, 5)))
        sides = dice.choice([(1, 1), (1, 1), (3, 3), (1, 5), (5, 1), (2, 2)])
        stride = dice.choice([(1, 1), (2, 2), (1, 2), (3, 3)])
        padding = (sides[0] // 2, sides[1] // 2)
        outputs, groups = (outputs, groups) if groups else (inputs, inputs)
        conv = nn.Conv2d(inputs, outputs, sides, stride, padding, groups=groups)
        yield conv, torch.randn(dice.choice([1, 2, 50]), inputs, dice.randint(1, 9), dice.randint(2, 16))


def computed(conv: nn.Conv2d, x: Tensor, outer: Tensor) -> list[Tensor]:
    """Gradients of input, weights and bias, and the output."""
    x = x.detach().requires_grad_()
    y = conv(x)
    return [*torch.autograd.grad(y, (x, *conv.parameters()), outer), y.detach()]


def wrong(count: int) -> list[str]:
    """Which of so many convolutions differ from what they are in float64."""
    torch.set_num_threads(1)
    found = []
    for conv, x in convolutions(count):
        layout = _layout(conv)
        here = conv.to(memory_format=layout)  # type: ignore[call-overload]
        outer = torch.randn(conv(x).shape)
        made = computed(here, x.contiguous(memory_format=layout), outer)
        exact = computed(conv.double(), x.double(), outer.double())
        if any((a - b).abs().max() > 1e-4 * b.abs().max().clamp(min=1e-3) for a, b in zip(made, exact, strict=True)):
            found.append(f"{conv} of {tuple(x.shape)}")
    return found


def test_gradients_are_right_in_the_layout_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which does not survive a write to memory that is not its own."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(wrong, 400).result() == []
