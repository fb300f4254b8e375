# SPDX-License-Identifier: Apache-2.0
"""The exponential of float operators, which has no libm: hardware/kernels/kb_exponential.h to the bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exponential(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp of numbers up to 0, one rounding at a time; exp(-87) of those below -87 and of what is no number.

    exp(x) = 2**n * exp(r) with n the whole number next to x / ln 2, r = x - n ln 2 (ln 2 in two parts, of which the first
    has so few bits that its product is exact), and exp(r) by its Taylor polynomial of degree 6: within 3e-7 of the truth.
    """
    x = np.where(x > np.float32(-87), x, np.float32(-87))
    n = np.trunc(x * np.float32(1.44269504) - np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    result = np.full_like(r, np.float32(1) / np.float32(720))
    for divisor in (120, 24, 6, 2, 1, 1):
        result = result * r + np.float32(1) / np.float32(divisor)
    return result * np.ldexp(np.float32(1), n.astype(np.int32))
