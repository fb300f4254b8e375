# SPDX-License-Identifier: Apache-2.0
"""Batch norm with fixed statistics, and tensors of the model as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def array(tensor: torch.Tensor) -> NDArray[np.float64]:
    """The values of a tensor in float64."""
    return tensor.detach().numpy().astype(np.float64)


def affine(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Batch norm in evaluation as factor and offset per channel, in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    weight: Any = 1.0 if norm.weight is None else array(norm.weight)
    bias: Any = 0.0 if norm.bias is None else array(norm.bias)
    factor = weight / np.sqrt(array(norm.running_var) + norm.eps)
    return factor, bias - array(norm.running_mean) * factor
