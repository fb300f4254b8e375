# SPDX-License-Identifier: Apache-2.0
"""Which kernel a depthwise convolution of int8 has, and the tiles that it takes (hardware/kernels/depthwise_planes.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from kilobench.compile.kernels import constant

_PLANES_BYTES = 3072
"""Wanted size of the planes, which hold the input of four channels under a tile of the output at 16 bits."""
_MANY = 256
"""Windows along an axis, beyond which those that reach beyond the map do not count."""
_FOUR_WORDS = 16
"""Bytes of a word of four planes."""


@dataclass(frozen=True)
class Axis:
    """Sizes of the input and the output, and the windows."""

    size: int
    made: int
    kernel: int
    stride: int
    pad: int

    def taps(self) -> int:
        """Of all windows, those that lie in the map; of many windows about those."""
        if self.made > _MANY:
            return self.made * self.kernel
        starts = range(-self.pad, self.made * self.stride - self.pad, self.stride)
        return sum(min(start + self.kernel, self.size) - max(start, 0) for start in starts)

    def words(self, outputs: int) -> int:
        """Of a plane under so many outputs, which are made in pairs."""
        return (((outputs - 1) | 1) * self.stride + self.kernel + 1) // 2

    def rows(self, outputs: int) -> int:
        """Of a plane under so many outputs."""
        return (outputs - 1) * self.stride + self.kernel


@dataclass(frozen=True)
class Plan:
    """The kind of kernel; outputs of a tile along and across, along being down the columns if ``turned``; whether all channels
    of a tile that is the whole map are read before they are written; cycles of a Cortex-M4 for four channels, roughly.
    """

    kind: str
    turned: int
    along: int
    across: int
    whole: bool
    scratch_bytes: int
    cycles: float


def plan(vertical: Axis, horizontal: Axis, channels: int) -> Plan:
    """The fastest way of those there are."""
    pixels = vertical.made * horizontal.made
    rows, taps = vertical.taps() * horizontal.made, vertical.taps() * horizontal.taps()
    if horizontal.size == horizontal.kernel and not horizontal.pad:  # one row after the other
        rows = pixels
    plans = [Plan("", 0, 0, 0, False, 0, 100 * pixels + 11 * rows + 14 * taps)]
    if channels >= 4:
        whole = channels % 4 == 0
        ways = chain(_tiles(horizontal, vertical, 0, whole), _tiles(vertical, horizontal, 1, whole))
        plans += ways
    return min(plans, key=lambda plan: plan.cycles)


def _tiles(along: Axis, across: Axis, turned: int, whole: bool) -> Iterator[Plan]:
    """Of every even width the highest that has the wanted size, by either kernel."""
    is_3x3 = along.kernel == across.kernel == 3 and along.stride == across.stride in (1, 2)
    most = constant("KB_DEPTHWISE_TAPS")
    for width in range(2, along.made + 2, 2):
        bytes_of_row = _FOUR_WORDS * along.words(width)
        if bytes_of_row * across.kernel > 2 * _PLANES_BYTES:
            return
        fitting = (_PLANES_BYTES // bytes_of_row - across.kernel) // across.stride + 1
        height = min(max(fitting, 1), across.made)
        planes = bytes_of_row * across.rows(height)
        size = turned, width, height, whole and width >= along.made and height >= across.made
        if is_3x3:
            yield Plan("3x3", *size, planes, _cycles_3x3(along, across, width, height))
        elif across.kernel <= constant("KB_DEPTHWISE_RUN") and (across.kernel + 1) * (along.kernel + 1) <= most:
            taps = along.kernel + along.stride % 2
            words = (taps + 1) // 2
            weights = 2 * _FOUR_WORDS * words * across.kernel
            cycles = _cycles_wide(along, across, width, height, words)
            yield Plan("wide", *size, planes + weights, cycles)


def _spread(along: Axis, across: Axis, width: int, height: int) -> tuple[int, int]:
    """Tiles, and the words of them all."""
    tiles = -(-along.made // width) * -(-across.made // height)
    return tiles, tiles * along.words(min(width, along.made)) * across.rows(height)


def _cycles_3x3(along: Axis, across: Axis, width: int, height: int) -> float:
    tiles, words = _spread(along, across, width, height)
    pairs, singles = along.made // 2 * across.made, along.made % 2 * across.made
    columns = -(-along.made // 2) * -(-across.made // height)
    slower = 6 if along.stride == 2 else 0
    return 22 * words + 4 * ((47 + slower) * pairs + 32 * singles + 25 * columns + 150 * tiles)


def _cycles_wide(along: Axis, across: Axis, width: int, height: int, words: int) -> float:
    tiles, spread = _spread(along, across, width, height)
    flat = across.rows(height) == across.kernel and words * across.kernel <= constant("KB_DEPTHWISE_RUN")
    runs, length = (1, words * across.kernel) if flat else (words, across.kernel)
    pairs = -(-along.made // 2) * across.made
    calls = tiles * (2 if height == 1 else width // 2)
    weights = tiles * across.kernel * (40 + 50 * words)
    return 22 * spread + weights + 4 * ((41 + runs * (9 + 7 * length)) * pairs + 60 * calls + 120 * tiles)
