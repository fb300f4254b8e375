# SPDX-License-Identifier: Apache-2.0
"""What every importer makes of its file: the network as that says it, before types, layouts and fusions are chosen.

Shapes are logical, with the batch axis of 1 where the file has one, channels first or last as ``Program.channels_last`` says.
Weights of convolutions are [out, in / groups, height, width] always, those of dense layers [out, in].

| kind | inputs | attributes |
|---|---|---|
| conv | x, weight, bias or nothing | stride, dilation: (h, w); padding: (top, left, bottom, right); groups |
| dense | x, weight, bias or nothing | |
| max_pool, avg_pool | x | kernel, stride, padding as above; avg_pool: counted, that part of it which the divisor counts |
| mean | x | axes, keepdims |
| add, sub, mul | a, b, broadcast as NumPy does; either may be a constant | |
| batch_norm | x, factor, offset: x * factor + offset for every channel | |
| relu, hard_swish, sigmoid, tanh | x | |
| clip | x | low, high: floats, -inf and inf for none |
| leaky_relu | x | slope |
| hard_sigmoid | x: min(max(slope * x + offset, 0), 1) | slope, offset |
| prelu | x, slopes | |
| softmax | x | axis |
| argmax | x | axis, keepdims |
| concat | any number | axis |
| pad | x | before, after: for every axis; value: a float |
| slice | x | begin, end, step: for every axis, step > 0, begin and end within the shape |
| reshape | x | shape |
| transpose | x | axes: which axis of x each axis of the output is |
| resize_nearest | x | size: (h, w); half_pixel: whether centres of pixels are compared, or their upper left corners |
| quantise, dequantise | x | |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """What integers mean: ``real = scale * (q - zero_point)``; of constants, for every entry along ``axis`` if that is given."""

    scale: NDArray[np.float64]
    zero_point: NDArray[np.int64]
    axis: int | None = None


@dataclass
class Value:
    """A tensor of the file. Without a grid it is what its numbers say; ``array`` holds the numbers of a constant, raw."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """As NumPy calls it: float32, int8, uint8, int16, int32, int64."""
    grid: Grid | None = None
    array: NDArray[Any] | None = None


@dataclass
class Node:
    """An operator of the file, in the terms of the table above. ``name`` is for messages and the report: unique, printable."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass
class Program:
    """Nodes in execution order; every value by name."""

    values: dict[str, Value]
    nodes: list[Node]
    input: str
    outputs: tuple[str, ...]
    channels_last: bool
