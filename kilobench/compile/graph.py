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

DType = Literal["float32", "int8", "int16", "bit"]
Kind = Literal["conv2d", "depthwise_conv2d", "max_pool", "avg_pool", "add", "transpose", "binarize"]

CONVOLUTIONS: tuple[Kind, ...] = ("conv2d", "depthwise_conv2d")


@dataclass(frozen=True)
class Tensor:
    """A feature map. ``scale`` and ``zero_point`` mean ``real = scale * (q - zero_point)``, for int8 and int16 only.

    int16 is for the input of a network alone; its zero point is 0.
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
        per_pixel = {"float32": 4 * channels, "int8": channels, "int16": 2 * channels, "bit": 4 * self.words}[
            self.dtype
        ]
        return height * width * per_pixel


@dataclass(frozen=True)
class Op:
    """One operator.

    ``params`` by kind and input -> output type (O output, I input channels, KH x KW kernel):

    conv2d (attrs kernel=(KH, KW), stride=(SH, SW), padding=(PH, PW), relu; a linear layer is one over the whole map)
      float32 -> float32  weight float32 [O, KH, KW, I], bias float32 [O]; relu
      int8 -> int8        weight int8 [O, KH, KW, I], bias int32 [O], multiplier int32 [O],
                          shift int32 [O] (t of arithmetic.md, 1..62); relu is the clamp at the output's zero point
      int16 -> int8       as int8 -> int8
      bit -> bit          weight uint32 [O, KH, KW, ceil(I/32)], threshold int32 [O], flip uint32 [ceil(O/32)]:
                          bit = (acc >= threshold) xor flip; padded taps are skipped; relu False
      bit -> float32      weight, scale float32 [O], bias float32 [O]: scale * acc + bias (product rounded first); relu
      bit -> int8         weight, bias int32 [O], multiplier, shift; acc * 256 + bias is requantised; relu as int8
    depthwise_conv2d (attrs as conv2d; every channel has a kernel of its own; C channels in and out)
      float32 -> float32  weight float32 [KH, KW, C], bias float32 [C]
      int8 -> int8        weight int8 [KH, KW, C], bias int32 [C], multiplier int32 [C], shift int32 [C]
    max_pool (attrs kernel, stride, padding=(0, 0)): same type in and out; bit: the OR of the bits xor ``flip`` uint32
      [ceil(C/32)] (a param)
    avg_pool (attrs kernel, stride; no padding): float32 -> float32 the sum times params["scale"] float32 [1];
      int8 -> int8 int32 sum of (q - zero_point), multiplier int32 [1], shift int32 [1], plus output zero point, clamped
    add (attrs relu): float32; or int8 with multiplier int32 [2] (for inputs 0 and 1), shift int32 [1]:
      ((int64(a - za) * m0 + int64(b - zb) * m1) >> (t - 1)) + 1) >> 1, plus zero point, clamped
    transpose: float32, int8; [H, W, C] -> [C, W, H] (swaps channels and height)
    binarize: float32 -> bit  threshold float32 [C], flip: bit = (x >= threshold) xor flip
              int8 -> bit     threshold int32 [C], flip: bit = (q >= threshold) xor flip
    """

    kind: Kind
    name: str
    """Path of the torch module it comes from."""
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, Any] = field(default_factory=dict)
    params: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Operators in execution order. The output is [1, 1, classes]; its largest entry (first on ties) is the class."""

    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    input: str
    output: str

    def macs(self) -> dict[str, int]:
        """Counted multiply-accumulates by type of input (taps on padding included): fp32, int8, binary, int16 if any."""
        counts = {"fp32": 0, "int8": 0, "binary": 0}
        names = {"float32": "fp32", "int8": "int8", "int16": "int16", "bit": "binary"}
        for op in self.ops:
            if op.kind in CONVOLUTIONS:
                outputs = int(np.prod(self.tensors[op.output].shape))
                name = names[self.tensors[op.inputs[0]].dtype]
                counts[name] = counts.get(name, 0) + outputs * self._taps(op)
        return counts

    def parameters(self) -> int:
        """Weights and biases; a binary weight counts as one."""
        count = 0
        for op in self.ops:
            if op.kind in CONVOLUTIONS:
                count += self.tensors[op.output].shape[2] * (self._taps(op) + 1)
        return count

    def _taps(self, op: Op) -> int:
        """Products per output value of a convolution."""
        channels = self.tensors[op.inputs[0]].shape[2] if op.kind == "conv2d" else 1
        return int(np.prod(op.attrs["kernel"])) * channels

    def digest(self) -> str:
        """Hex SHA-256 of everything that decides what the model computes."""
        hasher = hashlib.sha256()
        tensors = [[t.name, t.shape, t.dtype, t.scale, t.zero_point] for t in self.tensors.values()]
        hasher.update(json.dumps([tensors, self.input, self.output]).encode())
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
