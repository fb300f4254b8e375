# SPDX-License-Identifier: Apache-2.0
"""A constant around a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field
from kilobench.compile.ops._movement import MAX_SIZE, Axes, Movement


class Pad(Movement):
    """``before`` and ``after`` are so many rows, columns and channels of ``value``; in int8, of that integer."""

    types = {
        ("float32", "float32"): {"value": ("float32", "1")},
        ("int8", "int8"): {"value": ("int8", "1")},
    }
    attributes = {"before": Attribute(0, MAX_SIZE, 3), "after": Attribute(0, MAX_SIZE, 3)}

    def output_shape(self) -> Axes:
        """Larger by both."""
        sizes = zip(self.source.shape, self.attrs["before"], self.attrs["after"], strict=True)
        height, width, channels = (sum(parts) for parts in sizes)
        return height, width, channels

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Without the batch axis."""
        around = [(0, 0), *zip(self.attrs["before"], self.attrs["after"], strict=True)]
        return np.pad(values[0], around, constant_values=self.params["value"][0])

    @property
    def struct(self) -> str:
        """The value has its type."""
        return f"{self.kernel}_params"

    def fields(self) -> dict[str, Field]:
        """Sizes, as those of one row of width times channels where no channel is added."""
        source, made, before = self.source.shape, self.output.shape, self.attrs["before"]
        if source[2] == made[2]:
            source, made = ((shape[0], 1, shape[1] * shape[2]) for shape in (source, made))
            before = before[0], 0, before[1] * self.source.shape[2]
        return {"in": source, "out": made, "before": before, "with": self.params["value"].item()}
