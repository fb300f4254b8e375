# SPDX-License-Identifier: Apache-2.0
"""A ReLU that lets something of negative numbers through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.ops._pointwise import Function


class LeakyRelu(Function):
    """x from 0 on, slope * x below."""

    types = Function.types | {("float32", "float32"): {"slope": ("float32", "1")}}

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """A product where it is needed."""
        return np.where(x >= 0, x, self.params["slope"] * x)
