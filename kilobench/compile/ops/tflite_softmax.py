# SPDX-License-Identifier: Apache-2.0
"""Softmax of int8 maps by TFLite-Micro's formula."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Field, Operator, require
from kilobench.compile.ops._gemmlowp import exp_on_negative_values, inverse, multiply, scale_up

MAX_CHANNELS = 2**12 - 1
"""Of which the sum of exponentials has 12 integer bits."""


class TfliteSoftmax(Operator):
    """exp(scale * (q - m)) over the sum of all such, m being the largest channel, in gemmlowp's fixed point; to the bit as
    docs/arithmetic.md says it.
    """

    types = {("int8", "int8"): {}}
    in_strips = True
    sums_to_one = True

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """All that a share can be."""
        return 1 / 256, -128

    def check(self) -> None:
        """The sum."""
        require(self.source.shape[2] <= MAX_CHANNELS, f"has {self.source.shape[2]} channels, above {MAX_CHANNELS}")

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """To the bit what the kernel makes."""
        x = values[0].astype(np.int64)
        shares = self.table().astype(np.int64)[x.max(axis=-1, keepdims=True) - x]
        totals = ((shares + 2**11) >> 12).sum(axis=-1, keepdims=True)
        made, places = np.unique(totals, return_inverse=True)
        factors = np.array([reciprocal(int(total)) for total in made])[places.reshape(totals.shape)]
        bits = np.array([int(total).bit_length() for total in made])[places.reshape(totals.shape)]
        high = (shares * factors + 2**30) >> 31
        shift = bits + 3  # 12 - leading zeros of the sum + 31 - 8
        return np.minimum((high + (1 << shift - 1) >> shift) - 128, 127).astype(np.int8)

    def work(self) -> int:
        """About what an exponential takes."""
        return 16 * super().work()

    def fields(self) -> dict[str, Field]:
        """The shape, and the exponentials."""
        return {"in": self.source.shape, "table": self.table()}

    def table(self) -> NDArray[np.int32]:
        """exp(-scale * d) for d from 0 to 255, of no integer bits, 0 where it is below what five integer bits express."""
        fraction, exponent = frexp(min(float(np.float32(self.source.scale)) * 2.0**26, 2.0**31 - 1))
        factor = floor(fraction * 2**31 + 0.5)
        if factor == 2**31:
            factor, exponent = factor // 2, exponent + 1
        if exponent < 0:  # differences are multiplied by less than 1
            factor, exponent = 0, 0
        least = -floor(31.0 * 2**26 / 2.0**exponent)
        made = [exp_on_negative_values(multiply(-d << exponent, factor)) if -d >= least else 0 for d in range(256)]
        return np.array(made, dtype=np.int32)


def reciprocal(total: int) -> int:
    """1 / (2 x) of no integer bits, x from 1/2 to 1 being the bits of ``total``, above 0, from the first one on."""
    return scale_up(inverse(total << 32 - total.bit_length() >> 1), 1)
