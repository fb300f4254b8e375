# SPDX-License-Identifier: Apache-2.0
"""Two lines per channel that meet, as of a PReLU with shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._integers import INT32_MAX, REACH, saturate
from kilobench.compile.ops._pointwise import Pointwise

_LINE = {"factor": ("int32", "O"), "bias": ("int32", "O")}
_MOST_FRACTION = 22
"""Bits behind the point that factors and biases have where there is room: an output is then off by less than 1/8000 of a step."""


class PiecewiseLinear(Pointwise):
    """Of floats, with z = x - bend: above * z + offset where z >= 0, below * z + offset else, rounded after each step.

    Of int8, q is on the upper line from ``threshold`` on. A line is (factor * (q - zero point) + bias) * 2**-fraction, rounded
    half up: factors about 1 and biases of any size need no more than one product of 32 bits.
    """

    types = {
        ("float32", "float32"): dict.fromkeys(("bend", "above", "below", "offset"), ("float32", "O")),
        ("int8", "int8"): {
            "threshold": ("int32", "O"),
            **_LINE,
            **{f"{key}_below": kind for key, kind in _LINE.items()},
        },
    }
    attributes = {"fraction": Attribute(0, _MOST_FRACTION, 1, 0)}

    @classmethod
    def lower(
        cls, module: Any, sources: Sequence[Tensor], output: Tensor
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """kilobench.api.PiecewiseLinear."""
        names = ("bend", "above", "below", "offset")
        bend, above, below, offset = values = [getattr(module, name).detach().numpy() for name in names]
        if output.dtype == "float32":
            return {}, dict(zip(names, values, strict=True))
        source = sources[0]
        q = np.arange(-128, 128, dtype=np.float32)[:, None]
        reached = (q - source.zero_point) * np.float32(source.scale) - bend >= 0
        threshold = np.where(reached.any(axis=0), reached.argmax(axis=0) - 128, 128)
        lines = [_line(slope, bend, offset, source.scale, output.scale) for slope in (above, below)]
        fraction = _room(lines)
        params = {"threshold": threshold.astype(np.int32)}
        for (factor, bias), key in zip(lines, ("", "_below"), strict=True):
            params[f"factor{key}"] = np.rint(factor * 2.0**fraction).astype(np.int32)
            params[f"bias{key}"] = np.rint(bias * 2.0**fraction).astype(np.int32)
        return {"fraction": fraction} if fraction else {}, params

    def check(self) -> None:
        """The attribute is of int8; its sums fit 32 bits, with the zero point of the output."""
        fraction = self.attrs["fraction"]
        require(self.source.dtype == "int8" or not fraction, f"has fraction={fraction} for floats")
        for key in ("", "_below") if self.source.dtype == "int8" else ():
            factor, bias = (np.abs(self.params[name + key].astype(np.int64)) for name in ("factor", "bias"))
            bound = int((REACH["int8"] * factor + bias).max()) + (129 << fraction)
            require(bound <= INT32_MAX, f"may exceed the int32 bound {INT32_MAX} in its sum")

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        p = self.params
        if self.source.dtype == "float32":
            z = values[0] - p["bend"]
            made: NDArray[Any] = np.where(z >= 0, p["above"] * z, p["below"] * z) + p["offset"]
            return made
        x, half = values[0].astype(np.int64) - self.source.zero_point, (1 << self.attrs["fraction"]) >> 1
        above, below = (p[f"factor{key}"] * x + p[f"bias{key}"] for key in ("", "_below"))
        chosen = np.where(values[0] >= p["threshold"], above, below)
        return saturate(self, (chosen + half) >> self.attrs["fraction"])

    def weights(self) -> int:
        """Four numbers of each channel."""
        return 4 * self.source.shape[2]

    def fields(self) -> dict[str, Field]:
        """Of int8, ``channel`` of kb_kernels.h: both zero points and the half that rounds are in the biases."""
        if self.source.dtype == "float32":
            return {"in": self.source.shape, **self.params}
        fraction, p = self.attrs["fraction"], self.params
        added = ((1 << fraction) >> 1) + self.output.zero_point * (1 << fraction)
        columns = [np.clip(p["threshold"], -128, 128)]
        for key in ("", "_below"):
            columns += [p[f"factor{key}"], p[f"bias{key}"] + added - self.source.zero_point * p[f"factor{key}"]]
        return {"in": self.source.shape, "channel": np.stack(columns, axis=1).astype(np.int32), "fraction": fraction}


def _line(
    slope: NDArray[Any], bend: NDArray[Any], offset: NDArray[Any], read: float, made: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factor and bias of integers from 0, in steps of the output; beyond 2**20 nothing but saturation is left."""
    factor = slope.astype(np.float64) * read / made
    bias = (offset.astype(np.float64) - slope.astype(np.float64) * bend) / made
    return np.clip(factor, -(2.0**20), 2.0**20), np.clip(bias, -(2.0**29), 2.0**29)


def _room(lines: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> int:
    """Bits behind the point for which all sums fit."""
    largest = max(float((REACH["int8"] * np.abs(factor) + np.abs(bias)).max()) for factor, bias in lines) + 260
    return int(np.clip(np.floor(np.log2(INT32_MAX / largest)), 0, _MOST_FRACTION))
