# SPDX-License-Identifier: Apache-2.0
"""The product of two maps, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._broadcast import Broadcast
from kilobench.compile.ops._integers import channel_table, lowest, requantise, saturate


class Mul(Broadcast):
    """a * b, broadcast. In int8, (a - za) * (b - zb) is requantised."""

    types = {
        ("float32", "float32"): {},
        ("int8", "int8"): {"multiplier": ("int32", "1"), "shift": ("int32", "1")},
    }

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        if self.output.dtype == "float32":
            result: NDArray[Any] = values[0] * values[1]
            return np.maximum(result, 0) if self.attrs["relu"] else result
        a, b = (v.astype(np.int64) - source.zero_point for v, source in zip(values, self.sources, strict=True))
        return saturate(self, requantise(a * b, self.params["multiplier"], self.params["shift"]))

    def fields(self) -> dict[str, Field]:
        """The grid; in int8 the factor as ``channel`` of kb_kernels.h, and zero points."""
        if self.output.dtype == "float32":
            return super().fields()
        zero = self.output.zero_point
        factor = channel_table(np.zeros(1), self.params["multiplier"], self.params["shift"], zero)[0]
        zeros = {"zero_a": self.sources[0].zero_point, "zero_b": self.sources[1].zero_point, "out_zero": zero}
        return {"grid": self.grid_field(), "channel": tuple(factor.tolist()), **zeros, "low": lowest(self)}
