"""How the constants of an operator lie in flash for its kernel, and the scratch memory that the kernel needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.graph import Op, Tensor

MAX_BIT_TAPS = 2**16 - 1
"""Taps of a binary convolution: its counters and per-channel counts have 16 bits."""
MAX_BIT_COLUMN = 2**14 - 1
"""Taps per column of its kernel: their byte offsets have 16 bits."""
_FEW_TAPS = 8
"""KB_BITS_FEW of kb_bits.h."""


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


def _bit_conv(op: Op, source: Tensor, output: Tensor) -> Layout:
    """For hardware/kernels/kb_bits.h: a bit per output channel in every word, and what padding changes per case of window."""
    kernel_h, kernel_w = op.attrs["kernel"]
    channels = source.shape[2]
    weight = _unpack(op.params["weight"], channels)
    taps = kernel_h * kernel_w * channels
    column = kernel_h * channels
    lists, listed = (kernel_w, column) if column > _FEW_TAPS else (1, taps)
    words = np.pad(_pack(weight.transpose(2, 1, 3, 0)).reshape(lists, listed, -1), ((0, 0), (0, 1), (0, 0)))
    arrays = {key: value for key, value in op.params.items() if key not in ("weight", "threshold")}
    arrays["weight"] = np.moveaxis(words, 2, 0)
    rows, columns = (_spans(op, axis, source.shape[axis], output.shape[axis]) for axis in (0, 1))
    windows = [weight[:, top:bottom, left:right] for top, bottom in rows for left, right in columns]
    positive = np.stack([window.sum(axis=(1, 2, 3), dtype=np.int64) for window in windows])
    if "threshold" in op.params:
        valid = np.array([window[0].size for window in windows])[:, None]
        least = positive - (valid - op.params["threshold"].astype(np.int64)) // 2 + taps
        arrays["level"] = _slices(np.clip(least, 0, 2 * taps + 1), taps)
    else:
        arrays["positive"] = positive.astype(np.uint16)
    blocks = -(-listed // 8)
    return Layout(arrays, scratch_bytes=lists * (2 * (8 * blocks + 8) + 4 * blocks) + 4 * 7)


def _spans(op: Op, axis: int, size: int, made: int) -> list[tuple[int, int]]:
    """Taps [from, to) inside the map, per case of kb_bits_cases in kb_bits.h."""
    kernel, stride, padding = (op.attrs[key][axis] for key in ("kernel", "stride", "padding"))
    edge = -(-padding // stride)
    skip = max(0, max(0, size + padding - kernel + stride) // stride - edge - 1)
    starts = [i * stride - padding for i in range(made) if not edge < i <= edge + skip]
    spans = ((min(max(0, -start), kernel), max(min(kernel, size - start), 0)) for start in starts)
    return [(first, max(first, end)) for first, end in spans]


def _slices(least: NDArray[np.int64], taps: int) -> NDArray[np.uint32]:
    """Numbers [cases, channels] as bit slices [cases, groups of 32, 1 + bits of ``taps``], least significant first.

    Channels that there are not get the largest number, which is never reached.
    """
    slices = 1 + taps.bit_length()
    padded = np.full((len(least), -(-least.shape[1] // 32) * 32), (1 << slices) - 1)
    padded[:, : least.shape[1]] = least
    return _pack((padded[:, None] >> np.arange(slices)[:, None] & 1).astype(np.uint8)).transpose(0, 2, 1)


def _float_binarize(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Thresholds as integers in the order of the floats, so that cores without an FPU compare them too; of zeros, that of -0."""
    threshold = np.where(op.params["threshold"] == 0, np.float32(-0.0), op.params["threshold"])
    bits = threshold.astype(np.float32).view(np.int32)
    return Layout(
        {"threshold": np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32), "flip": op.params["flip"]}
    )


def _pack(bits: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Bits along the last axis as 32-bit words, least significant first, unused bits 0."""
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % 32)])
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32)


def _unpack(words: NDArray[np.uint32], channels: int) -> NDArray[np.uint8]:
    """The bits of packed words along the last axis."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")[..., :channels]


_ARRANGED: dict[tuple[str, str], Callable[[Op, Tensor, Tensor], Layout]] = {
    ("conv2d", "bit"): _bit_conv,
    ("binarize", "float32"): _float_binarize,
}
