# SPDX-License-Identifier: Apache-2.0
"""Axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._movement import Axes, Movement, steps, strided

REVERSED = 2, 1, 0


class Transpose(Movement):
    """Axis i of the output is axis ``axes[i]`` of the source; without that, [H, W, C] -> [C, W, H]."""

    attributes = {"axes": Attribute(0, 2, 3, default=REVERSED)}

    def output_shape(self) -> Axes:
        """That of the source, in this order."""
        axes = self.attrs["axes"]
        require(sorted(axes) == [0, 1, 2], f"has axes={axes}, not 0, 1 and 2 in any order")
        height, width, channels = (self.source.shape[axis] for axis in axes)
        return height, width, channels

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A view."""
        return values[0].transpose(0, *(1 + axis for axis in self.attrs["axes"]))

    @property
    def kernel(self) -> str:
        """Its own for channels and height swapped, else that of all strided reads."""
        own = super().kernel
        return own if self.attrs["axes"] == REVERSED else own.replace(self.op.kind, "strided")

    @property
    def struct(self) -> str:
        """The shape of the input, or steps."""
        return "kb_shape" if self.attrs["axes"] == REVERSED else "kb_strided_params"

    def fields(self) -> dict[str, Field]:
        """The shape of the input, or steps."""
        if self.attrs["axes"] == REVERSED:
            return dict(zip(("height", "width", "channels"), self.source.shape, strict=True))
        along = steps(self.source.shape)
        return strided(self.output.shape, [along[axis] for axis in self.attrs["axes"]], 0)
