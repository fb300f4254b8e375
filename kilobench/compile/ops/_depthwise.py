# SPDX-License-Identifier: Apache-2.0
"""Which kernel a depthwise convolution of int8 has, and the tiles that it takes (hardware/kernels/depthwise_planes.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from kilobench.compile.kernels import constant

_PLANES_BYTES = 4096
"""Wanted size of the planes, which hold the input of four channels under a tile of the output at 16 bits."""
_MANY = 256
"""Windows along an axis, beyond which those that reach beyond the map do not count."""
_FOUR_WORDS = 16
"""Bytes of a word of four planes."""
_DIRECT_BYTES, _JOB_BYTES = 216, 16
"""Of the weights and of each output in the scratch of ``kb_depthwise_conv2d_direct_s8``."""


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


def plan(vertical: Axis, horizontal: Axis, channels: int, in_tiles: bool = True) -> Plan:
    """The fastest way, pixel by pixel unless ``in_tiles``."""
    pixels = vertical.made * horizontal.made
    rows, taps = vertical.taps() * horizontal.made, vertical.taps() * horizontal.taps()
    if horizontal.size == horizontal.kernel and not horizontal.pad:  # one row after the other
        rows = pixels
    plans = [Plan("", 0, 0, 0, False, 0, (84 + 630 / channels) * pixels + 12 * rows + 12 * taps)]
    if channels >= 4:
        plans += _direct(vertical, horizontal, channels)
    if in_tiles and channels >= 4:
        whole = channels % 4 == 0
        ways = chain(_tiles(horizontal, vertical, 0, whole), _tiles(vertical, horizontal, 1, whole))
        plans += ways
    return min(plans, key=lambda plan: plan.cycles)


def _direct(vertical: Axis, horizontal: Axis, channels: int) -> list[Plan]:
    """By that of 3 x 3 without planes, whose windows reach beyond the map by one column at most, if it can."""
    end = (horizontal.made - 1) * horizontal.stride - horizontal.pad + horizontal.kernel
    beyond = max(horizontal.pad, end - horizontal.size)
    if not (vertical.kernel == horizontal.kernel == 3 <= horizontal.size and beyond <= 1):
        return []
    pixels, most = vertical.made * horizontal.made, constant("KB_DEPTHWISE_JOBS")
    cycles = 360 * -(-pixels // most) + (60 + 160 / channels) * pixels + 31 * vertical.taps() * horizontal.made
    return [Plan("direct", 0, 0, 0, False, _DIRECT_BYTES + _JOB_BYTES * min(pixels, most), cycles)]


def _tiles(along: Axis, across: Axis, turned: int, whole: bool) -> Iterator[Plan]:
    """Of every even width that has the wanted size the highest, by the kernels that can."""
    for width in range(2, along.made + 2, 2):
        ways = [way(along, across, width) for way in (_3x3, _line, _wide)]
        if not any(ways):
            return
        for kind, height, planes, cycles in filter(None, ways):
            if kind == "line" and turned and across.made != across.size:  # which has one step for both maps
                continue
            is_whole = whole and width >= along.made and height >= across.made
            yield Plan(kind, turned, width, height, is_whole, planes, cycles)


_Way = tuple[str, int, int, float]
"""The kind of kernel, outputs of a tile across, bytes of its scratch and cycles."""


def _3x3(along: Axis, across: Axis, width: int) -> _Way | None:
    """By that of 3 x 3, whose planes have room for so many rows."""
    rows = constant("KB_DEPTHWISE_ROWS")
    height = min((rows - across.kernel) // across.stride + 1, across.made)
    planes = _FOUR_WORDS * ((along.words(width) - 1) * rows + across.rows(height))
    fits = along.kernel == across.kernel == 3 and along.stride == across.stride <= 2 and planes <= _PLANES_BYTES
    return ("3x3", height, planes, _cycles_3x3(along, across, width, height)) if fits else None


def _line(along: Axis, across: Axis, width: int) -> _Way | None:
    """By the kernel of few taps along, where cores without the DSP extension need no more memory than planes take."""
    planes = _FOUR_WORDS * (along.words(width) + 2)
    few = across.kernel == along.stride == 1 and along.kernel <= constant("KB_DEPTHWISE_TAPS")
    return ("line", 1, planes, _cycles_line(along, across, width)) if few and planes <= _PLANES_BYTES else None


def _wide(along: Axis, across: Axis, width: int) -> _Way | None:
    """By the kernel of many taps."""
    row = _FOUR_WORDS * along.words(width)
    many = (across.kernel + 1) * (along.kernel + 1) > constant("KB_DEPTHWISE_MOST")
    if many or across.kernel > constant("KB_DEPTHWISE_RUN") or row * across.kernel > 2 * _PLANES_BYTES:
        return None
    height = min(max((_PLANES_BYTES // row - across.kernel) // across.stride + 1, 1), across.made)
    words = (along.kernel + along.stride % 2 + 1) // 2
    scratch = row * across.rows(height) + 2 * _FOUR_WORDS * words * across.kernel
    return "wide", height, scratch, _cycles_wide(along, across, width, height, words)


def _spread(along: Axis, across: Axis, width: int, height: int) -> tuple[int, int]:
    """Tiles, and the words of them all."""
    tiles = -(-along.made // width) * -(-across.made // height)
    return tiles, tiles * along.words(min(width, along.made)) * across.rows(height)


def _cycles_3x3(along: Axis, across: Axis, width: int, height: int) -> float:
    tiles, words = _spread(along, across, width, height)
    columns = -(-along.made // 2)
    blocks, odd = across.made // 2, across.made % 2
    slower = 9 * (along.stride - 1)
    made = columns * ((63 + slower) * blocks + (40 + slower / 2) * odd + 20 * -(-across.made // height))
    return 16 * words + 300 * tiles + 4 * (made + 60 * tiles)


def _cycles_line(along: Axis, across: Axis, width: int) -> float:
    tiles, _ = _spread(along, across, width, 1)
    each, line = (11, 85) if along.kernel <= 3 else (13.5, 140)
    return 4 * (each * across.made * along.made + line * tiles)


def _cycles_wide(along: Axis, across: Axis, width: int, height: int, words: int) -> float:
    tiles, spread = _spread(along, across, width, height)
    flat = across.rows(height) == across.kernel and words * across.kernel <= constant("KB_DEPTHWISE_RUN")
    runs, length = (1, words * across.kernel) if flat else (words, across.kernel)
    line = height == 1
    calls = tiles if line else -(-along.made // 2) * -(-across.made // height)
    pairs = -(-along.made // 2) * across.made
    if along.stride == 1 and (across.kernel if line else across.stride) == 1:  # two at a time
        column = -(-min(width, along.made) // 2) if line else height
        made = calls * -(-column // 2) * (46 + runs * (12 + 8 * length))
    else:
        made = pairs * (50 + runs * (7 + 7 * length))
    weights = tiles * across.kernel * (40 + 36 * words)
    return 16 * spread + weights + 150 * tiles + 4 * (made + 45 * calls + 45 * tiles)
