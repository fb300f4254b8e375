# SPDX-License-Identifier: Apache-2.0
"""The mean of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._integers import REACH, TWICE, check_accumulator, requantise, saturate
from kilobench.compile.ops._window import MAX_WINDOW, Pool


class AvgPool(Pool):
    """The sum of a window's taps inside the map times ``scale``; of int8 the int32 sum of (q - zero point), requantised.

    The divisor, which is part of these factors, is how many taps lie inside the map grown by ``counted`` (top, left, bottom,
    right) rows and columns of its padding. Where windows differ in it, there is a factor for each divisor from 1 on.
    """

    types = {
        ("float32", "float32"): {"scale": ("float32", "D")},
        ("int8", "int8"): {"multiplier": ("int32", "D"), "shift": ("int32", "D")},
    }
    attributes = Pool.attributes | {"counted": Attribute(0, MAX_WINDOW, 4, (0, 0, 0, 0))}

    def output_shape(self) -> tuple[int, int, int]:
        """As of any window."""
        shape, ((top, bottom), (left, right)) = super().output_shape(), self.paddings()
        padding, counted = (top, left, bottom, right), self.attrs["counted"]
        less = all(part <= whole for part, whole in zip(counted, padding, strict=True))
        require(less, f"has counted={counted}, more than its padding {padding}")
        return shape

    def divisors(self) -> NDArray[np.int64]:
        """[out h, out w]."""
        top, left, bottom, right = self.attrs["counted"]
        rows, columns = (self._taps(0, top, bottom), self._taps(1, left, right))
        return rows[:, None] * columns

    def _taps(self, axis: int, before: int, after: int) -> NDArray[np.int64]:
        """Of each window along an axis, inside the map grown by this much."""
        starts = np.arange(self.output.shape[axis]) * self.attrs["stride"][axis] - self.attrs["padding"][axis]
        ends = np.minimum(starts + self.attrs["kernel"][axis], self.source.shape[axis] + after)
        return ends - np.maximum(starts, -before)

    def sizes(self) -> dict[str, int]:
        """D is how many factors there are."""
        height, width = self.attrs["kernel"]
        top, left, bottom, right = self.attrs["counted"]
        same = np.ptp(self._taps(0, top, bottom)) == np.ptp(self._taps(1, left, right)) == 0
        return super().sizes() | {"D": 1 if same else height * width}

    def check(self) -> None:
        """The accumulator."""
        if self.output.dtype == "int8":
            height, width = self.attrs["kernel"]
            check_accumulator(self, REACH["int8"] * height * width)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The sum over both axes of the kernel."""
        factors = {key: self._by_window(array) for key, array in self.params.items()}
        if self.output.dtype == "float32":
            total: NDArray[Any] = self.windows(values[0]).sum(axis=(-1, -2), dtype=np.float32) * factors["scale"]
            return total
        acc = self.windows(values[0].astype(np.int64) - self.source.zero_point).sum(axis=(-1, -2))
        return saturate(self, requantise(acc, factors["multiplier"], factors["shift"]))

    def _by_window(self, factors: NDArray[Any]) -> NDArray[Any]:
        """The factor of each window [out h, out w, 1]."""
        return factors[np.minimum(self.divisors(), len(factors)) - 1][..., None]

    def is_padded(self) -> bool:
        """Or two roundings."""
        return super().is_padded() or any(shift > TWICE for shift in self.params.get("shift", ()))

    def fields(self) -> dict[str, Field]:
        """Window and factor, or margins and factors."""
        fields: dict[str, Field] = {"window": self.window()}
        factors = {key: self.params[key] for key in self.types[self.source.dtype, self.output.dtype]}
        if self.is_padded():
            fields |= factors | {"counted": self.attrs["counted"], "divisors": self.sizes()["D"]}
        else:
            fields |= {key: array[0].item() for key, array in factors.items()}
        zeros = {"in_zero": self.source.zero_point, "out_zero": self.output.zero_point}
        return fields if self.output.dtype == "float32" else fields | zeros
