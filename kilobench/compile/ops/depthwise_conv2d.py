# SPDX-License-Identifier: Apache-2.0
"""Convolution in which every channel has a kernel of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.kernels import constant
from kilobench.compile.operator import Field, require
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops._depthwise import Axis, Plan, plan
from kilobench.compile.ops._integers import INT32_MAX, REQUANTISED, TWICE

_MOST_RIGHT, _MOST_LEFT = 23, 8
"""Shifts that the kernels can bear (kb_depthwise.h)."""
_RIGHT = constant("KB_DEPTHWISE_RIGHT")


class DepthwiseConv2d(Convolution):
    """As conv2d, with weights [KH, KW, O]; output channel o reads input channel o // m, m being how many there are of each."""

    types = {
        ("float32", "float32"): {"weight": ("float32", "HWO"), "bias": ("float32", "O")},
        ("int8", "int8"): {"weight": ("int8", "HWO"), **REQUANTISED},
    }

    def groups(self) -> int:
        """One for each input channel."""
        return self.source.shape[2]

    def weight(self) -> NDArray[Any]:
        """Those of a convolution with groups."""
        return self.params["weight"].transpose(2, 0, 1)[..., None]

    def output_channels(self) -> int:
        """As many as it reads, or a multiple."""
        read, made = self.source.shape[2], self.output.shape[2]
        require(made % read == 0, f"turns {read} channels into {made}, which is no multiple")
        return made

    def is_general(self) -> bool:
        """Or several output channels of each, windows without a tap inside the map, or factors out of the ordinary."""
        padded = any(side >= k for both, k in zip(self.paddings(), self.attrs["kernel"], strict=True) for side in both)
        several = self.output.shape[2] != self.source.shape[2]
        return super().is_general() or several or padded or (self.source.dtype == "int8" and self._channel is None)

    def check(self) -> None:
        """The accumulator."""
        if self.output.dtype == "int8":
            self.check_sums()

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """As a convolution with groups."""
        return self.compute_floats(values[0]) if self.source.dtype == "float32" else self.compute_integers(values[0])

    # For the kernels

    def kept(self) -> tuple[range, range]:
        """Those that lie in the map for some window, and maybe some between."""
        numbers = (
            self.attrs["padding"],
            self.attrs["stride"],
            self.output.shape,
            self.source.shape,
            self.attrs["kernel"],
        )
        rows, columns = (
            range(max(0, pad - (made - 1) * step), min(kernel, size + pad))
            for pad, step, made, size, kernel in zip(*numbers, strict=False)
        )
        return rows, columns

    @cached_property
    def twice(self) -> bool:
        """Whether it is int8 that rounds twice; sums too large to be doubled are steps."""
        return self._plan is not None and bool((self.params["shift"] > TWICE).all())

    @property
    def in_place(self) -> bool:
        """If all of four channels is read before any of it is written."""
        return self._plan is not None and self._plan.whole

    @property
    def kernel(self) -> str:
        """Of int8 and float32 there is one for what most networks have, 3 x 3 taps; of int8 one for many taps."""
        kind = self._plan.kind if self._plan else "3x3" if self._is_3x3_f32() else ""
        return super().kernel.replace("conv2d_", f"conv2d_{kind}_") if kind else super().kernel

    @property
    def struct(self) -> str:
        """The same of all of a type."""
        return re.sub("_(3x3|direct|line|wide)(?=_)", "", super().struct)

    def constants(self) -> dict[str, Field]:
        """Without those taps; a bias of 3 x 3 in float32 is not -0; of int8 a table of channels, and the tile."""
        rows, columns = self.kept()
        weight = {"weight": self.params["weight"][rows.start : rows.stop, columns.start : columns.stop]}
        if self._is_3x3_f32():
            return {**weight, "bias": self.params["bias"] + np.float32(0)}
        if not self._plan or self._channel is None:
            return super().constants() | weight
        numbers: dict[str, Field] = {key: getattr(self._plan, key) for key in ("turned", "along", "across")}
        shifts_alike = self._plan.kind.startswith("3x3") and not self.twice
        return {**weight, "channel": self._alike(self._channel) if shifts_alike else self._channel} | numbers

    def _alike(self, channel: NDArray[np.int32]) -> NDArray[np.int32]:
        """Numbers that make the same outputs, as many as can with the shift to the right that is fastest, for which products are
        shifted further to the left.
        """
        bias, multiplier, shifts = channel.astype(np.int64).T
        more, left = _RIGHT - shifts % 256, shifts // 256
        further = (more > 0) & (left + more <= _MOST_LEFT)
        more = np.where(further, more, 0)
        further &= (self._reach() << left + more) + (np.abs(bias) << more) <= INT32_MAX
        moved = np.stack([bias << more, multiplier, _RIGHT + 256 * (left + more)], axis=1)
        return np.where(further[:, None], moved, channel).astype(np.int32)

    def scratch_bytes(self) -> int:
        """Planes of four channels and, of kernels of many taps, their weights."""
        return self._plan.scratch_bytes if self._plan else 0

    def _is_3x3_f32(self) -> bool:
        """Whether it is float32 with 3 x 3 taps around each pixel, of pairs of channels."""
        around = self.least == ((3, 3), (1, 1), (1, 1)) and self.output.shape == self.source.shape
        return self.source.dtype == "float32" and around and self.source.shape[2] % 2 == 0 and not self.general

    @cached_property
    def _plan(self) -> Plan | None:
        """How int8 is done, if not by the general kernel."""
        if self.source.dtype != "int8" or self.general:
            return None
        sizes = self.source.shape, self.output.shape, *self.least
        rows, columns = (Axis(*numbers) for numbers in zip(*sizes, strict=False))
        return plan(rows, columns, self.source.shape[2], self._fits_halves())

    def _fits_halves(self) -> bool:
        """Whether no two neighbouring weights are -128, whose products Armv6-M could not add in half a word (kb_v6m.h)."""
        least = self.params["weight"] == -128
        return not ((least[1:] & least[:-1]).any() or (least[:, 1:] & least[:, :-1]).any())

    @cached_property
    def _channel(self) -> NDArray[np.int32] | None:
        """``channel`` of kb_depthwise_conv2d_s8_params; None for factors that the kernels cannot bear (kb_depthwise.h). Sums
        that take few values are made a step of what a factor and a shift leave that are 2**-22 together:
        floor((acc - first) / 2**22) + y.
        """
        bias, multiplier, shift = (self.params[key].astype(np.int64) for key in ("bias", "multiplier", "shift"))
        twice, reach = bool((shift > TWICE).all()), self._reach()
        right = shift - (TWICE + 31 if twice else 32)
        left = np.ones_like(right) if twice else np.maximum(1 - right, 0)
        odd = (right > _MOST_RIGHT) | (twice & ~self._doubles())
        for channel, (y, first) in self.steps(odd, 2**19).items():
            place = min(max(y, -255), 255)
            begin = (place << 22) - (1 << 21) - (int(bias[channel] - reach[channel]) if y > 255 else first)
            # with two roundings, what rounds the first time, and what that takes from negative sums, is made up for
            bias[channel] += begin + ((256 if place <= 0 else 0) - 128 if twice else 0)
            multiplier[channel], right[channel], left[channel] = (1 << 23, 14, 1) if twice else (1 << 21, _RIGHT, 0)
        right = right + (0 if twice else left)
        bears = (reach + np.abs(bias) << left <= INT32_MAX).all() and (left <= _MOST_LEFT).all()
        if not bears or (right < 1).any() or (right > _MOST_RIGHT).any():
            return None
        return np.stack([bias << left, multiplier, right + 256 * left], axis=1).astype(np.int32)
