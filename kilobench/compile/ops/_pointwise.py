# SPDX-License-Identifier: Apache-2.0
"""What operators share that make a value of each value, whatever lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Field, Operator


class Pointwise(Operator):
    """In strips, or in place where it runs as a whole."""

    in_strips = True
    in_place = True

    def sizes(self) -> dict[str, int]:
        """With T entries of a table."""
        return super().sizes() | {"T": 256}

    def fields(self) -> dict[str, Field]:
        """The shape, and what is one number or table of the parameters."""
        numbers = {key: value.item() if value.size == 1 else value for key, value in self.params.items()}
        return {"in": self.source.shape, **numbers}


class Function(Pointwise):
    """A function of one number: ``of`` of floats, of int8 the ``table`` of what it makes of -128, -127, ..., 127."""

    types = {("float32", "float32"): {}, ("int8", "int8"): {"table": ("int8", "T")}}

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """To the bit what its kernel makes, one rounding after the other."""
        raise NotImplementedError

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One value at a time."""
        if self.source.dtype == "float32":
            return self.of(values[0])
        made: NDArray[Any] = self.params["table"][values[0].astype(np.int16) + 128]
        return made

    @property
    def kernel(self) -> str:
        """All tables have one."""
        return super().kernel if self.source.dtype == "float32" else "kb_lookup_s8"


class Plain(Function):
    """A function without parameters in floats, which share a structure."""

    @property
    def struct(self) -> str:
        """The shape alone."""
        return "kb_pointwise_params" if self.source.dtype == "float32" else super().struct


def clamped(x: NDArray[Any], low: Any, high: Any) -> NDArray[Any]:
    """As C compares: what is not above ``low``, or no number, is low; then what is not below ``high`` is high."""
    above = np.where(x > low, x, low)
    return np.where(above < high, above, high)
