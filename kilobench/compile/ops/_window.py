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
    """Attributes kernel=(KH, KW), stride=(SH, SW) and padding=(PH, PW)."""

    attributes = {
        "kernel": Attribute(1, MAX_WINDOW, 2),
        "stride": Attribute(1, MAX_WINDOW, 2),
        "padding": Attribute(0, MAX_WINDOW, 2),
    }
    in_strips = True

    def most_padding(self) -> tuple[int, int]:
        """Which its kernels can bear."""
        return 0, 0

    def output_channels(self) -> int:
        """As many as it reads, as a rule."""
        return self.source.shape[2]

    def output_shape(self) -> tuple[int, int, int]:
        """The windows that fit."""
        kernel, stride, padding = (self.attrs[key] for key in ("kernel", "stride", "padding"))
        size, most = self.source.shape, self.most_padding()
        require(padding[0] <= most[0] and padding[1] <= most[1], f"has padding={padding} for kernel={kernel}")
        fits = all(n + 2 * p >= k for n, p, k in zip(size, padding, kernel, strict=False))
        require(fits, f"has kernel={kernel} for {size}")
        require(max(stride) * kernel[0] * size[2] <= INT32_MAX, f"has stride={stride} for {size}")
        windows = zip(size, kernel, stride, padding, strict=False)
        height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in windows)
        return height, width, self.output_channels()

    def sizes(self) -> dict[str, int]:
        """With those of the kernel."""
        return super().sizes() | {"H": self.attrs["kernel"][0], "W": self.attrs["kernel"][1]}

    def work(self) -> int:
        """A value for each tap of each output."""
        height, width = self.attrs["kernel"]
        return int(super().work() * height * width)

    def along(self, axis: int) -> tuple[int, int, int]:
        """Those of the attributes."""
        return self.attrs["kernel"][axis], self.attrs["stride"][axis], self.attrs["padding"][axis]

    def window(self) -> Field:
        """kb_window of kb_kernels.h."""
        numbers = (*self.attrs["kernel"], *self.attrs["stride"], *self.attrs["padding"])
        return (self.source.shape, self.output.shape, *numbers)

    def windows(self, x: NDArray[Any]) -> NDArray[Any]:
        """[n, out h, out w, c, kernel h, kernel w] of a map [n, h, w, c], without padding."""
        (step_h, step_w), kernel = self.attrs["stride"], self.attrs["kernel"]
        return np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::step_h, ::step_w]
