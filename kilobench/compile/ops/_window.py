# SPDX-License-Identifier: Apache-2.0
"""What operators with a kernel that slides over a map share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, Operator, require
from kilobench.compile.ops._integers import INT32_MAX

MAX_WINDOW = 2**20
"""Of a kernel, stride or padding, along an axis."""


class Windowed(Operator):
    """Attributes kernel=(KH, KW), stride=(SH, SW), padding=(top, left) and extra: how much more padding there is below than
    above and right than left.
    """

    attributes = {
        "kernel": Attribute(1, MAX_WINDOW, 2),
        "stride": Attribute(1, MAX_WINDOW, 2),
        "padding": Attribute(0, MAX_WINDOW, 2),
        "extra": Attribute(-MAX_WINDOW, MAX_WINDOW, 2, (0, 0)),
    }
    in_strips = True

    def reach(self) -> tuple[int, int]:
        """Rows and columns from a window's first tap to its last one."""
        height, width = self.attrs["kernel"]
        return height, width

    def most_padding(self) -> tuple[int, int]:
        """Which its kernels can bear on a side: every window has a tap inside the map."""
        height, width = self.reach()
        return height - 1, width - 1

    def paddings(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(top, bottom), (left, right)."""
        (top, left), (below, right) = self.attrs["padding"], self.attrs["extra"]
        return (top, top + below), (left, left + right)

    def inside(self) -> bool:
        """Whether no window has a tap on padding."""
        return self.attrs["padding"] == (0, 0) and all(
            (made - 1) * stride + reach <= size
            for made, stride, reach, size in zip(
                self.output.shape, self.attrs["stride"], self.reach(), self.source.shape, strict=False
            )
        )

    def output_channels(self) -> int:
        """As many as it reads, as a rule."""
        return self.source.shape[2]

    def output_shape(self) -> tuple[int, int, int]:
        """The windows that fit."""
        kernel, stride, padding, extra = (self.attrs[key] for key in ("kernel", "stride", "padding", "extra"))
        size, reach, most, sides = self.source.shape, self.reach(), self.most_padding(), self.paddings()
        require(max(reach) <= MAX_WINDOW, f"has a kernel that reaches over {reach}, above {MAX_WINDOW}")
        bearable = all(0 <= side <= limit for both, limit in zip(sides, most, strict=True) for side in both)
        more = f" and extra={extra}" if any(extra) else ""
        require(bearable, f"has padding={padding}{more} for kernel={kernel}")
        padded = [n + sum(both) for n, both in zip(size, sides, strict=False)]
        require(all(n >= k for n, k in zip(padded, reach, strict=True)), f"has kernel={kernel} for {size}")
        require(max(stride) * kernel[0] * size[2] <= INT32_MAX, f"has stride={stride} for {size}")
        height, width = ((n - k) // s + 1 for n, k, s in zip(padded, reach, stride, strict=True))
        return height, width, self.output_channels()

    def sizes(self) -> dict[str, int]:
        """With those of the kernel."""
        return super().sizes() | {"H": self.attrs["kernel"][0], "W": self.attrs["kernel"][1]}

    def work(self) -> int:
        """A value for each tap of each output."""
        height, width = self.attrs["kernel"]
        return int(super().work() * height * width)

    def along(self, axis: int) -> tuple[int, int, int]:
        """Those of the attributes, the kernel with its gaps."""
        return self.reach()[axis], self.attrs["stride"][axis], self.attrs["padding"][axis]

    def window(self) -> Field:
        """kb_window of kb_kernels.h."""
        numbers = (*self.attrs["kernel"], *self.attrs["stride"], *self.attrs["padding"])
        return (self.source.shape, self.output.shape, *numbers)

    def padded(self, x: NDArray[Any], value: float = 0) -> NDArray[Any]:
        """A map [n, h, w, c] with its padding."""
        return np.pad(x, ((0, 0), *self.paddings(), (0, 0)), constant_values=value)

    def windows(self, x: NDArray[Any], value: float = 0) -> NDArray[Any]:
        """[n, out h, out w, c, kernel h, kernel w] of a map [n, h, w, c] with padding of this value."""
        (step_h, step_w), kernel = self.attrs["stride"], self.attrs["kernel"]
        views = np.lib.stride_tricks.sliding_window_view(self.padded(x, value), kernel, axis=(1, 2))
        return views[:, ::step_h, ::step_w]


class Pool(Windowed):
    """One that has two kernels."""

    def is_padded(self) -> bool:
        """Whether it needs that for windows which reach beyond the map."""
        return not self.inside()

    @property
    def kernel(self) -> str:
        """kb_KIND_TYPE or kb_padded_KIND_TYPE."""
        name = super().kernel
        return name.replace("kb_", "kb_padded_", 1) if self.is_padded() else name
