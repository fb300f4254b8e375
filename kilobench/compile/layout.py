"""How the constants of an operator lie in flash for its kernel, and the scratch memory that the kernel needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Op, Tensor, pack, unpack

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


def _conv2d_s16(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Weights at 16 bits, taps ordered by column; see conv2d_s16.c."""
    weight = op.params["weight"].astype(np.int16)
    outputs, kernel_h, kernel_w, channels = weight.shape
    stride = op.attrs["stride"][1]
    column = kernel_h * channels
    if stride % 2 and output.shape[1] > 1:
        column += column % 2  # so that every pixel starts at a whole word
    taps = -(-kernel_w * column // 2) * 2
    columns = np.zeros((outputs, kernel_w, column), dtype=np.int16)
    columns[:, :, : kernel_h * channels] = weight.transpose(0, 2, 1, 3).reshape(outputs, kernel_w, -1)
    ordered = np.zeros((outputs, taps), dtype=np.int16)
    ordered[:, : kernel_w * column] = columns.reshape(outputs, -1)
    channel = _requantisation(op.params["bias"], op.params["multiplier"], op.params["shift"], output.zero_point)
    fitting = (_COLUMNS_BYTES // 2 // column - kernel_w) // stride + 1
    block = min(max(4, fitting // 4 * 4), output.shape[1])
    halves = (block - 1) * stride * column + taps
    quick = int((channel[:, 3] > 0).all())
    numbers = {"quick": quick, "column": column, "taps": taps, "block": block}
    return Layout({"weight": ordered, "channel": channel}, numbers, 2 * halves)


def _requantisation(
    bias: NDArray[Any], multiplier: NDArray[Any], shift: NDArray[Any], zero_point: int
) -> NDArray[np.int32]:
    """Per channel bias, multiplier, offset and shift of kb_kernels.h, int32 [channels, 4]."""
    after = shift.astype(np.int64) - 32  # of the product's upper word
    quick = (after > 0) & (after < 24)  # the offset stays below 2**31
    offset = np.where(quick, (2 * zero_point + 1) << np.where(quick, after - 1, 0), 0)
    return np.stack([bias, multiplier, offset, np.where(quick, after, -shift)], axis=1).astype(np.int32)


def _bit_conv(op: Op, source: Tensor, output: Tensor) -> Layout:
    """For hardware/kernels/kb_bits.h: a bit per output channel in every word, and what padding changes per case of window."""
    kernel_h, kernel_w = op.attrs["kernel"]
    channels = source.shape[2]
    weight = unpack(op.params["weight"], channels)
    taps = kernel_h * kernel_w * channels
    column = kernel_h * channels
    lists, listed = (kernel_w, column) if column > _FEW_TAPS else (1, taps)
    words = np.pad(pack(weight.transpose(2, 1, 3, 0)).reshape(lists, listed, -1), ((0, 0), (0, 1), (0, 0)))
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
    return pack((padded[:, None] >> np.arange(slices)[:, None] & 1).astype(np.uint8)).transpose(0, 2, 1)


def _conv2d_f32(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Weights [ceil(O / 4), KH, KW, I, 4], as one load of four registers takes them."""
    weight = op.params["weight"]
    filled = np.zeros((-(-len(weight) // 4) * 4, *weight.shape[1:]), dtype=np.float32)
    filled[: len(weight)] = weight
    blocks = filled.reshape(-1, 4, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
    return Layout(op.params | {"weight": blocks})


def _float_binarize(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Thresholds as integers in the order of the floats, so that cores without an FPU compare them too; of zeros, that of -0."""
    threshold = np.where(op.params["threshold"] == 0, np.float32(-0.0), op.params["threshold"])
    bits = threshold.astype(np.float32).view(np.int32)
    return Layout(
        {"threshold": np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32), "flip": op.params["flip"]}
    )


def _depthwise_s8(op: Op, source: Tensor, output: Tensor) -> Layout:
    """Scratch for four channels: kernel_h rows and the kernel, twice, as 16-bit values; and a row of int32 sums each."""
    (kernel_h, kernel_w), stride = op.attrs["kernel"], op.attrs["stride"]
    taps, sums = (kernel_w + 2) // 2, output.shape[1] + output.shape[1] % 2
    columns = (sums - 1) * stride[1] // 2 + taps
    words = 4 * (kernel_h * (columns + 2 * taps) + sums)
    numbers = {"taps": taps, "columns": columns, "sums": sums}
    return Layout(op.params, numbers, 4 * words if source.shape[2] >= 4 else 0)


_ARRANGED: dict[tuple[str, str], Callable[[Op, Tensor, Tensor], Layout]] = {
    ("conv2d", "int8"): _conv2d_s8,
    ("conv2d", "int16"): _conv2d_s16,
    ("conv2d", "bit"): _bit_conv,
    ("conv2d", "float32"): _conv2d_f32,
    ("depthwise_conv2d", "int8"): _depthwise_s8,
    ("binarize", "float32"): _float_binarize,
}
