# SPDX-License-Identifier: Apache-2.0
"""The sum of two maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, Operator
from kilobench.compile.ops._integers import check_once, lowest, requantise, saturate


class Add(Operator):
    """Then ReLU if ``relu``. In int8, with a multiplier for each input and one shift:
    ((int64(a - za) * m0 + int64(b - zb) * m1) >> (t - 1)) + 1) >> 1, plus zero point, clamped.
    """

    types = {
        ("float32", "float32"): {},
        ("int8", "int8"): {"multiplier": ("int32", "2"), "shift": ("int32", "1")},
    }
    attributes = {"relu": Attribute()}
    inputs = 2
    in_place = True

    def check(self) -> None:
        """Roundings."""
        if self.output.dtype == "int8":
            check_once(self)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        if self.output.dtype == "float32":
            result: NDArray[Any] = values[0] + values[1]
            return np.maximum(result, 0) if self.attrs["relu"] else result
        terms = [
            (value.astype(np.int64) - source.zero_point) * int(factor)
            for value, source, factor in zip(values, self.sources, self.params["multiplier"], strict=True)
        ]
        return saturate(self, requantise(terms[0] + terms[1], np.ones(1), self.params["shift"]))

    def fields(self) -> dict[str, Field]:
        """Count of values, factors and zero points."""
        fields: dict[str, Field] = {"count": int(np.prod(self.output.shape))}
        if self.output.dtype == "float32":
            return fields | {"relu": int(self.attrs["relu"])}
        first, second = (int(m) for m in self.params["multiplier"])
        fields |= {"multiplier_a": first, "multiplier_b": second, "shift": int(self.params["shift"][0])}
        fields |= {"zero_a": self.sources[0].zero_point, "zero_b": self.sources[1].zero_point}
        return fields | {"out_zero": self.output.zero_point, "low": lowest(self)}
