# SPDX-License-Identifier: Apache-2.0
"""The sum of two int8 maps by TFLite-Micro's formula."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field, require
from kilobench.compile.ops._broadcast import Broadcast
from kilobench.compile.ops._integers import TWICE, lowest, requantise, saturate

LEFT_SHIFT = 20
"""Of both inputs, before anything is rounded."""
_LEAST = 31 + TWICE
"""Shift of a factor below 1 that rounds twice."""


class TfliteAdd(Broadcast):
    """a + b, broadcast: q less its zero point, times 2**20, by the factor of its input; their sum by a third one. Every factor
    is below 1 and rounds twice.
    """

    types = {("int8", "int8"): {"multiplier": ("int32", "3"), "shift": ("int32", "3")}}
    sign = 1

    def check(self) -> None:
        """The bound of its sums."""
        shifts = self.params["shift"]
        once = shifts.min() < _LEAST
        require(not once, f"has the shifts {shifts.tolist()}, not {_LEAST} to 126: factors below 1, rounded twice")

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        m, t = self.params["multiplier"], self.params["shift"]
        a, b = (
            requantise((v.astype(np.int64) - source.zero_point) << LEFT_SHIFT, m[i : i + 1], t[i : i + 1])
            for i, (v, source) in enumerate(zip(values, self.sources, strict=True))
        )
        return saturate(self, requantise(a + self.sign * b, m[2:], t[2:]))

    @cached_property
    def exact(self) -> int | None:
        """Which input is not rounded, where the other one is, and so are sums of one shape; their shifts are small enough."""
        halves = (self.params["multiplier"] == 1 << 30) & (self.params["shift"] == _LEAST)
        exact = int(halves[:2].argmax())
        rounded = self.params["shift"][[1 - exact, 2]] - _LEAST
        usual = bool(halves[exact]) and bool((rounded > 0).all()) and int(rounded[1]) < 24
        return exact if usual and self.sign == 1 and not self.broadcasts() else None

    @property
    def kernel(self) -> str:
        """A difference is a sum too."""
        return "kb_tflite_add_s8" if self.exact is None else "kb_tflite_add_exact_s8"

    def fields(self) -> dict[str, Field]:
        """The grid, factors and zero points."""
        multiplier, shift = self.params["multiplier"], self.params["shift"] - _LEAST
        if (exact := self.exact) is not None:
            zero = [source.zero_point for source in self.sources]
            fields: dict[str, Field] = {
                "count": int(np.prod(self.output.shape)),
                "swapped": exact,
                "zero_exact": zero[exact],
            }
            fields |= {
                "zero": zero[1 - exact],
                "multiplier": int(multiplier[1 - exact]),
                "shift": int(shift[1 - exact]),
            }
            fields |= {"last": int(multiplier[2]), "down": int(shift[2]), "low": lowest(self)}
            return fields | {"offset": (2 * self.output.zero_point + 1) << int(shift[2] - 1)}
        factors: dict[str, Field] = {"multiplier": tuple(multiplier.tolist()), "shift": tuple(shift.tolist())}
        zeros = {"zero_a": self.sources[0].zero_point, "zero_b": self.sources[1].zero_point}
        ends = {"out_zero": self.output.zero_point, "low": lowest(self), "sign": self.sign}
        return {"grid": self.grid_field(), **factors, **zeros, **ends}
