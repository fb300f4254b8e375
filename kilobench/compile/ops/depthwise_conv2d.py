# SPDX-License-Identifier: Apache-2.0
"""Convolution in which every channel has a kernel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._integers import REQUANTISED


class DepthwiseConv2d(Convolution):
    """As conv2d, with weights [KH, KW, C] and as many channels in as out."""

    types = {
        ("float32", "float32"): {"weight": ("float32", "HWO"), "bias": ("float32", "O")},
        ("int8", "int8"): {"weight": ("int8", "HWO"), **REQUANTISED},
    }

    def most_padding(self) -> tuple[int, int]:
        """Less than the kernel: its kernels count on a tap inside the map in every window."""
        return self.attrs["kernel"][0] - 1, self.attrs["kernel"][1] - 1

    def check(self) -> None:
        """The accumulator."""
        if self.output.dtype == "int8":
            self.check_weights(axes=(0, 1))

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """As a grouped convolution."""
        weight = self.params["weight"].transpose(2, 0, 1)[..., None]
        if self.source.dtype == "float32":
            return self.compute_floats(values[0], weight)
        return self.compute_integers(values[0], weight)

    def constants(self) -> dict[str, Field]:
        """Of int8 with words of scratch."""
        return super().constants() | (self._words() if self.source.dtype == "int8" else {})

    def scratch_bytes(self) -> int:
        """For four int8 channels: kernel_h rows and the kernel, twice, as 16-bit values; and a row of int32 sums each."""
        if self.source.dtype != "int8" or self.source.shape[2] < 4:
            return 0
        kernel_h, words = self.attrs["kernel"][0], self._words()
        return int(4 * 4 * (kernel_h * (words["columns"] + 2 * words["taps"]) + words["sums"]))

    def _words(self) -> dict[str, int]:
        """Of scratch for a channel: taps per kernel row, columns per input row, sums per output row, even."""
        width = self.output.shape[1]
        taps, sums = (self.attrs["kernel"][1] + 2) // 2, width + width % 2
        return {"taps": taps, "columns": (sums - 1) * self.attrs["stride"][1] // 2 + taps, "sums": sums}
