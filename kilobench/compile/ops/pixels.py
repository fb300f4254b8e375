# SPDX-License-Identifier: Apache-2.0
"""Pixels as a network of int8 reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.memory import ALIGNMENT
from kilobench.compile.operator import Field, Operator


class Pixels(Operator):
    """uint8 p as int8 q = p - 128, the same number on a grid whose zero point is 128 less; in place."""

    types = {("uint8", "int8"): {}}
    in_place = True

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source, 128 lower."""
        return source.scale, source.zero_point - 128

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The upper bit changes."""
        return (values[0] ^ np.uint8(128)).view(np.int8)

    def fields(self) -> dict[str, Field]:
        """How many times 16 bytes there are, begun ones too: maps lie that far apart (kilobench.compile.memory)."""
        return {"blocks": -(-self.output.bytes // ALIGNMENT)}
