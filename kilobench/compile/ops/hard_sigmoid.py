# SPDX-License-Identifier: Apache-2.0
"""A sigmoid of straight lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.ops._pointwise import Function, clamped


class HardSigmoid(Function):
    """min(max(slope * x + offset, 0), 1)."""

    types = Function.types | {("float32", "float32"): {"slope": ("float32", "1"), "offset": ("float32", "1")}}

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The product is rounded before the sum."""
        line = self.params["slope"] * x + self.params["offset"]
        return clamped(line, np.float32(0), np.float32(1))
