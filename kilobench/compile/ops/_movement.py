# SPDX-License-Identifier: Apache-2.0
"""What operators share that only move values, and the steps between values of a map along its axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Field, Operator

Axes: TypeAlias = tuple[int, int, int]
MAX_SIZE = 2**26
"""Of an attribute; no map has as many values along an axis."""


class Movement(Operator):
    """Its output has the grid of its source."""

    types = {("float32", "float32"): {}, ("int8", "int8"): {}}

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """That of the source."""
        return source.scale, source.zero_point

    @property
    def struct(self) -> str:
        """One for all types."""
        return f"kb_{self.op.kind}_params"


def steps(shape: Axes) -> Axes:
    """From a value to the next along each axis, in values."""
    return shape[1] * shape[2], shape[2], 1


def merged(size: Axes, *maps: Axes) -> tuple[Axes, ...]:
    """The size of a loop over three axes and the steps of maps along them, with axes joined where all maps go on from one to
    the next as they do along it: the last axis is as long as it can be, and those not needed have one turn.
    """
    axes: list[tuple[int, ...]] = []
    for turns, *along in zip(size, *maps, strict=True):
        if turns == 1:
            continue
        if axes and all(outer == turns * inner for outer, inner in zip(axes[-1][1:], along, strict=True)):
            axes[-1] = (axes[-1][0] * turns, *along)
        else:
            axes.append((turns, *along))
    filled = [(1, *(0 for _ in maps))] * (3 - len(axes)) + axes
    return tuple((a, b, c) for a, b, c in zip(*filled, strict=True))


def strided(size: Sequence[int], step: Sequence[int], offset: int) -> dict[str, Field]:
    """kb_strided_params of kb_kernels.h: a map of this size, read with these steps from an offset, all in values."""
    turns, along = merged((size[0], size[1], size[2]), (step[0], step[1], step[2]))
    return {"offset": offset, "size": turns, "step": along}
