# SPDX-License-Identifier: Apache-2.0
"""What int8 operators share: requantisation, clamps and the bound of their sums (docs/arithmetic.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Operator, Params, require

INT32_MAX = 2**31 - 1
TWICE = 64
"""Is added to a shift where two roundings are wanted."""
REACH = {"int8": 255, "int16": 2**15}
"""Largest magnitude of an input less its zero point."""
REQUANTISED: Params = {"bias": ("int32", "O"), "multiplier": ("int32", "O"), "shift": ("int32", "O")}


def requantise(acc: NDArray[np.int64], multiplier: NDArray[Any], shift: NDArray[Any]) -> NDArray[np.int64]:
    """acc * multiplier * 2**-t, t being the shift of 1 to 62: rounded once, half up.

    A shift of t + TWICE rounds twice, as TFLite does (gemmlowp, fixedpoint.h: SaturatingRoundingDoublingHighMul, half up,
    then RoundingDivideByPOT, half away from zero). The int32 ``acc`` is shifted left before where t < 31, and saturates.
    """
    factor, t = multiplier.astype(np.int64), shift.astype(np.int64) % TWICE
    once: NDArray[np.int64] = ((acc * factor) >> (t - 1)) + 1 >> 1
    if (shift < TWICE).all():
        return once
    left, right = np.maximum(31 - t, 0), np.maximum(t - 31, 0)
    high = (np.clip(acc << left, -INT32_MAX - 1, INT32_MAX) * factor + 2**30) >> 31
    rest = (1 << right) - 1
    twice = (high >> right) + ((high & rest) > (rest >> 1) + (high < 0))
    return np.where(shift < TWICE, once, twice)


def check_once(operator: Operator) -> None:
    """Raises ValueError for shifts of two roundings, where the kernel has but one."""
    require((operator.params["shift"] < TWICE).all(), "has a shift of two roundings, for which there is no kernel")


def is_shift(t: int) -> bool:
    """Whether t of docs/arithmetic.md is in range: 1 to 62, or with 64 more for two roundings."""
    return 1 <= t <= 62 or 65 <= t <= 126


def lowest(operator: Operator) -> int:
    """The clamp of int8 outputs: ReLU is a clamp at the zero point."""
    return operator.output.zero_point if operator.attrs.get("relu") else -128


def saturate(operator: Operator, value: NDArray[np.int64]) -> NDArray[np.int8]:
    """Requantised sums as the operator's int8 output."""
    return np.clip(value + operator.output.zero_point, lowest(operator), 127).astype(np.int8)


def channel_table(
    bias: NDArray[Any], multiplier: NDArray[Any], shift: NDArray[Any], zero_point: int, twice: bool = False
) -> NDArray[np.int32]:
    """Per channel bias, multiplier, offset and shift of kb_kernels.h, int32 [channels, 4]; ``twice`` for kb_tflite_conv2d_s8."""
    after = shift.astype(np.int64) - (TWICE + 31 if twice else 32)  # of the product's upper word
    if twice:
        bias = 2 * bias.astype(np.int64)
    quick = (after > 0) & (after < 24)  # the offset stays below 2**31
    offset = np.where(quick, (2 * zero_point + 1) << np.where(quick, after - 1, 0), 0)
    return np.stack([bias, multiplier, offset, np.where(quick, after, -shift)], axis=1).astype(np.int32)


def step_of(bias: int, reach: int, multiplier: int, shift: int) -> tuple[int, int] | None:
    """What ``requantise`` makes of accumulators that are at most ``reach`` from the bias: (y, first) where it is y from
    ``first`` on and y - 1 below; None if it takes more values.
    """

    def value(acc: int) -> int:
        return int(requantise(np.array([acc]), np.array([multiplier]), np.array([shift]))[0])

    low, high = bias - reach, bias + reach
    most = value(high)
    if most - value(low) > 1:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if value(middle) == most else (middle + 1, high)
    return most, low


def check_accumulator(operator: Operator, largest: Any) -> None:
    """Raises ValueError if sums of this magnitude, per channel or for all, leave int32 with the bias of an int8 output."""
    if operator.output.dtype == "int8" and "bias" in operator.params:
        largest = largest + np.abs(operator.params["bias"].astype(np.int64))
    require(np.max(largest) <= INT32_MAX, f"may exceed the int32 bound {INT32_MAX} in its accumulator")
