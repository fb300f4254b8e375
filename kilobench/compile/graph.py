# SPDX-License-Identifier: Apache-2.0
"""The lowered model: operators with integer, bit or float tensors and explicit shapes.

Emitters, the simulation and the memory planner read this and nothing else. Feature maps are [height, width, channels]
(HWC, batch 1). A "bit" map packs its channels into 32-bit words, [height, width, ceil(channels / 32)], least
significant bit first, bit 1 = +1 and bit 0 = -1, unused bits 0. Meanings are those of docs/arithmetic.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

DType = Literal["float32", "int8", "int16", "uint8", "int32", "bit"]


@dataclass(frozen=True)
class Tensor:
    """A feature map. ``scale`` and ``zero_point`` mean ``real = scale * (q - zero_point)``, for int8, int16 and uint8 only.

    int16 is for the input of a network, or what is made of its pixels, its zero point being 0; uint8 for its input and outputs,
    and int32, whole numbers as they are, for its outputs.
    """

    name: str
    shape: tuple[int, int, int]
    """Height, width, channels."""
    dtype: DType
    scale: float = 0.0
    zero_point: int = 0

    @property
    def words(self) -> int:
        """32-bit words per pixel of a bit map."""
        return (self.shape[2] + 31) // 32

    @property
    def bytes(self) -> int:
        """Size in memory."""
        height, width, channels = self.shape
        if self.dtype == "bit":
            return height * width * 4 * self.words
        return height * width * channels * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Op:
    """One node. What its kind means, and which attributes and parameters it has, is in kilobench/compile/ops/KIND.py.

    An attribute with a default is left out where it has that value.
    """

    kind: str
    name: str
    """Path of the torch module it comes from."""
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, Any] = field(default_factory=dict)
    params: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """What a model has and its graph has not, since it makes channels that never change (imports/dead_channels.py)."""

    parameters: int = 0
    macs: int = 0


@dataclass(frozen=True)
class Graph:
    """Operators in execution order.

    The output of a classifier is [1, 1, classes]; its largest entry (first on ties) is the class.
    """

    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    input: str
    outputs: tuple[str, ...]
    left_out: LeftOut = LeftOut()

    @property
    def output(self) -> str:
        """The first output, which is the only one of a classifier."""
        return self.outputs[0]

    def digest(self) -> str:
        """Hex SHA-256 of everything that decides what the model computes."""
        hasher = hashlib.sha256()
        tensors = [[t.name, t.shape, t.dtype, t.scale, t.zero_point] for t in self.tensors.values()]
        outputs = self.output if len(self.outputs) == 1 else self.outputs
        hasher.update(json.dumps([tensors, self.input, outputs]).encode())
        for op in self.ops:
            hasher.update(json.dumps([op.kind, op.name, op.inputs, op.output, sorted(op.attrs.items())]).encode())
            for key in sorted(op.params):
                array = np.ascontiguousarray(op.params[key])
                hasher.update(f"{key} {array.dtype.str} {array.shape}".encode())
                hasher.update(array.tobytes())
        return hasher.hexdigest()


def pack(bits: NDArray[Any]) -> NDArray[np.uint32]:
    """Bits (bool, or 0 and 1) along the last axis packed into 32-bit words, least significant first, unused bits 0."""
    padded = np.zeros((*bits.shape[:-1], -(-bits.shape[-1] // 32) * 32), dtype=np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32)


def unpack(words: NDArray[np.uint32], channels: int) -> NDArray[np.uint8]:
    """The bits of packed words along the last axis."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")[..., :channels]
