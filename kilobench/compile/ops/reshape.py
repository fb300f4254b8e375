# SPDX-License-Identifier: Apache-2.0
"""The same values, in the same order, in another shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._movement import MAX_SIZE, Axes, Movement


class Reshape(Movement):
    """Height, width and channels ``shape``; in place wherever nothing else reads its source."""

    attributes = {"shape": Attribute(1, MAX_SIZE, 3)}
    in_place = True

    def output_shape(self) -> Axes:
        """That of the attribute, if it has as many values."""
        height, width, channels = self.attrs["shape"]
        same = height * width * channels == int(np.prod(self.source.shape))
        require(same, f"has shape={self.attrs['shape']} for {self.source.shape}")
        return height, width, channels

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A view."""
        return values[0].reshape(len(values[0]), *self.attrs["shape"])

    def fields(self) -> dict[str, Field]:
        """How many values there are."""
        return {"count": int(np.prod(self.output.shape))}
