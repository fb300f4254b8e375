# SPDX-License-Identifier: Apache-2.0
"""The sum of two int8 maps by TFLite-Micro's formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field, require
from kilobench.compile.ops._broadcast import Broadcast
from kilobench.compile.ops._integers import TWICE, lowest, requantise, saturate

LEFT_SHIFT = 20
"""Of both inputs, before anything is rounded."""


class TfliteAdd(Broadcast):
    """a + b, broadcast: q less its zero point, times 2**20, by the factor of its input; their sum by a third one. Every factor
    is below 1 and rounds twice (shifts from 95 to 126).
    """

    types = {("int8", "int8"): {"multiplier": ("int32", "3"), "shift": ("int32", "3")}}
    sign = 1

    def check(self) -> None:
        """The bound of its sums."""
        shifts = self.params["shift"]
        low = 31 + TWICE
        require(
            shifts.min() >= low, f"has the shifts {shifts.tolist()}, not {low} to 126: factors below 1, rounded twice"
        )

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        m, t = self.params["multiplier"], self.params["shift"]
        a, b = (
            requantise((v.astype(np.int64) - source.zero_point) << LEFT_SHIFT, m[i : i + 1], t[i : i + 1])
            for i, (v, source) in enumerate(zip(values, self.sources, strict=True))
        )
        return saturate(self, requantise(a + self.sign * b, m[2:], t[2:]))

    @property
    def kernel(self) -> str:
        """A difference is a sum too."""
        return "kb_tflite_add_s8"

    def fields(self) -> dict[str, Field]:
        """The grid, factors and zero points."""
        factors: dict[str, Field] = {key: tuple(self.params[key].tolist()) for key in ("multiplier", "shift")}
        zeros = {"zero_a": self.sources[0].zero_point, "zero_b": self.sources[1].zero_point}
        ends = {"out_zero": self.output.zero_point, "low": lowest(self), "sign": self.sign}
        return {"grid": self.grid_field(), **factors, **zeros, **ends}
