# SPDX-License-Identifier: Apache-2.0
"""Numbers from a grid of int8 or uint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field
from kilobench.compile.ops._pointwise import Pointwise


class Dequantise(Pointwise):
    """To floats, (q - zero point) * scale; of int8 to uint8 by ``table``."""

    types = {("int8", "float32"): {}, ("uint8", "float32"): {}, ("int8", "uint8"): {"table": ("uint8", "T")}}

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One product or entry for each value."""
        q = values[0].astype(np.int16)
        if self.output.dtype == "uint8":
            made: NDArray[Any] = self.params["table"][q + 128]
            return made
        with np.errstate(over="ignore"):
            return (q - self.source.zero_point).astype(np.float32) * np.float32(self.source.scale)

    @property
    def kernel(self) -> str:
        """By type of output too."""
        return super().kernel + ("_f32" if self.output.dtype == "float32" else "_u8")

    def fields(self) -> dict[str, Field]:
        """To floats with the grid."""
        grid = {"scale": self.source.scale, "zero": self.source.zero_point}
        return super().fields() | (grid if self.output.dtype == "float32" else {})
