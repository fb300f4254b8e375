# SPDX-License-Identifier: Apache-2.0
"""Numbers to a grid of int8 or int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._pointwise import Pointwise, clamped


class Quantise(Pointwise):
    """Of floats, x / scale rounded half to even, plus the zero point, clamped; what is no number becomes -128. Of uint8 by
    ``table``.
    """

    types = {
        ("float32", "int8"): {},
        ("uint8", "int8"): {"table": ("int8", "T")},
        ("uint8", "int16"): {"table": ("int16", "T")},
    }

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Clamped before it is rounded, which is the same."""
        if self.source.dtype == "uint8":
            made: NDArray[Any] = self.params["table"][values[0]]
            return made
        zero = self.output.zero_point
        with np.errstate(over="ignore"):
            scaled = values[0] / np.float32(self.output.scale)
        return (np.rint(clamped(scaled, np.float32(-128 - zero), np.float32(127 - zero))) + zero).astype(np.int8)

    @property
    def kernel(self) -> str:
        """To int16 another."""
        return super().kernel + ("_s16" if self.output.dtype == "int16" else "")

    def fields(self) -> dict[str, Field]:
        """Of floats with the grid."""
        grid = {"scale": self.output.scale, "zero": self.output.zero_point}
        return super().fields() | (grid if self.source.dtype == "float32" else {})
