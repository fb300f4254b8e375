# SPDX-License-Identifier: Apache-2.0
"""int8: real factors as integers, and the weights, biases and factors of operators that requantise (docs/arithmetic.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor

INT32 = 2**31 - 1
_REACH = {"int8": 255, "int16": 2**15}
"""Largest magnitude of an input less its zero point."""
_FINE = 1 / 256
"""Of an output's step: a bias that is rounded by more, and no weights bind, gets steps of this size."""
_LARGEST_BIAS = 2**30
"""What a bias is scaled to that would leave the accumulator; half of it is left to the weights of its channel."""

Params = dict[str, NDArray[Any]]


def multiplier(real: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Positive real factors as m * 2**-t with m in [2**30, 2**31) and t in 1..62 (docs/arithmetic.md).

    Raises ValueError for factors of 2**30 or more.
    """
    fraction, exponent = np.frexp(np.asarray(real, dtype=np.float64))
    m = np.rint(fraction * 2.0**31)
    carry = m == 2.0**31
    m, t = np.where(carry, 2.0**30, m), 31 - (exponent + carry)
    if np.any(t < 1) or not np.isfinite(fraction).all():
        raise ValueError("has a requantisation factor of 2**30 or more")
    m = np.floor(m / 2.0 ** np.maximum(t - 62, 0))
    return m.astype(np.int32), np.minimum(t, 62).astype(np.int32)


def conv_params(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    source: Tensor,
    output: Tensor,
    grid: tuple[int, NDArray[np.float64]] | None = None,
) -> Params:
    """Of a convolution with folded weights [O, KH, KW, I] and biases [O].

    The step of a channel's weights is that of the largest of 127, or that of ``grid``, bits and steps, beyond whose ends weights
    are cut. But where the accumulator would overflow for the bias alone, or no weight binds it and the bias would be coarse, it
    is that of the bias; a bias that saturates the output whatever the input is no larger than that takes. Raises ValueError
    where it still may overflow.
    """
    largest = np.abs(weight).max(axis=(1, 2, 3))
    scale = np.where(largest > 0, largest, 127.0) / 127.0
    if grid is not None:
        bits, scale = grid
        ends = (2 ** (bits - 1) - 1) * scale[:, None, None, None]
        weight = np.clip(weight, -ends, ends)
    error = np.abs(bias - source.scale * scale * np.rint(bias / (source.scale * scale)))
    coarse = (largest == 0) & (error > _FINE * output.scale)
    scale = np.where(coarse, _FINE * output.scale / source.scale, scale)
    q, bias_q, reach = _rounded(weight, bias, source, scale)
    overflows = (reach + np.abs(bias_q) > INT32) & (reach <= _LARGEST_BIAS // 2)
    if overflows.any():
        bias = np.where(overflows, _that_counts(bias, source.scale * scale * reach, output), bias)
        scale = np.where(overflows, np.maximum(scale, np.abs(bias) / (source.scale * _LARGEST_BIAS)), scale)
        q, bias_q, reach = _rounded(weight, bias, source, scale)
    bound = reach + np.abs(bias_q)
    if (largest_sum := bound.max()) > INT32:
        raise ValueError(
            f"may reach {largest_sum:.0f} in its accumulator, in channel {bound.argmax()}, above the int32 bound {INT32}"
        )
    m, t = multiplier(source.scale * scale / output.scale)
    return {"weight": q.astype(np.int8), "bias": bias_q.astype(np.int32), "multiplier": m, "shift": t}


def _rounded(
    weight: NDArray[np.float64], bias: NDArray[np.float64], source: Tensor, scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights and biases in whole steps, and what the weights of each channel can make of any input."""
    q, bias_q = np.rint(weight / scale[:, None, None, None]), np.rint(bias / (source.scale * scale))
    return q, bias_q, np.abs(q).sum(axis=(1, 2, 3)) * _REACH[source.dtype]


def _that_counts(bias: NDArray[np.float64], sums: NDArray[np.float64], output: Tensor) -> NDArray[np.float64]:
    """Biases no larger than what saturates the output whatever its sums, up to ``sums`` in magnitude, are."""
    enough = 256 * output.scale + 2 * sums
    return np.clip(bias, -enough, enough)


def binary_params(
    alpha: NDArray[np.float64],
    bias: NDArray[np.float64],
    taps: int,
    output: Tensor,
    centre: NDArray[np.float64] | None = None,
) -> Params:
    """Of a binary convolution with the scales, none negative, and biases [O] of its sums, which are multiplied by 256 first;
    weights may have a ``centre``, in units of their scales. Raises ValueError where that leaves no room for sums.
    """
    reach = taps if centre is None else taps * (1 + np.abs(np.rint(256 * centre)) / 256)
    room = INT32 - 256 * reach
    if np.min(room) < _LARGEST_BIAS:
        raise ValueError(f"has weights whose distance is too small beside their mean, in channel {np.argmin(room)}")
    step = np.maximum(alpha, 1e-12) / 256
    overflows = np.rint(np.abs(bias) / step) > room
    bias = np.where(overflows, _that_counts(bias, alpha * reach, output), bias)
    step = np.where(overflows, np.maximum(step, np.abs(bias) / room), step)
    m, t = multiplier(step / output.scale)
    params = {"bias": np.rint(bias / step).astype(np.int32), "multiplier": m, "shift": t}
    return params if centre is None else params | {"centre": np.rint(centre * 256).astype(np.int32)}


def average_params(area: int, source: Tensor, output: Tensor) -> Params:
    """Of an average over ``area`` values."""
    m, t = multiplier(np.array([source.scale / (output.scale * area)]))
    return {"multiplier": m, "shift": t}


def add_params(sources: list[Tensor], output: Tensor) -> Params:
    """Of a sum: two factors that share a shift."""
    real = np.array([source.scale / output.scale for source in sources])
    _, t = multiplier(real.max(keepdims=True))
    factors = np.minimum(np.rint(real * 2.0 ** int(t[0])), INT32)
    return {"multiplier": factors.astype(np.int32), "shift": t}
