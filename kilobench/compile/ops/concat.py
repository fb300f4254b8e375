# SPDX-License-Identifier: Apache-2.0
"""Maps one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._movement import Axes, Movement


class Concat(Movement):
    """Along ``axis``: 0 height, 1 width, 2 channels."""

    attributes = {"axis": Attribute(0, 2, 1)}
    inputs = None

    def check_sources(self) -> None:
        """Equal along the other axes, and of one grid."""
        axis, shapes = self.attrs["axis"], [tensor.shape for tensor in self.sources]
        others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
        require(len(others) == 1, f"joins along the axis {axis} maps of the shapes {shapes[:4]}")
        grids = {(tensor.scale, tensor.zero_point) for tensor in self.sources}
        require(len(grids) == 1, f"joins maps of {len(grids)} scales and zero points, not of one")

    def output_shape(self) -> Axes:
        """The sum along the axis."""
        shape = list(self.source.shape)
        shape[self.attrs["axis"]] = sum(tensor.shape[self.attrs["axis"]] for tensor in self.sources)
        return shape[0], shape[1], shape[2]

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Without the batch axis."""
        return np.concatenate(values, axis=1 + self.attrs["axis"])

    def fields(self) -> dict[str, Field]:
        """How many pieces of each input there are, and their sizes in values."""
        axis = self.attrs["axis"]
        sizes = np.array([np.prod(tensor.shape[axis:]) for tensor in self.sources], dtype=np.int32)
        return {"inputs": len(sizes), "pieces": int(np.prod(self.output.shape[:axis])), "sizes": sizes}
