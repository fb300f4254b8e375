# SPDX-License-Identifier: Apache-2.0
"""How kernels slide, as ONNX and torch say it and as a Program does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kilobench.compile.operator import require
from kilobench.compile.ops._window import MAX_WINDOW

Shape = tuple[int, ...]


def inserted(numbers: Sequence[int], filler: int) -> Shape:
    """What belongs to [batch, channels, length], for [batch, channels, 1, length]."""
    return (*numbers[:2], filler, *numbers[2:])


@dataclass(frozen=True)
class Window:
    """How a kernel slides over one or two axes; ``before`` and ``after`` are the padding. ``same`` is "upper" or "lower" where
    padding makes the output's size that of the input over the stride, and what is odd of it comes last or first.

    ``ceil``: a last window that leaves the padded map counts too, if it begins within map or padding before it (torch's
    ``ceil_mode``). ``counts_padding``: an average counts zeros of the padding.
    """

    kernel: Shape
    stride: Shape
    before: Shape
    after: Shape
    dilation: Shape
    same: str = ""
    ceil: bool = False
    counts_padding: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for numbers of another count than axes, or out of bounds."""
        for name, low in (("kernel", 1), ("stride", 1), ("before", 0), ("after", 0), ("dilation", 1)):
            numbers = getattr(self, name)
            what = f"padding {name}" if name in ("before", "after") else name
            require(len(numbers) == len(self.kernel), f"has {len(numbers)} numbers for {what}, not {len(self.kernel)}")
            require(all(low <= n <= MAX_WINDOW for n in numbers), f"has the {what} {numbers}")

    def conv_attrs(self, sizes: Shape) -> dict[str, Any]:
        """Of a conv over a map of these sizes."""
        before, after = self._paddings(sizes)
        return {"stride": self._pair(self.stride, 1), "padding": self._four(before, after)} | {
            "dilation": self._pair(self.dilation, 1)
        }

    def pool_attrs(self, sizes: Shape) -> dict[str, Any]:
        """Of a pool over a map of these sizes, ``counted`` included."""
        require(
            set(self.dilation) == {1}, f"has the dilation {self.dilation}, for which there is no kernel; supported is 1"
        )
        before, after = self._paddings(sizes)
        fits = all(max(b, a) < k for b, a, k in zip(before, after, self.kernel, strict=True))
        require(fits, f"has the padding {before} and {after} for the kernel {self.kernel}; supported is less")
        counted = self._four(before, after) if self.counts_padding else (0, 0, 0, 0)
        after = tuple(map(self._reach, sizes, before, after, self.kernel, self.stride)) if self.ceil else after
        attrs = {"kernel": self._pair(self.kernel, 1), "stride": self._pair(self.stride, 1)}
        return attrs | {"padding": self._four(before, after), "counted": counted}

    @staticmethod
    def _reach(size: int, before: int, after: int, kernel: int, stride: int) -> int:
        """The padding after the map with which the last window of ceil mode is whole."""
        windows = -(-(size + before + after - kernel) // stride) + 1
        windows -= (windows - 1) * stride >= size + before
        return max(after, (windows - 1) * stride + kernel - size - before)

    def _paddings(self, sizes: Shape) -> tuple[Shape, Shape]:
        require(len(sizes) == len(self.kernel), f"has {len(self.kernel)} kernel sizes for a map of the sizes {sizes}")
        if not self.same:
            return self.before, self.after
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(sizes, self.stride, spans, strict=True)]
        less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        return (less, more) if self.same == "upper" else (more, less)

    @staticmethod
    def _pair(numbers: Shape, filler: int) -> Shape:
        return numbers if len(numbers) == 2 else (filler, *numbers)

    def _four(self, before: Shape, after: Shape) -> Shape:
        return self._pair(before, 0) + self._pair(after, 0)
