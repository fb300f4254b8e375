# SPDX-License-Identifier: Apache-2.0
"""A ReLU that lets something of negative numbers through, by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.int8 import multiplier
from kilobench.compile.operator import Field, require
from kilobench.compile.ops._integers import INT32_MAX, channel_table, is_shift, requantise, saturate
from kilobench.compile.ops._pointwise import Pointwise


class Prelu(Pointwise):
    """x from 0 on, slope * x below (He et al., arXiv 1502.01852, section 2.1). Of int8, q less its zero point is requantised by
    one factor from 0 on, and below by that of its channel, which may be negative.
    """

    types = {
        ("float32", "float32"): {"slope": ("float32", "O")},
        ("int8", "int8"): {
            "multiplier": ("int32", "1"),
            "shift": ("int32", "1"),
            "multiplier_negative": ("int32", "O"),
            "shift_negative": ("int32", "O"),
        },
    }

    modules = ("PReLU",)

    @classmethod
    def lower(
        cls, module: Any, sources: Sequence[Tensor], output: Tensor
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """torch.nn.PReLU, whose slope may be one for all channels."""
        slope = np.broadcast_to(module.weight.detach().numpy(), (output.shape[2],))
        if output.dtype == "float32":
            return {}, {"slope": slope.astype(np.float32)}
        ratio = sources[0].scale / output.scale
        m, t = multiplier(np.array([ratio]))
        negative, shift = multiplier(np.abs(slope.astype(np.float64)) * ratio)
        signed = (np.sign(slope) * negative).astype(np.int32)
        return {}, {"multiplier": m, "shift": t, "multiplier_negative": signed, "shift_negative": shift}

    def check(self) -> None:
        """The factors of negative numbers."""
        if self.source.dtype == "int8":
            shifts, factors = self.params["shift_negative"], self.params["multiplier_negative"]
            require(all(map(is_shift, shifts)), "has a shift_negative outside of 1 to 62 and of 65 to 126")
            require(factors.min() >= -INT32_MAX, f"has a multiplier_negative below {-INT32_MAX}")

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        if self.source.dtype == "float32":
            return np.where(values[0] >= 0, values[0], self.params["slope"] * values[0])
        x, p = values[0].astype(np.int64) - self.source.zero_point, self.params
        below = requantise(x, p["multiplier_negative"], p["shift_negative"])
        return saturate(self, np.where(x >= 0, requantise(x, p["multiplier"], p["shift"]), below))

    def weights(self) -> int:
        """Slopes."""
        return self.source.shape[2]

    def fields(self) -> dict[str, Field]:
        """Of int8, ``channel`` of kb_kernels.h for both signs."""
        if self.source.dtype == "float32":
            return {"in": self.source.shape, **self.params}
        zero, p = self.output.zero_point, self.params
        (positive,) = _factors(p["multiplier"], p["shift"], zero)
        negative = _factors(p["multiplier_negative"], p["shift_negative"], zero)
        zeros = {"in_zero": self.source.zero_point, "out_zero": zero}
        return {"in": self.source.shape, "positive": tuple(positive.tolist()), "negative": negative, **zeros}


def _factors(multiplier: NDArray[Any], shift: NDArray[Any], zero_point: int) -> NDArray[np.int32]:
    """``channel`` of kb_kernels.h; positive shifts are for 256 times the value, as factors of about 1 have none otherwise."""
    table = channel_table(np.zeros(len(shift)), multiplier, shift + 8, zero_point)
    table[:, 3] = np.where(table[:, 3] > 0, table[:, 3], -shift)
    return table
