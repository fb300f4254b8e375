# SPDX-License-Identifier: Apache-2.0
"""A comparison of every value with the threshold of its channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import pack, unpack
from kilobench.compile.operator import Field, Operator


class Binarize(Operator):
    """bit = (x >= threshold) xor flip; of int8, x is the integer as it is stored."""

    types = {
        ("float32", "bit"): {"threshold": ("float32", "O"), "flip": ("uint32", "o")},
        ("int8", "bit"): {"threshold": ("int32", "O"), "flip": ("uint32", "o")},
    }
    in_strips = True

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        bits = values[0] >= self.params["threshold"]
        return (bits ^ unpack(self.params["flip"], self.output.shape[2]).astype(bool)).astype(np.uint8)

    def fields(self) -> dict[str, Field]:
        """Shape, thresholds and flips.

        Float thresholds become integers in the order of the floats, so that cores without an FPU compare them too; of zeros,
        that of -0. Those of int8 become the value below, which has 8 bits; what all values reach is what none reaches, flipped.
        """
        if self.source.dtype == "int8":
            below = self.params["threshold"].astype(np.int64) - 1
            always = below < -128
            above = np.where(always, 127, np.minimum(below, 127)).astype(np.int8)
            return {"in": self.source.shape, "threshold": above, "flip": self.params["flip"] ^ pack(always)}
        threshold = np.where(self.params["threshold"] == 0, np.float32(-0.0), self.params["threshold"])
        bits = threshold.astype(np.float32).view(np.int32)
        ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32)
        return {"in": self.source.shape, "threshold": ordered, "flip": self.params["flip"]}
