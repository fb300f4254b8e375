# SPDX-License-Identifier: Apache-2.0
"""What operators share that combine two maps of which each axis is equal or 1 in either."""

from __future__ import annotations

from typing import ClassVar

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Attribute, Field, Operator, require
from kilobench.compile.ops._movement import Axes, merged, steps


class Broadcast(Operator):
    """Then ReLU if ``relu``."""

    attributes = {"relu": Attribute()}
    inputs: ClassVar[int | None] = 2
    in_place = True

    def check_sources(self) -> None:
        """Each axis is equal or 1 in either."""
        shapes = [tensor.shape for tensor in self.sources]
        suit = all(a == b or 1 in (a, b) for a, b in zip(*shapes, strict=True))
        require(suit, f"reads maps of the shapes {shapes}")

    def output_shape(self) -> Axes:
        """The larger along each axis."""
        height, width, channels = (max(sizes) for sizes in zip(*(t.shape for t in self.sources), strict=True))
        return height, width, channels

    def broadcasts(self) -> bool:
        """Whether the maps have not one shape."""
        return self.sources[0].shape != self.sources[1].shape

    @property
    def struct(self) -> str:
        """One for all floats."""
        return "kb_broadcast_f32_params" if self.output.dtype == "float32" else super().struct

    def fields(self) -> dict[str, Field]:
        """Of floats."""
        return {"grid": self.grid_field(), "relu": int(self.attrs["relu"])}

    def grid_field(self) -> tuple[Axes, ...]:
        """kb_broadcast of kb_kernels.h."""
        return merged(self.output.shape, *map(self._steps, self.sources))

    def _steps(self, source: Tensor) -> Axes:
        y, x, c = (step if size > 1 else 0 for step, size in zip(steps(source.shape), source.shape, strict=True))
        return y, x, c
