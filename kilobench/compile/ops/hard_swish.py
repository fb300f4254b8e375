# SPDX-License-Identifier: Apache-2.0
"""A swish of straight lines and a parabola."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.ops._pointwise import Plain, clamped


class HardSwish(Plain):
    """x * min(max(x + 3, 0), 6) * (1 / 6) (Howard et al., Searching for MobileNetV3, arXiv 1905.02244, section 5.2)."""

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """From left to right."""
        f = np.float32
        return x * clamped(x + f(3), f(0), f(6)) * (f(1) / f(6))
