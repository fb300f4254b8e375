# SPDX-License-Identifier: Apache-2.0
"""Convolution; a linear layer is one over the whole map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import unpack
from kilobench.compile.kernels import constant
from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops import _bits, _sparse
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._integers import (
    INT32_MAX,
    REQUANTISED,
    check_accumulator,
    check_once,
    lowest,
    requantise,
    saturate,
)
from kilobench.compile.ops._window import MAX_WINDOW

_COLUMNS_BYTES = 2048
"""Wanted size of the scratch buffer of int8 convolutions, which holds input columns at 16 bits."""
_PAIRED = 8
"""Pixels of a pointwise convolution from which a kernel of its own is worth its kilobyte."""
_TOGETHER = 4
"""Output channels that kb_conv2d_s8 makes at a time."""
_DENSE_WEIGHTS, _DENSE_OUTPUTS = 2**14, 16
"""Least of both with which a linear layer of float32 has a kernel of its own (dense_conv2d_f32.c)."""


class Conv2d(Convolution):
    """``relu`` of int8 is the clamp at the output's zero point; ``shift`` is t of docs/arithmetic.md.

    ``bits`` is the width of integer weights, which below 8 are symmetric: |q| < 2**(bits - 1).

    Of ``groups`` parts of the output channels each reads its part of the input channels; ``dilation`` and groups are for
    float32 and int8. A weight of -128 does not fit the kernel of int8, and takes the general one.

    bit -> bit       bit = (acc >= threshold) xor flip; padded taps are skipped; relu False
    bit -> float32   scale * acc + bias (product rounded first)
    bit -> int8      acc * 256 + bias is requantised

    With ``centre``, S being the sum of the signs of a window, acc + centre * S is in place of acc for float32 (product rounded
    first), and centre * S is added for int8.
    """

    types = {
        ("float32", "float32"): {"weight": ("float32", "OHWI"), "bias": ("float32", "O")},
        ("int8", "int8"): {"weight": ("int8", "OHWI"), **REQUANTISED},
        ("int16", "int8"): {"weight": ("int8", "OHWI"), **REQUANTISED},
        ("bit", "bit"): {"weight": ("uint32", "OHWi"), "threshold": ("int32", "O"), "flip": ("uint32", "o")},
        ("bit", "float32"): {
            "weight": ("uint32", "OHWi"),
            **dict.fromkeys(("scale", "bias", "centre"), ("float32", "O")),
        },
        ("bit", "int8"): {"weight": ("uint32", "OHWi"), **REQUANTISED, "centre": ("int32", "O")},
    }
    optional = frozenset({"centre"})
    attributes = Convolution.attributes | {"groups": Attribute(1, MAX_WINDOW, 1, 1), "bits": Attribute(2, 8, 1, 8)}
    min_pixels = 16

    def groups(self) -> int:
        """Those of the attribute."""
        return int(self.attrs["groups"])

    def weight(self) -> NDArray[Any]:
        """As it is."""
        weight = self.params["weight"]
        return unpack(weight, self.source.shape[2]) if self.source.dtype == "bit" else weight

    def sizes(self) -> dict[str, int]:
        """I is that of a group."""
        return super().sizes() | {"I": self.source.shape[2] // self.groups()}

    def output_shape(self) -> tuple[int, int, int]:
        """As of any convolution; groups and dilation are for float32 and int8."""
        plain = self.attrs["dilation"] == (1, 1) and self.groups() == 1
        there = plain or self.source.dtype in ("float32", "int8")
        require(there, f"has groups or a dilation for {self.source.dtype}, for which there is no kernel")
        return super().output_shape()

    def output_channels(self) -> int:
        """Any number that the groups can share."""
        groups, read, made = self.groups(), self.source.shape[2], self.output.shape[2]
        require(read % groups == made % groups == 0, f"has groups={groups} for {read} channels to {made}")
        return made

    def is_general(self) -> bool:
        """Or groups; of int8 a weight of -128, which two in a half word cannot be (conv2d_s8.h), or numbers that are none of its
        kernels', as those of a factor of 1/4 or more.
        """
        several = super().is_general() or self.groups() > 1
        if several or self.source.dtype != "int8":
            return several
        return bool(self.params["weight"].min() < -127 or (self._channel[:, 3] <= 0).any())

    def check(self) -> None:
        """The accumulator, the width of weights, and counters and roundings of binary convolutions."""
        if (bits := self.attrs["bits"]) < 8:
            whole = self.output.dtype == "int8" and self.source.dtype != "bit"
            require(whole, f"has weights of {bits} bits for {self.source.dtype} to {self.output.dtype}")
            most = np.abs(self.params["weight"].astype(np.int16)).max()
            require(most < 2 ** (bits - 1), f"has weights of {bits} bits, of which one is {most} in magnitude")
        if self.source.dtype == "bit":
            _bits.check_counters(self, self.taps())
            centre = (
                np.abs(self.params["centre"].astype(np.int64)) if self._centred() and self.output.dtype == "int8" else 0
            )
            check_accumulator(self, (256 + centre) * self.taps())
            if self.output.dtype == "int8":
                check_once(self)
        elif self.output.dtype == "int8":
            self.check_sums()

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Sums of all channels of a group."""
        if self.source.dtype == "float32":
            return self.compute_floats(values[0])
        if self.source.dtype != "bit":
            return self.compute_integers(values[0])
        acc = self.correlate(2.0 * values[0] - 1, 2.0 * self.weight() - 1).astype(np.int64)
        if self.output.dtype == "bit":
            reached = acc >= self.params["threshold"]
            return (reached ^ unpack(self.params["flip"], self.output.shape[2])).astype(np.uint8)
        signs = self.correlate(2.0 * values[0] - 1, np.ones_like(self.weight()[:1])) if self._centred() else 0
        centred = self.params.get("centre", 0) * np.asarray(signs, self.params["bias"].dtype)
        if self.output.dtype == "int8":
            acc = 256 * acc + centred + self.params["bias"]
            return saturate(self, requantise(acc, self.params["multiplier"], self.params["shift"]))
        return self.relu((acc.astype(np.float32) + centred) * self.params["scale"] + self.params["bias"])

    def constant_bytes(self) -> int:
        """With weights of few bits packed, and without those that are 0 where that is how they are stored."""
        if self._sparse:
            return super().constant_bytes() - self.params["weight"].nbytes + _sparse.chunk_bytes(self._in_order())
        packed = self._packed if self.source.dtype == "int8" else 8
        return super().constant_bytes() - self.params["weight"].nbytes * (8 - packed) // 8

    # For the kernels

    @property
    def kernel(self) -> str:
        """Of bits there are two for each type of output; of int8 one for what most pointwise layers are, one for linear
        layers of few outputs, and one for each width of packed weights; of float32 one for linear layers of many weights.
        """
        name = super().kernel
        if self.source.dtype == "bit":
            suffix = {"float32": "_f32", "int8": "_s8"}.get(self.output.dtype, "")
            return name + ("_centred" if self._centred() else "_few" if _bits.few(self) else "") + suffix
        if self._packed < 8:
            return name.replace("_s8", f"_s{self._packed}")
        if self._sparse:
            return name.replace("conv2d", "sparse_dense_conv2d" if self._is_dense() else "sparse_conv2d")
        kind = "pointwise_" if self._in_pairs() else "dense_" if self._is_dense_f32() or self._is_dense_s8() else ""
        return name.replace("conv2d", f"{kind}conv2d")

    @property
    def struct(self) -> str:
        """The same of all of a type, but of linear layers of int8."""
        return re.sub("_few|pointwise_|dense_(?=conv2d_f32)|(?<=sparse_)dense_", "", super().struct).replace(
            f"_s{self._packed}", "_s8"
        )

    def fields(self) -> dict[str, Field]:
        """The zero point of an int8 convolution's output is in its numbers of channels."""
        if self._is_dense_s8():
            return self._dense_s8()
        if self._sparse:
            return self._sparse_s8()
        fields = super().fields()
        if self.source.dtype == "int8" and not self.general:
            del fields["out_zero"]
        return fields

    def constants(self) -> dict[str, Field]:
        """In an order of their own for each type of input."""
        if self.source.dtype == "bit":
            return _bits.constants(self)
        return {"float32": self._f32, "int8": self._s8, "int16": self._s16}[self.source.dtype]()

    def scratch_bytes(self) -> int:
        """Columns of the input at 16 bits and sums; for bits, lists of taps or a window (_bits.py)."""
        if self.source.dtype == "bit":
            return _bits.scratch_bytes(self)
        if self.source.dtype == "float32" or self.general or self._is_dense_s8():
            return 0
        if self._sparse:
            return 0 if self._is_dense() else _sparse.scratch_bytes(self)
        stride, taps = self.least.stride[1], self._ordered_taps()
        halves = (self._block() - 1) * stride * self._column() + taps
        return int(2 * halves + (4 * self._sums() if self.source.dtype == "int8" else 0))

    def _centred(self) -> bool:
        """Whether its binary weights have a centre."""
        return "centre" in self.params

    def _is_dense(self) -> bool:
        """Whether its one window is the whole map."""
        return not self.general and self._reads_all()

    def _reads_all(self) -> bool:
        """The same, also if it is general."""
        return bool(self.attrs["kernel"] == self.source.shape[:2] and self.inside())

    def _is_dense_f32(self) -> bool:
        """Whether it is float32 and dense, and its weights are many times its kernel's flash."""
        many = self.params["weight"].size >= _DENSE_WEIGHTS and self.output.shape[2] >= _DENSE_OUTPUTS
        return self.source.dtype == "float32" and many and self._is_dense()

    def _is_dense_s8(self) -> bool:
        """Whether it is int8 and dense, and the kernel that makes four channels at a time would make some for nothing."""
        few = self.source.dtype == "int8" and self.output.shape[2] < _TOGETHER
        return few and not self._sparse and self._is_dense()

    @cached_property
    def _sparse(self) -> bool:
        """Whether it is int8 and so many of its weights are 0 that the others alone are stored."""
        plain = self.source.dtype == "int8" and self.attrs["bits"] == 8 and not self.general
        return plain and not self.may_round_twice() and _sparse.pays(self._in_order())

    def _in_order(self) -> NDArray[np.int8]:
        """Weights [O, taps], as they lie in memory in a dense layer, or by column of the kernel."""
        weight = self.params["weight"]
        ordered = weight if self._is_dense() else weight.transpose(0, 2, 1, 3)
        return ordered.reshape(len(weight), -1)

    @cached_property
    def _packed(self) -> int:
        """Bits that a weight takes in flash: 2, 4 or, for more of them and where only kernels of int8 do, 8."""
        plain = self.source.dtype != "int8" or self.general or not self._left or self._is_dense_s8()
        return 8 if plain else self._width()

    def _width(self) -> int:
        """Bits of a weight, for which there is a kernel."""
        return next(width for width in (2, 4, 8) if width >= self.attrs["bits"])

    @cached_property
    def _left(self) -> int:
        """How far sums of narrow weights are shifted to the left, so that factors are about those of 8 bits; 0 if 32 bits do not
        hold them. Where weights take 8 bits, these are shifted.
        """
        width = 8 if self.output.shape[2] < _TOGETHER and self._reads_all() else self._width()
        left = {2: 7, 4: 4}.get(width, 8 - self.attrs["bits"])
        most = 2 * self._reach() + np.abs(self.params["bias"].astype(np.int64))
        return left if left and not self.may_round_twice() and int(most.max()) << left <= INT32_MAX else 0

    def _f32(self) -> dict[str, Field]:
        """Weights [ceil(O / 4), KH, KW, I, 4], as one load of four registers takes them, and as many biases."""
        weight, bias = self.params["weight"], self.params["bias"]
        missing = -len(bias) % 4
        filled = np.concatenate([weight, np.zeros((missing, *weight.shape[1:]), dtype=np.float32)])
        blocks = filled.reshape(-1, 4, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
        return {"weight": blocks, "bias": np.concatenate([bias, np.zeros(missing, dtype=np.float32)])}

    def _dense_s8(self) -> dict[str, Field]:
        """Weights [taps / 4, O, 4]; see dense_conv2d_s8.h."""
        rows = self.params["weight"].reshape(self.output.shape[2], -1) << self._left
        outputs, taps = rows.shape
        filled = np.pad(rows, ((0, 0), (0, -taps % constant("KB_DENSE_S8_STEP"))))
        weight = filled.reshape(outputs, -1, 4).transpose(1, 0, 2)
        return {"weight": weight, "channel": self._channel, "taps": taps, "channels": outputs, "low": lowest(self)}

    def _sparse_s8(self) -> dict[str, Field]:
        """See sparse_conv2d_s8.h."""
        words = _sparse.words(self._in_order(), self._channel)
        fields: dict[str, Field] = {"window": self.window(), "weight": words, "words": len(words)}
        return fields | _sparse.numbers(self) | {"in_zero": self.source.zero_point, "low": lowest(self)}

    def _s8(self) -> dict[str, Field]:
        """Weights of four output channels side by side; see conv2d_s8.h and conv2d_narrow.h."""
        columns, taps = self._weight_columns(), self._ordered_taps()
        outputs = len(columns)
        ordered = np.zeros((max(outputs, 4), taps), dtype=np.int32)
        ordered[:outputs, : columns.shape[1]] = columns << (self._left if self._packed == 8 else 0)
        quads = np.minimum(np.arange(0, outputs, 4), len(ordered) - 4)
        ordered = ordered[(quads[:, None] + np.arange(4)).ravel()]
        weight = _PACKING[self._packed](ordered.reshape(-1, 4, taps))
        channel = np.pad(self._channel, ((0, len(ordered) - outputs), (0, 0)))
        numbers = {"column": self._column(), "taps": taps, "sums": self._sums(), "block": self._block()}
        return {"weight": weight, "channel": channel, **numbers}

    @cached_property
    def _channel(self) -> NDArray[np.int32]:
        """``channel`` of kb_conv2d_s8_params: padding being the zero point, sums are of what is read as it is."""
        sums = self.params["weight"].sum(axis=(1, 2, 3), dtype=np.int32)
        bias = self.params["bias"] - self.source.zero_point * sums
        return self.channel_table(bias, self.may_round_twice(), self._left)

    def _s16(self) -> dict[str, Field]:
        """Weights at 16 bits; see conv2d_s16.c."""
        columns = self._weight_columns()
        taps = self._ordered_taps()
        weight = np.zeros((len(columns), taps), dtype=np.int16)
        weight[:, : columns.shape[1]] = columns
        channel = self.channel_table(self.params["bias"])
        numbers = {"column": self._column(), "taps": taps, "block": self._block()}
        return {"weight": weight, "channel": channel, "quick": int((channel[:, 3] > 0).all()), **numbers}

    # Taps ordered by column of the kernel

    def _weight_columns(self) -> NDArray[np.int32]:
        """Weights [O, KW * halves of a column]."""
        weight = self.params["weight"].astype(np.int32)
        outputs, kernel_h, kernel_w, channels = weight.shape
        columns = np.zeros((outputs, kernel_w, self._column()), dtype=np.int32)
        columns[:, :, : kernel_h * channels] = weight.transpose(0, 2, 1, 3).reshape(outputs, kernel_w, -1)
        return columns.reshape(outputs, -1)

    def _column(self) -> int:
        """Halves per column of the input in scratch; whole words where every pixel has to start at one."""
        column = int(self.attrs["kernel"][0]) * self.source.shape[2]
        odd = self.least.stride[1] % 2 and self._row() > 1
        return column + column % 2 if odd else column

    def _ordered_taps(self) -> int:
        """Per pixel, filled up to what the kernel's inner loop takes at a time."""
        together = 4 if self.source.dtype == "int8" else 2
        return int(-(-self.attrs["kernel"][1] * self._column() // together) * together)

    def _is_pointwise(self) -> bool:
        """Whether every pixel of int8 is made of one."""
        one = self.least == ((1, 1), (1, 1), (0, 0)) and self.output.shape[:2] == self.source.shape[:2]
        return self.source.dtype == "int8" and one

    def _in_pairs(self) -> bool:
        """Whether it is pointwise as kb_pointwise_conv2d_s8 can make it."""
        fours = self.source.shape[2] % 4 == self.output.shape[2] % 4 == 0 and not self.general
        short = self.taps() <= constant("KB_CONV2D_S8_CHUNK")
        return self._is_pointwise() and fours and short and self._row() >= _PAIRED

    def _row(self) -> int:
        """Pixels of a row; where it is pointwise, rows are one long row."""
        height, width, _ = self.output.shape
        return height * width if self._is_pointwise() else width

    def _block(self) -> int:
        """Output pixels whose columns are in scratch together."""
        kernel_w, stride, width = self.attrs["kernel"][1], self.least.stride[1], self.output.shape[1]
        fitting = (_COLUMNS_BYTES // 2 // self._column() - kernel_w) // stride + 1
        if self.source.dtype == "int16":
            return int(min(max(4, fitting // 4 * 4), width))
        return int(max(2, min(fitting, width + 1) // 2 * 2)) if self._row() > 1 else 1

    def _sums(self) -> int:
        """Words of scratch before the columns of an int8 convolution: for sums of some kernels, or weights of four channels."""
        outputs, pixels, taps = self.output.shape[2], self._block(), self._ordered_taps()
        if self._packed < 8:
            return pixels if outputs >= _TOGETHER else 2 * pixels
        many = pixels >= constant("KB_CONV2D_S8_COPIED") and taps > constant("KB_CONV2D_S8_CACHED")
        sums = -(-outputs // _TOGETHER) * _TOGETHER * min(pixels, 2)
        return int(max(sums, taps if many and outputs >= _TOGETHER else 0, pixels if outputs < _TOGETHER else 0))


def _halves(quads: NDArray[np.int32]) -> NDArray[np.int16]:
    """Weights [quads, 4, taps] as conv2d_s8.h reads them: a half word has two of a tap."""
    pairs = 256 * quads[:, 1::2] + quads[:, ::2]
    return pairs.reshape(len(quads), 2, -1, 2).transpose(0, 2, 1, 3).astype(np.int16)


def _nibbles(quads: NDArray[np.int32]) -> NDArray[np.int16]:
    """Weights of 4 bits as conv2d_narrow.h reads them: a half word has the four of a tap."""
    return (4096 * quads[:, 3] + 256 * (quads[:, 2] + 8) + 16 * (quads[:, 1] + 8) + quads[:, 0] + 8).astype(np.int16)


def _crumbs(quads: NDArray[np.int32]) -> NDArray[np.int16]:
    """Weights of 2 bits as conv2d_narrow.h reads them: a word has those of four taps, in halves that are turned to the left."""
    halves = (2**14 * quads[:, 1::2] + quads[:, ::2] + 1).astype(np.int16).view(np.uint16)
    words = np.ascontiguousarray(halves).view("<u4").astype(np.uint32)  # [quads, pairs of channels, pairs of taps]
    packed = np.zeros((len(quads), words.shape[2] // 2), dtype=np.uint32)
    for pair, taps in np.ndindex(2, 2):
        word, left = words[:, pair, taps::2], 8 * taps + 4 * pair
        packed |= word << np.uint32(left) | word >> np.uint32((32 - left) % 32) if left else word
    return packed.view(np.int16)


_PACKING = {8: _halves, 4: _nibbles, 2: _crumbs}
"""How the weights of quads of output channels are stored, by their bits."""
