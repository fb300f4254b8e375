# SPDX-License-Identifier: Apache-2.0
"""The mean of a window of an int8 map by TFLite-Micro's formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Field
from kilobench.compile.ops._integers import check_accumulator
from kilobench.compile.ops._window import Windowed


class TfliteAvgPool(Windowed):
    """The sum of the integers of those taps that lie inside the map, over their number, rounded half away from zero."""

    types = {("int8", "int8"): {}}

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source."""
        return source.scale, source.zero_point

    def check(self) -> None:
        """The accumulator."""
        height, width = self.attrs["kernel"]
        check_accumulator(self, 129 * height * width)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Windows of the map and of its taps, 0 on padding."""
        x = values[0].astype(np.int64)
        total, taps = (self.windows(part).sum(axis=(-1, -2)) for part in (x, np.ones_like(x[:1, ..., :1])))
        return (np.sign(total) * ((np.abs(total) + taps // 2) // taps)).astype(np.int8)

    def fields(self) -> dict[str, Field]:
        """The window."""
        return {"window": self.window()}
