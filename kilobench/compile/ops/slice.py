# SPDX-License-Identifier: Apache-2.0
"""A part of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._movement import MAX_SIZE, Axes, Movement, steps, strided


class Slice(Movement):
    """Along each axis ``size`` values from ``begin`` on, every ``step``-th."""

    attributes = {
        "begin": Attribute(0, MAX_SIZE, 3),
        "size": Attribute(1, MAX_SIZE, 3),
        "step": Attribute(1, MAX_SIZE, 3, default=(1, 1, 1)),
    }

    def output_shape(self) -> Axes:
        """The size, if that is there."""
        begin, size, step = (self.attrs[key] for key in ("begin", "size", "step"))
        ends = [b + (n - 1) * s for b, n, s in zip(begin, size, step, strict=True)]
        inside = all(end < length for end, length in zip(ends, self.source.shape, strict=True))
        require(inside, f"has begin={begin}, size={size}, step={step} for {self.source.shape}")
        height, width, channels = size
        return height, width, channels

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A view."""
        parts = zip(*(self.attrs[key] for key in ("begin", "size", "step")), strict=True)
        return values[0][:, *(slice(b, b + (n - 1) * s + 1, s) for b, n, s in parts)]

    @property
    def kernel(self) -> str:
        """That of all strided reads."""
        return super().kernel.replace(self.op.kind, "strided")

    @property
    def struct(self) -> str:
        """Of the same."""
        return "kb_strided_params"

    def fields(self) -> dict[str, Field]:
        """Where it begins, and its steps."""
        along = steps(self.source.shape)
        offset = sum(b * s for b, s in zip(self.attrs["begin"], along, strict=True))
        return strided(self.attrs["size"], [n * s for n, s in zip(self.attrs["step"], along, strict=True)], offset)
