# SPDX-License-Identifier: Apache-2.0
"""Binary convolutions for hardware/kernels/kb_bits.h and kb_few.h: what they can count, and how their constants lie."""

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
_CLEARLY, _WORTH = 0.2, 100_000
"""Of the cycles that counting in slices takes what counting outputs each for itself is to save, and cycles of the layer."""


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


def few(conv: Convolution) -> bool:
    """Whether it has so few output channels that to count each for itself (kb_few.h) takes clearly fewer cycles of a Cortex-M4:
    else networks would have the code of both ways for little. Where weights have a centre, lists say the sum of the signs.
    """
    if "centre" in conv.params:
        return False
    kernel_w, channels, sizes = conv.attrs["kernel"][1], conv.output.shape[2], chunks(conv)
    alone = 250 + 12 * sum(sizes) + channels * sum(6 * words + 45 for words in sizes)
    inside = conv.source.shape[2] * _taps_inside(conv, 0) * _taps_inside(conv, 1)
    in_slices = 600 + 150 * tap_lists(conv)[0] + 3.7 * inside * (1 + min(1, conv.attrs["stride"][1] / kernel_w))
    in_slices += 400 if conv.output.dtype != "bit" else 0
    saved, pixels = in_slices - alone, conv.output.shape[0] * conv.output.shape[1]
    return channels <= 32 and saved > _CLEARLY * in_slices and saved * pixels > _WORTH


def _taps_inside(conv: Convolution, axis: int) -> float:
    """Of a window, on average; only these are counted in slices."""
    kernel, stride, padding = conv.along(axis)
    starts = np.arange(conv.output.shape[axis]) * stride - padding
    inside = np.minimum(starts + kernel, conv.source.shape[axis]) - np.maximum(starts, 0)
    return float(np.maximum(inside, 0).mean())


def chunks(conv: Convolution) -> list[int]:
    """Words that kb_few.h counts at a time."""
    kernel_h, kernel_w = conv.attrs["kernel"]
    chunk, short = constant("KB_FEW_CHUNK"), constant("KB_FEW_SHORT")
    whole, rest = divmod(kernel_h * kernel_w * -(-conv.source.shape[2] // 32), chunk)
    return [chunk] * whole + [short if rest <= short else chunk] * (rest > 0)


def tap_lists(conv: Convolution) -> tuple[int, int]:
    """Lists of taps, one per column of the kernel or, where columns are short, one of all; and the taps of each."""
    kernel_h, kernel_w = conv.attrs["kernel"]
    column = kernel_h * conv.source.shape[2]
    return (kernel_w, column) if column > constant("KB_BITS_FEW") else (1, kernel_w * column)


def scratch_bytes(conv: Convolution) -> int:
    """For the lists of those taps that are +1, or the words of a window."""
    if few(conv):
        return 4 * sum(chunks(conv))
    lists, listed = tap_lists(conv)
    blocks = -(-listed // 8)
    return lists * (2 * (8 * blocks + 8) + 4 * blocks) + 4 * 7


def constants(conv: Convolution) -> dict[str, Field]:
    """Weights, and what padding changes per case of window."""
    weight = unpack(conv.params["weight"], conv.source.shape[2])
    rows, columns = (_spans(conv, axis) for axis in (0, 1))
    windows = [weight[:, top:bottom, left:right] for top, bottom in rows for left, right in columns]
    positive = np.stack([window.sum(axis=(1, 2, 3), dtype=np.int64) for window in windows])
    valid = np.array([window[0].size for window in windows])[:, None]
    return _of_output(conv) | (_one_by_one if few(conv) else _in_slices)(conv, weight, positive, valid)


def _in_slices(
    conv: Convolution, weight: NDArray[np.uint8], positive: NDArray[np.int64], valid: NDArray[np.int64]
) -> dict[str, Field]:
    """Weights with a bit per output channel in every word."""
    taps = weight[0].size
    lists, listed = tap_lists(conv)
    words = pack(weight.transpose(2, 1, 3, 0)).reshape(lists, listed, -1)
    arrays: dict[str, Field] = {"weight": np.moveaxis(np.pad(words, ((0, 0), (0, 1), (0, 0))), 2, 0)}
    if "threshold" not in conv.params:
        return arrays | {"positive": positive.astype(np.uint16)}
    least = positive - (valid - conv.params["threshold"].astype(np.int64)) // 2 + taps
    level = _slices(np.clip(least, 0, 2 * taps + 1), taps)
    return arrays | {"level": level, "flip": conv.params["flip"]}


def _one_by_one(
    conv: Convolution, weight: NDArray[np.uint8], positive: NDArray[np.int64], valid: NDArray[np.int64]
) -> dict[str, Field]:
    """Weights with a bit per tap, and the taps that agree though padding takes them; a level is what a count that reaches it
    has above it, and so its sign is set where it does not.
    """
    taps, outputs = weight[0].size, len(weight)
    arrays: dict[str, Field] = {"weight": _paired(pack(1 - weight).reshape(outputs, -1), chunks(conv))}
    taken = taps - valid - (weight.sum(axis=(1, 2, 3), dtype=np.int64) - positive)
    if "threshold" not in conv.params:
        return arrays | {"positive": taken.astype(np.uint16)}
    least = np.clip(taken - (-valid - conv.params["threshold"].astype(np.int64)) // 2, 0, 2 * taps + 1)
    return arrays | {"level": (-least).astype(np.uint32), "flip": conv.params["flip"] ^ np.uint32(2**outputs - 1)}


def _paired(words: NDArray[np.uint32], sizes: list[int]) -> NDArray[np.uint32]:
    """Words [outputs, words] as [chunks][outputs][words of the chunk], in pairs as kb_few.c reads them."""
    filled = np.pad(words, ((0, 0), (0, sum(sizes) - words.shape[1])))
    made = []
    for chunk in np.split(filled, np.cumsum(sizes)[:-1], axis=1):
        first, odd = chunk[:, ::2], chunk[:, ::2] ^ chunk[:, 1::2]
        before = np.bitwise_xor.accumulate(odd, axis=1) ^ odd
        made.append(np.stack([first ^ before, odd], axis=2).ravel())
    return np.concatenate(made)


def _of_output(conv: Convolution) -> dict[str, Field]:
    """What makes outputs of sums."""
    if conv.output.dtype == "int8":
        bias, multiplier, shift = (conv.params[key] for key in ("bias", "multiplier", "shift"))
        centre = {key: value for key, value in conv.params.items() if key == "centre"}
        return {"channel": channel_table(bias, multiplier, shift, conv.output.zero_point)[:, [0, 1, 3]], **centre}
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
