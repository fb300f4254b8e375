# SPDX-License-Identifier: Apache-2.0
"""The hyperbolic tangent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.ops._exponential import exponential
from kilobench.compile.ops._pointwise import Plain


class Tanh(Plain):
    """Of floats with |x| < 1 by Lambert's continued fraction (1761), cut after 9, so that nothing cancels; else with
    e = exp(-2 |x|) as 1 - 2 e / (1 + e).
    """

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Odd: made of |x|, with the sign of x."""
        f = np.float32
        magnitude = np.abs(x)
        z = np.where(magnitude < f(1), x * x, f(0))
        small = magnitude * ((z + f(105)) * z + f(945)) / ((f(15) * z + f(420)) * z + f(945))
        e = exponential(f(-2) * magnitude)
        large = f(1) - f(2) * e / (f(1) + e)
        return np.copysign(np.where(magnitude < f(1), small, large), x)

    def work(self) -> int:
        """About what an exponential takes."""
        return 16 * super().work()
