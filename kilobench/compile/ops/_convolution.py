# SPDX-License-Identifier: Apache-2.0
"""What convolutions share, whether their channels are summed or not."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.operator import Attribute, Field, require
from kilobench.compile.ops._integers import (
    INT32_MAX,
    REACH,
    TWICE,
    channel_table,
    check_accumulator,
    lowest,
    requantise,
    saturate,
    step_of,
)
from kilobench.compile.ops._window import MAX_WINDOW, Windowed


class Least(NamedTuple):
    """Kernel, stride and padding, vertical first."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class Convolution(Windowed):
    """Sums of products of taps and weights, the taps ``dilation`` rows and columns apart, then ReLU if ``relu``.

    Output channels are those of ``groups()`` in turn, each of which reads as many input channels of its own. Where a kernel made
    for its kind cannot do that (``is_general``), kb_grouped_conv2d_f32 or _s8 does.
    """

    attributes = Windowed.attributes | {"dilation": Attribute(1, MAX_WINDOW, 2, (1, 1)), "relu": Attribute()}
    takes_scratch = True

    def groups(self) -> int:
        """Parts of the channels."""
        raise NotImplementedError

    def weight(self) -> NDArray[Any]:
        """[O, KH, KW, input channels of a group]; of bits, 0 or 1."""
        raise NotImplementedError

    def is_general(self) -> bool:
        """Whether it needs the general kernel."""
        return self.attrs["dilation"] != (1, 1)

    def reach(self) -> tuple[int, int]:
        """With the gaps of a dilation."""
        height, width = ((k - 1) * d + 1 for k, d in zip(self.attrs["kernel"], self.attrs["dilation"], strict=True))
        return height, width

    def most_padding(self) -> tuple[int, int]:
        """A window may lie on padding as a whole."""
        return self.reach()

    def output_shape(self) -> tuple[int, int, int]:
        """As of any window."""
        (gap_h, gap_w), (_, width, channels) = self.attrs["dilation"], self.source.shape
        far = max(gap_h * width, gap_w) * channels
        require(far <= INT32_MAX, f"has dilation={self.attrs['dilation']} for {self.source.shape}")
        return super().output_shape()

    def taps(self) -> int:
        """Products per output value."""
        kernel_h, kernel_w = self.attrs["kernel"]
        return int(kernel_h * kernel_w * (self.source.shape[2] // self.groups()))

    def work(self) -> int:
        """Products."""
        height, width, channels = self.output.shape
        return height * width * channels * self.taps()

    def macs(self) -> int:
        """One for each product."""
        return self.work()

    def weights(self) -> int:
        """And a bias per output channel."""
        return self.output.shape[2] * (self.taps() + 1)

    # For the kernels

    def kept(self) -> tuple[range, range]:
        """Rows and columns of the weights that its kernel gets."""
        height, width = self.attrs["kernel"]
        return range(height), range(width)

    @cached_property
    def least(self) -> Least:
        """Its windows, of the taps that are kept, and with no more stride than shows."""
        (rows, columns), (top, left) = self.kept(), self.attrs["padding"]
        high, wide = (
            step if made > 1 else 1 for step, made in zip(self.attrs["stride"], self.output.shape, strict=False)
        )
        return Least((len(rows), len(columns)), (high, wide), (top - rows.start, left - columns.start))

    def window(self) -> Field:
        """With as little as that, but of bits or by the general kernel."""
        if self.source.dtype == "bit" or self.general:
            return super().window()
        return (self.source.shape, self.output.shape, *chain.from_iterable(self.least))

    @cached_property
    def general(self) -> bool:
        """``is_general``, which may read all weights, once."""
        return self.is_general()

    @cached_property
    def twice(self) -> bool:
        """Whether it is int8 that rounds twice, by its own kernel."""
        return not self.general and self.may_round_twice()

    def may_round_twice(self) -> bool:
        """Whether it is int8 with two roundings and sums that 32 bits hold when they are doubled."""
        if (self.source.dtype, self.output.dtype) != ("int8", "int8"):
            return False
        suits = self._doubles() | self.settled() & (2 * self._reach() <= INT32_MAX)
        return bool((self.params["shift"] > TWICE).all() and suits.all())

    def settled(self) -> NDArray[np.bool_]:
        """Which channels have the same output whatever int8 is read."""
        least, most = self.extremes()
        return least == most

    def extremes(self) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """The least and the largest output of each channel, whatever int8 is read."""
        ends = (self.params["bias"].astype(np.int64) + side * self._reach() for side in (-1, 1))
        least, most = (saturate(self, requantise(acc, self.params["multiplier"], self.params["shift"])) for acc in ends)
        return least, most

    def _doubles(self) -> NDArray[np.bool_]:
        """Which channels' accumulators 32 bits hold twice."""
        return 2 * (self._reach() + np.abs(self.params["bias"].astype(np.int64))) <= INT32_MAX

    def _reach(self) -> NDArray[np.int64]:
        """By which an accumulator may differ from the bias."""
        weight = np.abs(self.weight().astype(np.int16))
        return REACH[self.source.dtype] * weight.sum(axis=(1, 2, 3), dtype=np.int64)

    @property
    def kernel(self) -> str:
        """The general one, or that of its kind, or of two roundings."""
        if self.general:
            return "kb_grouped_conv2d_f32" if self.source.dtype == "float32" else "kb_grouped_conv2d_s8"
        return super().kernel.replace("kb_", "kb_tflite_" if self.twice else "kb_")

    @property
    def struct(self) -> str:
        """Of both roundings alike."""
        return f"{self.kernel}_params".replace("kb_tflite_", "kb_")

    def constants(self) -> dict[str, Field]:
        """Weights and what goes with them, as the kernel of its kind reads them."""
        return {**self.params}

    def fields(self) -> dict[str, Field]:
        """Window, constants, and what the types need besides."""
        fields = {"window": self.window()} | (self._grouped() if self.general else self.constants())
        if self.output.dtype == "float32":
            fields["relu"] = int(self.attrs["relu"])
        if self.output.dtype == "int8":
            fields |= {"out_zero": self.output.zero_point, "low": lowest(self)}
        if self.source.dtype == "int8":
            fields["in_zero"] = self.source.zero_point
        return fields

    def _grouped(self) -> dict[str, Field]:
        """Of kb_grouped_conv2d_f32_params and kb_grouped_conv2d_s8_params."""
        groups, (kernel_h, kernel_w), dilation = self.groups(), self.attrs["kernel"], self.attrs["dilation"]
        numbers: dict[str, Field] = {"dilation_h": dilation[0], "dilation_w": dilation[1], "taps": kernel_h * kernel_w}
        numbers |= {"group_in": self.source.shape[2] // groups, "group_out": self.output.shape[2] // groups}
        numbers["weight"] = self._grouped_weight(groups)
        if self.source.dtype == "float32":
            return numbers | {"bias": self.params["bias"]}
        return numbers | {"channel": self.channel_table(self.params["bias"])}

    def _grouped_weight(self, groups: int) -> NDArray[Any]:
        """In blocks of four or one output channels, as kb_grouped.h and its kernels read them."""
        weight = self.weight()
        outputs, inputs = len(weight), weight.shape[3]
        flat = weight.reshape(outputs, -1, inputs)
        together = outputs // groups if inputs > 1 else outputs
        fours = inputs // 4 * 4 if self.source.dtype == "int8" else 0
        blocks = []
        for first in range(0, outputs, together):
            sizes = [4] * (together // 4) + [1] * (together % 4)
            for part in np.split(flat[first : first + together], np.cumsum(sizes)[:-1]):
                whole = part[:, :, :fours].reshape(*part.shape[:2], fours // 4, 4).transpose(1, 2, 0, 3)
                rest = part[:, :, fours:].transpose(1, 2, 0)
                blocks += [np.concatenate([a.reshape(len(a), a[0].size) for a in (whole, rest)], axis=1).ravel()]
        return np.concatenate(blocks)

    def channel_table(self, bias: NDArray[Any], twice: bool = False, left: int = 0) -> NDArray[np.int32]:
        """As ``channel`` of kb_conv2d_s8_params, of the kernels that round once or ``twice``, for sums that are shifted to the
        ``left``. Sums that take few values, as those of channels that training has left almost dead, are made a constant, or a
        step of what the factor 1/4 and the shift 23 leave: floor((acc - first) / 2**25) + y.
        """
        zero = self.output.zero_point
        table = channel_table(bias << left, self.params["multiplier"], self.params["shift"] + left, zero, twice)
        odd = (table[:, 3] <= 0) | (twice & ~self._doubles())
        if not odd.any():
            return table
        least, most = self.extremes()
        for channel, (y, first) in self.steps(odd & (least < most), 2**24 >> left).items():
            place = min(max(y + zero, -200), 200)
            begin = (int(bias[channel]) - first) << left
            table[channel] = (2 * begin, 1 << 29, place << 23, 23) if twice else (begin, 1 << 30, place << 23, 23)
        settled = odd & (least == most)
        table[settled] = [(0, 0, 2 * int(value) + 1, 1) for value in least[settled]] or 0
        return table

    def steps(self, odd: NDArray[np.bool_], most: int) -> dict[int, tuple[int, int]]:
        """``step_of`` the channels whose numbers are ``odd`` and that reach less than ``most``."""
        reach = self._reach()
        numbers = self.params["bias"], reach, self.params["multiplier"], self.params["shift"]
        found = {int(c): step_of(*(int(of[c]) for of in numbers)) for c in np.flatnonzero(odd & (reach < most))}
        return {channel: step for channel, step in found.items() if step is not None}

    # Meaning

    def check_sums(self) -> None:
        """Raises ValueError for int8 weights with which the accumulator may overflow."""
        check_accumulator(self, self._reach())

    def compute_integers(self, x: NDArray[Any]) -> NDArray[np.int8]:
        """Integers [n, h, w, c] with int8 weights to int8."""
        acc = self.correlate(x - np.float64(self.source.zero_point), self.weight()).astype(np.int64)
        return saturate(self, requantise(acc + self.params["bias"], self.params["multiplier"], self.params["shift"]))

    def compute_floats(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Floats; NumPy promises no order of sums."""
        return self.relu(self.correlate(x, self.weight()) + self.params["bias"])

    def relu(self, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """ReLU if it is asked for."""
        return np.maximum(value, np.float32(0)) if self.attrs["relu"] else value

    def correlate(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """[n, h, w, c] with ``weight()``, summed in float32 or, exact for the integers here, in float64."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        outputs, kernel_h, kernel_w, inputs = weight.shape
        groups, (height, width, _) = self.groups(), self.output.shape
        (step_h, step_w), (gap_h, gap_w) = self.attrs["stride"], self.attrs["dilation"]
        factors = weight.astype(dtype).reshape(groups, -1, kernel_h, kernel_w, inputs).transpose(2, 3, 0, 4, 1)
        padded = self.padded(x.astype(dtype))
        total = np.zeros((groups, len(x) * height * width, outputs // groups), dtype)
        for ky, kx in np.ndindex(kernel_h, kernel_w):
            tap = padded[:, ky * gap_h :: step_h, kx * gap_w :: step_w][:, :height, :width]
            total += tap.reshape(-1, groups, inputs).transpose(1, 0, 2) @ factors[ky, kx]
        return (
            total.reshape(groups, len(x), height, width, -1).transpose(1, 2, 3, 0, 4).reshape(len(x), height, width, -1)
        )
