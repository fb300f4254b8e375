# SPDX-License-Identifier: Apache-2.0
"""The mean of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._integers import REACH, check_accumulator, requantise, saturate
from kilobench.compile.ops._window import Windowed


class AvgPool(Windowed):
    """Without padding. The sum times ``scale``; of int8 the int32 sum of (q - zero point), requantised."""

    types = {
        ("float32", "float32"): {"scale": ("float32", "1")},
        ("int8", "int8"): {"multiplier": ("int32", "1"), "shift": ("int32", "1")},
    }

    def check(self) -> None:
        """The accumulator."""
        if self.output.dtype == "int8":
            height, width = self.attrs["kernel"]
            check_accumulator(self, REACH["int8"] * height * width)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The sum over both axes of the kernel."""
        windows = self.windows(values[0])
        if self.output.dtype == "float32":
            total: NDArray[Any] = windows.sum(axis=(-1, -2), dtype=np.float32) * self.params["scale"]
            return total
        acc = (windows.astype(np.int64) - self.source.zero_point).sum(axis=(-1, -2))
        return saturate(self, requantise(acc, self.params["multiplier"], self.params["shift"]))

    def fields(self) -> dict[str, Field]:
        """Window and factor."""
        fields = {"window": self.window()}
        if self.output.dtype == "float32":
            return fields | {"scale": float(self.params["scale"][0])}
        fields |= {key: int(self.params[key][0]) for key in ("multiplier", "shift")}
        return fields | {"in_zero": self.source.zero_point, "out_zero": self.output.zero_point}
