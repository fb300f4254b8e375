# SPDX-License-Identifier: Apache-2.0
"""Student's t distribution, logarithms of factorials and their derivatives: what statistics need of SciPy, a fifth of the core.

The distribution is a regularised incomplete beta function (NIST Digital Library of Mathematical Functions, 8.17, dlmf.nist.gov).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Numbers = float | NDArray[np.float64]
"""One, or an array."""

_MOST_TERMS = 500
_TINY, _PRECISION = 1e-300, 1e-16


@np.vectorize(otypes=[np.float64])
def lower_tail(degrees: float, t: float) -> float:
    """How likely a smaller value than ``t`` is, with so many degrees of freedom above 0; of numbers or arrays."""
    return _tail(degrees, t) if t < 0 else 1 - _tail(degrees, t)


@lru_cache(maxsize=1 << 12)
def quantile(degrees: float) -> float:
    """The value that 97.5 % are below, to 11 digits, by Newton's method on the logarithm of the tail."""
    t = 2.0
    log_density = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    for _ in range(_MOST_TERMS):
        tail = _tail(degrees, t)
        density = math.exp(log_density - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = math.log(tail / 0.025) * tail / density
        t += step
        if abs(step) < 1e-9 * t:  # the next would be its square
            break
    return t


@lru_cache(maxsize=1 << 6)
def log_factorials(most: int) -> NDArray[np.float64]:
    """Of 0 to ``most``."""
    return np.array([math.lgamma(number + 1) for number in range(most + 1)])


def digamma(x: float) -> float:
    """Derivative of the logarithm of the gamma function, of x > 0: asymptotic from 10 up (DLMF 5.11.2), by recurrence below."""
    if x < 10:
        return digamma(x + 1) - 1 / x
    square = 1 / (x * x)
    return math.log(x) - 1 / (2 * x) - square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))


def trigamma(x: float) -> float:
    """Derivative of ``digamma``, of x > 0 (DLMF 5.15.8)."""
    if x < 10:
        return trigamma(x + 1) + 1 / (x * x)
    square = 1 / (x * x)
    return 1 / x + square / 2 + square / x * (1 / 6 - square * (1 / 30 - square * (1 / 42 - square / 30)))


def inverse_trigamma(value: float) -> float:
    """Where ``trigamma`` has the value, above 0 and below a million: by halving, as it falls everywhere."""
    low, high = 1e-6, 1e9
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return high


def _tail(degrees: float, t: float) -> float:
    """How likely a value is beyond ``t`` on its side; summed from the end of the beta function where few terms are enough."""
    a, b, x, rest = degrees / 2, 0.5, degrees / (degrees + t * t), t * t / (degrees + t * t)
    if not rest:
        return 0.5
    turned = x > (a + 1) / (a + b + 2)
    if turned:
        a, b, x, rest = b, a, rest, x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    part = math.exp(log_front) / (a * _fraction(x, a, b)) / 2
    return 0.5 - part if turned else part


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction under 1 of DLMF 8.17.22, by Lentz's method (Applied Optics 15, 1976)."""
    value, above, below = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        numerator = -(a + m) * (a + b + m) if term % 2 else m * (b - m)
        numerator *= x / ((a + term - 1) * (a + term))
        below = 1 / (1 + numerator * below or _TINY)
        above = 1 + numerator / above or _TINY
        value *= above * below
        if abs(above * below - 1) < _PRECISION:
            break
    return value
