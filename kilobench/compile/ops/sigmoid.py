# SPDX-License-Identifier: Apache-2.0
"""The logistic function 1 / (1 + exp(-x))."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.ops._exponential import exponential
from kilobench.compile.ops._pointwise import Plain


class Sigmoid(Plain):
    """With e = exp(-|x|): 1 / (1 + e) from 0 on, e / (1 + e) below."""

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """By ``exponential``."""
        e = exponential(-np.abs(x))
        return np.where(x >= 0, np.float32(1), e) / (np.float32(1) + e)

    def work(self) -> int:
        """About what an exponential takes."""
        return 16 * super().work()
