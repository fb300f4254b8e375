# SPDX-License-Identifier: Apache-2.0
"""Weights of fewer than 8 bits: how a layer says that its own are stored so, and on which grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from kilobench.contracts import UserError

_BITS, _SCALE = "narrow_bits", "narrow_scale"
_Layer = TypeVar("_Layer", bound=nn.Module)


def narrow(layer: _Layer, bits: int, scale: Tensor | Iterable[float] | None = None) -> _Layer:
    """Mark a Conv2d or Linear: on the board its weights have ``bits``, 2 to 7. Returns the layer.

    Their grid is symmetric per output channel, w = scale[c] * q with |q| <= 2**(bits - 1) - 1; ``scale``, positive, has one
    number for each channel, and is max|w| / (2**(bits - 1) - 1) where it is not given. The weights stay what they are: the
    lowering rounds them to this grid, and a batch norm that is folded into them scales it too. Marking again replaces a mark.
    """
    kind = type(layer).__name__
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        raise UserError(f"narrow: {kind} has no weights of few bits; supported are Conv2d and Linear")
    if type(bits) is not int or not 2 <= bits <= 7:
        raise UserError(f"narrow: bits must be from 2 to 7, not {bits}; a layer without a mark has 8")
    weight = layer.weight.detach()
    step = largest(weight) / most(bits) if scale is None else torch.as_tensor(scale, dtype=torch.float32)
    step = step.detach().to(weight.device, torch.float32).clone()
    if step.shape != weight.shape[:1] or not bool((torch.isfinite(step) & (step > 0)).all()):
        raise UserError(
            f"narrow: the scale of {kind} must be {len(weight)} positive numbers, one for each output channel"
        )
    setattr(layer, _BITS, bits)
    layer.register_buffer(_SCALE, step)
    return layer


def most(bits: int) -> int:
    """The largest magnitude of a weight of so many bits."""
    return int(2 ** (bits - 1) - 1)


def largest(weight: Tensor) -> Tensor:
    """The largest magnitude of each output channel; 1 where all of its weights are 0."""
    found = weight.abs().flatten(1).amax(dim=1)
    return torch.where(found > 0, found, torch.ones_like(found))


def narrowed(layer: nn.Module) -> tuple[int, Tensor] | None:
    """Bits and scale of a marked layer."""
    bits: int | None = getattr(layer, _BITS, None)
    return None if bits is None else (bits, layer.get_buffer(_SCALE))


def on_grid(weight: Tensor, bits: int, scale: Tensor) -> Tensor:
    """Weights [out, ...] as the lowering rounds them."""
    step = scale.view(-1, *[1] * (weight.dim() - 1))
    return (weight / step).round().clamp(-most(bits), most(bits)) * step
