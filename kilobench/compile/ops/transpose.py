# SPDX-License-Identifier: Apache-2.0
"""Channels and height swapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Field, Operator


class Transpose(Operator):
    """[H, W, C] -> [C, W, H]."""

    types = {("float32", "float32"): {}, ("int8", "int8"): {}}

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source: it only moves values."""
        return source.scale, source.zero_point

    def output_shape(self) -> tuple[int, int, int]:
        """The reverse of the input's."""
        height, width, channels = self.source.shape
        return channels, width, height

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A view."""
        return values[0].transpose(0, 3, 2, 1)

    @property
    def struct(self) -> str:
        """The shape of the input."""
        return "kb_shape"

    def fields(self) -> dict[str, Field]:
        """The shape of the input."""
        return dict(zip(("height", "width", "channels"), self.source.shape, strict=True))
