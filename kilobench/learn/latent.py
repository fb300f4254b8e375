# SPDX-License-Identifier: Apache-2.0
"""Training through a function of the weights: latent weights learn, their image is what the network computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class _Through(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, weight: Tensor) -> Tensor:
        """The image of the weights."""
        return self.function(weight)


@contextmanager
def weights_through(layers: Iterable[nn.Module], function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, the layers compute with ``function(weight)``; afterwards these values are their weights.

    ``function`` takes and returns a float32 weight of one shape and must be differentiable; for one that rounds,
    ``function(w).detach() + (w - w.detach())`` is its value to the bit with a straight-through gradient.
    """
    layers = list(layers)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _Through(function))
    try:
        yield
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def int8_grid(weight: Tensor) -> Tensor:
    """Weights [out, ...] rounded per output channel to s * q, s = max|w| / 127, as the lowering will (docs/arithmetic.md).

    Gradients pass straight through.
    """
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=1e-12) / 127
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)
