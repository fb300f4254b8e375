"""How the constants of an operator lie in flash for its kernel, and the scratch memory that the kernel needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.graph import Op, Tensor


@dataclass(frozen=True)
class Layout:
    """Fields of a kernel's parameter structure beyond sizes, zero points and clamps."""

    arrays: dict[str, NDArray[Any]]
    """Constant arrays by field, as the kernel reads them."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Plain fields."""
    scratch_bytes: int = 0


def layout(op: Op, source: Tensor, output: Tensor) -> Layout:
    """The layout of one operator; where its kernel wants nothing special, that of the graph."""
    arrange = _ARRANGED.get((op.kind, source.dtype))
    return arrange(op, source, output) if arrange else Layout(op.params)


_COLUMNS_BYTES = 2048
"""Wanted size of the scratch buffer of int8 convolutions, which holds input columns at 16 bits."""

_CHUNK = 512
"""Taps that int8 convolutions sum at a time (CHUNK in conv2d_s8.c)."""


def _conv2d_s8(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Weights of two output channels in each half word, of four side by side, taps ordered by column; see conv2d_s8.c."""
    weight = op.params["weight"].astype(np.int32)
    outputs, kernel_h, kernel_w, channels = weight.shape
    stride = op.attrs["stride"][1]
    column = kernel_h * channels
    if stride % 2 and output.shape[1] > 1:
        column += column % 2  # so that every pixel starts at a whole word
    taps = -(-kernel_w * column // 4) * 4
    ordered = np.zeros((-(-outputs // 4) * 4, taps), dtype=np.int32)
    columns = np.zeros((outputs, kernel_w, column), dtype=np.int32)
    columns[:, :, : kernel_h * channels] = weight.transpose(0, 2, 1, 3).reshape(outputs, kernel_w, -1)
    ordered[:outputs, : kernel_w * column] = columns.reshape(outputs, -1)
    pairs = (256 * ordered[1::2] + ordered[::2]).astype(np.int16)
    bias = op.params["bias"] - source.zero_point * weight.sum(axis=(1, 2, 3))
    arrays: dict[str, NDArray[Any]] = {
        "weight": pairs.reshape(-1, 2, taps // 2, 2).transpose(0, 2, 1, 3),
        "channel": _requantisation(bias, op.params["multiplier"], op.params["shift"], output.zero_point),
    }
    fitting = (_COLUMNS_BYTES // 2 // column - kernel_w) // stride + 1
    block = max(2, min(fitting, output.shape[1] + 1) // 2 * 2) if output.shape[1] > 1 else 1
    halves = (block - 1) * stride * column + max(taps, kernel_w * column)
    sums = len(ordered) * min(block, 2) * (2 if taps > _CHUNK else 1)
    quick = int((arrays["channel"][:, 3] > 0).all())
    numbers = {"quick": quick, "column": column, "taps": taps, "sums": sums, "block": block}
    return Layout(arrays, numbers, 4 * sums + 2 * halves)


def _requantisation(
    bias: NDArray[Any], multiplier: NDArray[Any], shift: NDArray[Any], zero_point: int
) -> NDArray[np.int32]:
    """Per channel bias, multiplier, offset and shift of kb_kernels.h, int32 [channels, 4]."""
    after = shift.astype(np.int64) - 32  # of the product's upper word
    quick = (after > 0) & (after < 24)  # the offset stays below 2**31
    offset = np.where(quick, (2 * zero_point + 1) << np.where(quick, after - 1, 0), 0)
    return np.stack([bias, multiplier, offset, np.where(quick, after, -shift)], axis=1).astype(np.int32)


_ARRANGED: dict[tuple[str, str], Callable[[Op, Tensor, Tensor], Layout]] = {("conv2d", "int8"): _conv2d_s8}
