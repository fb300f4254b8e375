# SPDX-License-Identifier: Apache-2.0
"""What a training makes small."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def as_on_board(x: Tensor) -> Tensor:
    """What is to be made of inputs [n, c, h, w] where the task is to reconstruct: [n, values], by height, width, channel."""
    return x.permute(0, 2, 3, 1).flatten(1)


def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Of Job.batches: the cross entropy of classes int64 [n], or the mean squared error of values float32 [n, values]."""
    if wanted.is_floating_point():
        return functional.mse_loss(outputs, wanted)
    return functional.cross_entropy(outputs, wanted)
