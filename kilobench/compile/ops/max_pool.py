# SPDX-License-Identifier: Apache-2.0
"""The largest value of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor, unpack
from kilobench.compile.operator import Field
from kilobench.compile.ops._window import Pool


class MaxPool(Pool):
    """Padding never wins. Of bits it is the OR, without padding, xor ``flip`` if that is there."""

    types = {
        ("float32", "float32"): {},
        ("int8", "int8"): {},
        ("bit", "bit"): {"flip": ("uint32", "o")},
    }
    optional = frozenset({"flip"})

    def most_padding(self) -> tuple[int, int]:
        """None of bits."""
        return (0, 0) if self.source.dtype == "bit" else super().most_padding()

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source: it only moves values."""
        return source.scale, source.zero_point

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The maximum over both axes of the kernel."""
        least = {"float32": -np.inf, "int8": -128, "bit": 0}[self.source.dtype]
        best: NDArray[Any] = self.windows(values[0], least).max(axis=(-1, -2))
        return best ^ unpack(self.params["flip"], self.output.shape[2]) if "flip" in self.params else best

    @property
    def struct(self) -> str:
        """One for all but bits."""
        return super().struct if self.source.dtype == "bit" else "kb_max_pool_params"

    def fields(self) -> dict[str, Field]:
        """Window and flips."""
        return {"window": self.window(), **self.params}
