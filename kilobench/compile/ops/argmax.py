# SPDX-License-Identifier: Apache-2.0
"""Where the largest value is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, Operator
from kilobench.compile.ops._movement import Axes


class Argmax(Operator):
    """Along ``axis``, which becomes 1: the first of the largest; what is no number counts as -inf."""

    types = {("float32", "int32"): {}, ("int8", "int32"): {}}
    attributes = {"axis": Attribute(0, 2, 1, default=2)}

    def output_shape(self) -> Axes:
        """1 along the axis."""
        shape = list(self.source.shape)
        shape[self.attrs["axis"]] = 1
        return shape[0], shape[1], shape[2]

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Without the batch axis."""
        x = values[0]
        numbers = np.where(np.isnan(x), -np.inf, x) if self.source.dtype == "float32" else x
        return numbers.argmax(axis=1 + self.attrs["axis"], keepdims=True).astype(np.int32)

    def work(self) -> int:
        """All that it reads."""
        return int(np.prod(self.source.shape))

    @property
    def struct(self) -> str:
        """One for all types."""
        return "kb_argmax_params"

    def fields(self) -> dict[str, Field]:
        """Values before the axis, along it and after it."""
        shape, axis = self.source.shape, self.attrs["axis"]
        return {"outer": int(np.prod(shape[:axis])), "count": shape[axis], "inner": int(np.prod(shape[axis + 1 :]))}
