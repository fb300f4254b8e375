# SPDX-License-Identifier: Apache-2.0
"""Binary convolutions for hardware/kernels/kb_bits.h: what it can count, and how their constants lie in bit slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import pack, unpack
from kilobench.compile.kernels import constant
from kilobench.compile.operator import Field, require
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._integers import channel_table

MAX_BIT_TAPS, MAX_BIT_COLUMN = constant("KB_BITS_MAX_TAPS"), constant("KB_BITS_MAX_COLUMN")
"""Of a binary convolution; of one list."""
_MAX_CASES = 2**22
"""Output channels of a binary convolution, times the ways in which padding may clip its windows."""


def check_counters(conv: Convolution, taps: int) -> None:
    """Raises ValueError for more taps than the kernels can count, and for a ReLU of bits."""
    _, listed = tap_lists(conv)
    column = conv.attrs["kernel"][0] * conv.source.shape[2]
    counted = taps <= MAX_BIT_TAPS and listed <= MAX_BIT_COLUMN
    require(counted, f"sums {taps} products, {column} per column, more than the kernels can count")
    cases = [min(size, sum(both) + 2) for size, both in zip(conv.output.shape, conv.paddings(), strict=False)]
    clipped = conv.output.shape[2] * cases[0] * cases[1]
    require(clipped <= _MAX_CASES, f"has {clipped} sums of clipped windows, above {_MAX_CASES}")
    require(conv.output.dtype != "bit" or not conv.attrs["relu"], "has a ReLU of bits")


def shared(conv: Convolution) -> bool:
    """Whether it has few output channels, words of which are shared by pixels (kb_shared.h)."""
    return _together(conv) > 1


def _together(conv: Convolution) -> int:
    """Output pixels that share a word; their taps together have 15 bits."""
    (kernel_h, kernel_w), (_, width, channels) = conv.attrs["kernel"], conv.output.shape
    stride = conv.attrs["stride"][1]
    column, pixels = kernel_h * conv.source.shape[2], 4 if channels <= 8 else 2 if channels <= 16 else 1
    least = constant("KB_BITS_FEW") + 1 if pixels == 4 else constant("KB_BITS_SHARED")
    fits = column >= least and column * (kernel_w + (pixels - 1) * stride) < 2**15
    return pixels if fits and width >= pixels and stride < kernel_w else 1


def tap_lists(conv: Convolution) -> tuple[int, int]:
    """Lists of taps, one per column of the kernel or, where columns are short, one of all; and the taps of each."""
    kernel_h, kernel_w = conv.attrs["kernel"]
    column = kernel_h * conv.source.shape[2]
    spanned = kernel_w + (_together(conv) - 1) * conv.attrs["stride"][1]
    return (spanned, column) if column > constant("KB_BITS_FEW") else (1, kernel_w * column)


def scratch_bytes(conv: Convolution) -> int:
    """For the lists of those taps that are +1."""
    lists, listed = tap_lists(conv)
    blocks = -(-listed // 8)
    return lists * (2 * (8 * blocks + 8) + 4 * blocks) + 4 * 7


def constants(conv: Convolution) -> dict[str, Field]:
    """Weights with a bit per output channel, of each pixel, in every word, and what padding changes per case of window."""
    weight = unpack(conv.params["weight"], conv.source.shape[2])
    taps, pixels = weight[0].size, _together(conv)
    lists, listed = tap_lists(conv)
    words = pack(_for_pixels(conv, weight).transpose(2, 1, 3, 0)).reshape(lists, listed, -1)
    arrays = _of_output(conv)
    arrays["weight"] = np.moveaxis(np.pad(words, ((0, 0), (0, 1), (0, 0))), 2, 0)
    rows, columns = (_spans(conv, axis) for axis in (0, 1))
    windows = [weight[:, top:bottom, left:right] for top, bottom in rows for left, right in columns]
    positive = np.stack([window.sum(axis=(1, 2, 3), dtype=np.int64) for window in windows])
    if "threshold" in conv.params:
        valid = np.array([window[0].size for window in windows])[:, None]
        least = positive - (valid - conv.params["threshold"].astype(np.int64)) // 2 + taps
        arrays["level"] = _shared(_slices(np.clip(least, 0, 2 * taps + 1), lists * listed), pixels)
        arrays["flip"] = _shared(conv.params["flip"], pixels)
    else:
        arrays["positive"] = positive.astype(np.uint16)
    return arrays


def _for_pixels(conv: Convolution, weight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weights [O, KH, KW, I] as those of all lanes of all pixels of a word, 0 outside of a pixel's window."""
    pixels, stride = _together(conv), conv.attrs["stride"][1]
    if pixels == 1:
        return weight
    channels, kernel_h, kernel_w, inputs = weight.shape
    made = np.zeros((pixels, 32 // pixels, kernel_h, kernel_w + (pixels - 1) * stride, inputs), np.uint8)
    for pixel in range(pixels):
        made[pixel, :channels, :, pixel * stride : pixel * stride + kernel_w] = weight
    return made.reshape(32, kernel_h, -1, inputs)


def _shared(words: NDArray[np.uint32], pixels: int) -> NDArray[np.uint32]:
    """The low lanes of each word for all pixels of it."""
    lanes = 32 // pixels
    own = words & np.uint32(2**lanes - 1)
    return np.bitwise_or.reduce([own << np.uint32(lanes * pixel) for pixel in range(pixels)])


def _of_output(conv: Convolution) -> dict[str, Field]:
    """What makes outputs of sums."""
    if conv.output.dtype == "int8":
        bias, multiplier, shift = (conv.params[key] for key in ("bias", "multiplier", "shift"))
        return {"channel": channel_table(bias, multiplier, shift, conv.output.zero_point)[:, [0, 1, 3]]}
    return {k: value for k, value in conv.params.items() if k not in ("weight", "threshold", "flip")}


def _spans(conv: Convolution, axis: int) -> list[tuple[int, int]]:
    """Taps [from, to) inside the map, per case of kb_bits_cases in kb_bits.h."""
    size, made = conv.source.shape[axis], conv.output.shape[axis]
    kernel, stride, padding = conv.along(axis)
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
