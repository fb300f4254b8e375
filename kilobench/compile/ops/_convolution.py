# SPDX-License-Identifier: Apache-2.0
"""What convolutions share, whether their channels are summed or not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._integers import REACH, check_accumulator, lowest, requantise, saturate
from kilobench.compile.ops._window import Windowed


class Convolution(Windowed):
    """Sums of products of taps and weights, then ReLU if ``relu``."""

    attributes = Windowed.attributes | {"relu": Attribute()}
    takes_scratch = True

    def taps(self) -> int:
        """Products per output value."""
        return int(self.attrs["kernel"][0] * self.attrs["kernel"][1])

    def work(self) -> int:
        """Products."""
        height, width, channels = self.output.shape
        return height * width * channels * self.taps()

    def macs(self) -> int:
        """One for each product."""
        return self.work()

    def weights(self) -> int:
        """And a bias per output channel."""
        return self.output.shape[2] * (self.taps() + 1)

    def constants(self) -> dict[str, Field]:
        """Weights and what goes with them, as its kernel reads them."""
        return {**self.params}

    def fields(self) -> dict[str, Field]:
        """Window, constants, and what the types need besides."""
        fields = {"window": self.window()} | self.constants()
        if self.output.dtype == "float32":
            fields["relu"] = int(self.attrs["relu"])
        if self.output.dtype == "int8":
            fields |= {"out_zero": self.output.zero_point, "low": lowest(self)}
        if self.source.dtype == "int8":
            fields["in_zero"] = self.source.zero_point
        return fields

    def check_weights(self, axes: tuple[int, ...]) -> None:
        """Raises ValueError for int8 weights with which the accumulator may overflow; ``axes`` are those that are summed."""
        weight = self.params["weight"].astype(np.int16)
        require(weight.min() >= -127, "has a weight below -127")
        check_accumulator(self, REACH[self.source.dtype] * np.abs(weight).sum(axis=axes, dtype=np.int64))

    def compute_integers(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.int8]:
        """Integers [n, h, w, c] with int8 weights as of ``correlate`` to int8."""
        acc = self.correlate(x - np.float64(self.source.zero_point), weight).astype(np.int64) + self.params["bias"]
        return saturate(self, requantise(acc, self.params["multiplier"], self.params["shift"]))

    def compute_floats(self, x: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Floats; NumPy promises no order of sums."""
        return self.relu(self.correlate(x, weight) + self.params["bias"])

    def relu(self, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """ReLU if it is asked for."""
        return np.maximum(value, np.float32(0)) if self.attrs["relu"] else value

    def correlate(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """Convolution of [n, h, w, c] with [o, kh, kw, i], in float32 or, exact for the integers here, in float64.

        ``i`` is c, or 1 where every channel has a kernel of its own.
        """
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        pad_h, pad_w = self.attrs["padding"]
        image = np.pad(x.astype(dtype), ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
        outputs, _, _, inputs = weight.shape
        groups = x.shape[3] // inputs
        kernel = weight.astype(dtype).reshape(groups, outputs // groups, *weight.shape[1:])
        taps = self.windows(image)  # [n, h, w, c, kh, kw]
        shape = taps.shape[:3]
        sums = np.zeros((groups, math.prod(shape), outputs // groups), dtype)
        for row, column in np.ndindex(*weight.shape[1:3]):
            tap = taps[..., row, column].reshape(-1, groups, inputs).transpose(1, 0, 2)
            sums += tap @ kernel[:, :, row, column].transpose(0, 2, 1)
        return sums.transpose(1, 0, 2).reshape(*shape, outputs)
