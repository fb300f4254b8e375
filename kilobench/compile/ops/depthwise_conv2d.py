# SPDX-License-Identifier: Apache-2.0
"""Convolution in which every channel has a kernel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.operator import Field, require
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._integers import REQUANTISED


class DepthwiseConv2d(Convolution):
    """As conv2d, with weights [KH, KW, O]; output channel o reads input channel o // m, m being how many there are of each."""

    types = {
        ("float32", "float32"): {"weight": ("float32", "HWO"), "bias": ("float32", "O")},
        ("int8", "int8"): {"weight": ("int8", "HWO"), **REQUANTISED},
    }

    def groups(self) -> int:
        """One for each input channel."""
        return self.source.shape[2]

    def weight(self) -> NDArray[Any]:
        """Those of a convolution with groups."""
        return self.params["weight"].transpose(2, 0, 1)[..., None]

    def output_channels(self) -> int:
        """As many as it reads, or a multiple."""
        read, made = self.source.shape[2], self.output.shape[2]
        require(made % read == 0, f"turns {read} channels into {made}, which is no multiple")
        return made

    def is_general(self) -> bool:
        """Or several output channels of each, or windows without a tap inside the map."""
        padded = any(side >= k for both, k in zip(self.paddings(), self.attrs["kernel"], strict=True) for side in both)
        return super().is_general() or self.output.shape[2] != self.source.shape[2] or padded

    def check(self) -> None:
        """The accumulator."""
        if self.output.dtype == "int8":
            self.check_sums()

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """As a convolution with groups."""
        return self.compute_floats(values[0]) if self.source.dtype == "float32" else self.compute_integers(values[0])

    @property
    def kernel(self) -> str:
        """Of float32 there is one more, for 3x3 taps around each pixel of pairs of channels."""
        window = self.attrs["kernel"], self.attrs["stride"], self.paddings()
        around = window == ((3, 3), (1, 1), ((1, 1), (1, 1))) and self.source.shape[2] % 2 == 0
        special = around and self.source.dtype == "float32" and not self.general
        return "kb_depthwise_conv2d_3x3_f32" if special else super().kernel

    def constants(self) -> dict[str, Field]:
        """Of int8 with words of scratch."""
        return super().constants() | (self._words() if self.source.dtype == "int8" else {})

    def scratch_bytes(self) -> int:
        """For four int8 channels: kernel_h rows and the kernel, twice, as 16-bit values; and a row of int32 sums each."""
        if self.source.dtype != "int8" or self.source.shape[2] < 4 or self.general:
            return 0
        kernel_h, words = self.attrs["kernel"][0], self._words()
        return int(4 * 4 * (kernel_h * (words["columns"] + 2 * words["taps"]) + words["sums"]))

    def _words(self) -> dict[str, int]:
        """Of scratch for a channel: taps per kernel row, columns per input row, sums per output row, even."""
        width = self.output.shape[1]
        taps, sums = (self.attrs["kernel"][1] + 2) // 2, width + width % 2
        return {"taps": taps, "columns": (sums - 1) * self.attrs["stride"][1] // 2 + taps, "sums": sums}
