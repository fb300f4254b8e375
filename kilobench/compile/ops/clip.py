# SPDX-License-Identifier: Apache-2.0
"""A clamp to a range; ReLU and ReLU6 are such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.ops._pointwise import Pointwise, clamped


class Clip(Pointwise):
    """min(max(x, low), high); of int8, of integers as they are stored."""

    types = {
        ("float32", "float32"): {"low": ("float32", "1"), "high": ("float32", "1")},
        ("int8", "int8"): {"low": ("int8", "1"), "high": ("int8", "1")},
    }

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source."""
        return source.scale, source.zero_point

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        return clamped(values[0], self.params["low"], self.params["high"])
