# SPDX-License-Identifier: Apache-2.0
"""Grids that are learnt: the step of weights and activations, and where activations are cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kilobench.learn.layers import FakeQuant
from kilobench.learn.tracing import exchange

_TINY = 1e-8


class _Rounded(torch.autograd.Function):
    """Values on a grid; the step's gradient is that of LSQ (arXiv 1902.08153, equation 3), times ``factor``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, least: int, most: int, factor: float) -> Tensor:
        ratio = x / step
        codes = ratio.round().clamp(least, most)
        ctx.save_for_backward(ratio, codes)
        ctx.least, ctx.most, ctx.factor, ctx.shape = least, most, factor, step.shape
        return codes * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        ratio, codes = ctx.saved_tensors
        inside = (ratio >= ctx.least) & (ratio <= ctx.most)
        to_step = torch.where(inside, codes - ratio, codes) * grads[0]
        return grads[0] * inside, to_step.sum_to_size(ctx.shape) * ctx.factor, None, None, None


class LearnedStep(nn.Module):
    """Rounds to s * q, q a whole number from ``least`` to ``most``, where s learns (LSQ, arXiv 1902.08153, section 2).

    ``start`` is s at first: one number, or one for every output channel of a weight [out, ...]. Its gradient is scaled by
    1 / sqrt(N * most), N being the number of values of a channel, or of one input (section 2.2). That of the values passes
    straight through where none is clipped.
    """

    def __init__(self, start: Tensor, least: int, most: int) -> None:
        super().__init__()
        self.step = nn.Parameter(start.detach().clone().float())
        self.least, self.most = least, most

    @property
    def size(self) -> Tensor:
        """s, above 0."""
        return self.step.abs() + _TINY

    @property
    def low(self) -> Tensor:
        """The least value that there is."""
        return self.least * self.size

    @property
    def high(self) -> Tensor:
        """The largest."""
        return self.most * self.size

    def forward(self, x: Tensor) -> Tensor:
        """The values on the grid."""
        step = self.size.view(-1, *[1] * (x.dim() - 1)) if self.step.dim() else self.size
        factor = (x[0].numel() * self.most) ** -0.5
        result: Tensor = _Rounded.apply(x.float(), step, self.least, self.most, factor)  # type: ignore[no-untyped-call]
        return result


class LearnedClip(nn.Module):
    """Cuts values off at 0 and at a learnt ``alpha``, and rounds them to ``levels`` steps between (PACT, arXiv 1805.06085).

    The gradient of alpha is 1 where a value is cut off at it, else 0 (section 3).
    """

    def __init__(self, start: Tensor, levels: int = 255) -> None:
        super().__init__()
        self.alpha = nn.Parameter(start.detach().clone().float())
        self.levels = levels

    @property
    def low(self) -> Tensor:
        """0."""
        return torch.zeros_like(self.alpha)

    @property
    def high(self) -> Tensor:
        """Alpha, above 0."""
        return self.alpha.abs() + _TINY

    def forward(self, x: Tensor) -> Tensor:
        """The values on the grid."""
        cut = torch.minimum(x.float().relu(), self.high)
        step = self.high.detach() / self.levels
        return cut + ((cut / step).round() * step - cut).detach()


@contextmanager
def ranges_through(
    model: nn.Module, make: Callable[[FakeQuant], LearnedStep | LearnedClip | None]
) -> Iterator[list[LearnedStep | LearnedClip]]:
    """Inside, what ``make`` makes of a FakeQuant stands in its place; afterwards it is back, with the range that was learnt.

    ``model`` comes from ``quantise``. Where ``make`` returns None a FakeQuant stays as it is; that of the input always does.
    """
    quants = [(path, module) for path, module in model.named_modules() if isinstance(module, FakeQuant)]
    made = [(path, quant, new) for path, quant in quants[1:] if (new := make(quant)) is not None]
    for path, _, new in made:
        exchange(model, path, new)
    try:
        yield [new for _, _, new in made]
    finally:
        for path, quant, new in made:
            quant.low.copy_(new.low.detach())
            quant.high.copy_(new.high.detach())
            quant.freeze()
            exchange(model, path, quant)
