# SPDX-License-Identifier: Apache-2.0
"""Rows and columns repeated, or left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._integers import INT32_MAX
from kilobench.compile.ops._movement import MAX_SIZE, Axes, Movement


class ResizeNearest(Movement):
    """Row i of ``size`` (h, w) is row floor(i * in / out) of the source; floor((i + 1/2) * in / out) if ``half_pixel``."""

    attributes = {"size": Attribute(1, MAX_SIZE, 2), "half_pixel": Attribute(default=False)}

    def output_shape(self) -> Axes:
        """Of that size."""
        height, width = self.attrs["size"]
        sizes = list(zip(self.source.shape, (height, width), strict=False))
        fits = all((2 * made + 1) * read <= INT32_MAX for read, made in sizes)
        require(fits, f"has size={self.attrs['size']} for {self.source.shape}")
        return height, width, self.source.shape[2]

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Rows, then columns."""
        rows, columns = (self._places(axis) for axis in (0, 1))
        return values[0][:, rows][:, :, columns]

    def fields(self) -> dict[str, Field]:
        """Shapes."""
        return {"in": self.source.shape, "out": self.output.shape, "half": int(self.attrs["half_pixel"])}

    def _places(self, axis: int) -> NDArray[np.int64]:
        read, made = self.source.shape[axis], self.output.shape[axis]
        return (2 * np.arange(made) + self.attrs["half_pixel"]) * read // (2 * made)
