# SPDX-License-Identifier: Apache-2.0
"""Fixed-point numbers as gemmlowp computes with them (fixedpoint.h), in Python's integers.

A number of I integer bits is an int32 that counts units of 2**(I - 31).
"""

from __future__ import annotations

INT32_MAX, INT32_MIN = 2**31 - 1, -(2**31)
_QUARTERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-1/4), exp(-1/2), exp(-1), ..., exp(-16), of no integer bits."""


def multiply(a: int, b: int) -> int:
    """The upper half of 2ab, rounded half up, where not both are -2**31: SaturatingRoundingDoublingHighMul."""
    return (a * b + 2**30) >> 31


def divide(a: int, exponent: int) -> int:
    """a * 2**-exponent, rounded half away from zero: RoundingDivideByPOT."""
    half = 1 << exponent >> 1
    return (a + half) >> exponent if a >= 0 else -((half - a) >> exponent)


def scale_up(a: int, exponent: int) -> int:
    """a * 2**exponent, saturated: SaturatingRoundingMultiplyByPOT."""
    return min(max(a << exponent, INT32_MIN), INT32_MAX)


def exp_on_negative_values(a: int, bits: int = 5) -> int:
    """exp of a number up to 0 of up to five integer bits, as one of none: that of the rest after quarters, times those of the
    bits of the number of quarters.
    """
    if a == 0:
        return INT32_MAX
    quarter = 29 - bits
    rest = (a & (2**quarter - 1)) - 2**quarter
    result = _exp_of_a_quarter(scale_up(rest, bits))
    for bit, factor in enumerate(_QUARTERS[: bits + 2], quarter):
        if (rest - a) >> bit & 1:
            result = multiply(result, factor)
    return result


def _exp_of_a_quarter(a: int) -> int:
    """exp within [-1/4, 0), of no integer bits: Taylor's polynomial of degree 4 around -1/8."""
    constant, third = 1895147668, 715827883
    x = a + 2**28
    x2 = multiply(x, x)
    x3, x4 = multiply(x2, x), multiply(x2, x2)
    higher = divide(multiply(divide(x4, 2) + x3, third) + x2, 1)
    return constant + multiply(constant, x + higher)


def inverse(half: int) -> int:
    """1 / x of two integer bits, x from 1/2 to 1 having none: three steps of Newton and Raphson from 48/17 - 32/17 x."""
    x = 1515870810 + multiply(half, -1010580540)
    for _ in range(3):
        x += scale_up(multiply(x, 2**29 - multiply(half, x)), 2)
    return x
