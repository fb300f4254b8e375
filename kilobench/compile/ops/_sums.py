# SPDX-License-Identifier: Apache-2.0
"""What sums and differences of two maps share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._broadcast import Broadcast
from kilobench.compile.ops._integers import check_once, lowest, requantise, saturate


class Sum(Broadcast):
    """In int8, with a multiplier for each input and one shift, ``sign`` being 1 or -1:
    ((int64(a - za) * m0 + sign * int64(b - zb) * m1) >> (t - 1)) + 1) >> 1, plus zero point, clamped.
    """

    types = {
        ("float32", "float32"): {},
        ("int8", "int8"): {"multiplier": ("int32", "2"), "shift": ("int32", "1")},
    }
    sign = 1

    def check(self) -> None:
        """Roundings."""
        if self.output.dtype == "int8":
            check_once(self)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        if self.output.dtype == "float32":
            result: NDArray[Any] = values[0] + values[1] if self.sign == 1 else values[0] - values[1]
            return np.maximum(result, 0) if self.attrs["relu"] else result
        terms = [
            (value.astype(np.int64) - source.zero_point) * int(factor)
            for value, source, factor in zip(values, self.sources, self.params["multiplier"], strict=True)
        ]
        return saturate(self, requantise(terms[0] + self.sign * terms[1], np.ones(1), self.params["shift"]))

    @property
    def kernel(self) -> str:
        """In int8 a difference is a sum, with a factor below 0."""
        if self.output.dtype == "float32":
            return super().kernel
        return "kb_add_broadcast_s8" if self.broadcasts() else "kb_add_s8"

    def fields(self) -> dict[str, Field]:
        """In int8 count of values, factors and zero points; if they are broadcast, those of a row after the grid."""
        if self.output.dtype == "float32":
            return super().fields()
        first, second = (int(m) for m in self.params["multiplier"])
        grid = self.grid_field()
        fields: dict[str, Field] = {"count": grid[0][2] if self.broadcasts() else int(np.prod(self.output.shape))}
        fields |= {"multiplier_a": first, "multiplier_b": self.sign * second, "shift": int(self.params["shift"][0])}
        fields |= {"zero_a": self.sources[0].zero_point, "zero_b": self.sources[1].zero_point}
        fields |= {"out_zero": self.output.zero_point, "low": lowest(self)}
        return {"grid": grid, "sum": tuple(fields.values())} if self.broadcasts() else fields
