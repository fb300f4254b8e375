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
        """Shape, the values right below the thresholds, and flips.

        Floats are written as their bits. What all values reach is what none reaches, flipped: of int8, of which those values have
        8 bits, as of floats, where none is below -inf. What is no number reaches nothing.
        """
        threshold = self.params["threshold"]
        if self.source.dtype == "int8":
            below = threshold.astype(np.int64) - 1
            always = below < -128
            limits = np.where(always, 127, np.minimum(below, 127)).astype(np.int8)
        else:
            always = threshold == -np.inf
            with np.errstate(over="ignore"):
                next_below = np.nextafter(threshold, np.float32(-np.inf))
            limits = np.where(always, np.float32(np.inf), next_below).view(np.int32)
        return {"in": self.source.shape, "below": limits, "flip": self.params["flip"] ^ pack(always)}
