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


def _conv2d_f32(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Weights [ceil(O / 4), KH, KW, I, 4], as one load of four registers takes them."""
    weight = op.params["weight"]
    filled = np.zeros((-(-len(weight) // 4) * 4, *weight.shape[1:]), dtype=np.float32)
    filled[: len(weight)] = weight
    blocks = filled.reshape(-1, 4, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
    return Layout(op.params | {"weight": blocks})


def _depthwise_s8(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Scratch for four channels: kernel_h rows and the kernel, twice, as 16-bit values; and a row of int32 sums."""
    (kernel_h, kernel_w), stride = op.attrs["kernel"], op.attrs["stride"]
    taps, pairs = (kernel_w + 2) // 2, (output.shape[1] + 1) // 2
    columns = (2 * pairs - 1) * stride[1] // 2 + taps
    words = 4 * kernel_h * (columns + 2 * taps) + 2 * pairs
    return Layout(op.params, scratch_bytes=4 * words if source.shape[2] >= 4 else 0)


_ARRANGED: dict[tuple[str, str], Callable[[Op, Tensor, Tensor], Layout]] = {
    ("conv2d", "float32"): _conv2d_f32,
    ("depthwise_conv2d", "int8"): _depthwise_s8,
}
