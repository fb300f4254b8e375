# SPDX-License-Identifier: Apache-2.0
"""Shares of 1 of the channels of each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Field, Operator, require
from kilobench.compile.ops._exponential import exponential


class Softmax(Operator):
    """exp(x - m) over the sum of all such, m being the largest channel; to the bit as docs/arithmetic.md says it: float32 by
    ``exponential``, int8 by ``table``.
    """

    types = {("float32", "float32"): {}, ("int8", "int8"): {}}
    in_strips = True
    sums_to_one = True
    modules = ("Softmax",)

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int] | None:
        """All that a share can be."""
        return (1 / 256, -128) if source.dtype == "int8" else None

    @classmethod
    def lower(
        cls, module: Any, sources: Sequence[Tensor], output: Tensor
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """torch.nn.Softmax(dim=1)."""
        require(module.dim == 1, f"is over axis {module.dim}, and not 1, the channels")
        return {}, {}

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """To the bit what the kernels make."""
        x = values[0]
        if self.source.dtype == "float32":
            shares = exponential(x - x.max(axis=-1, keepdims=True))
            return shares * (np.float32(1) / self._summed(shares))
        shares = self.table()[x.max(axis=-1, keepdims=True).astype(np.int64) - x].astype(np.int64)
        total = self._summed(shares)
        return np.minimum((256 * shares + total // 2) // total - 128, 127).astype(np.int8)

    def work(self) -> int:
        """About what an exponential takes."""
        return 16 * super().work()

    def fields(self) -> Mapping[str, Field]:
        """The shape, and of int8 the exponentials."""
        return {"in": self.source.shape} | ({"table": self.table()} if self.source.dtype == "int8" else {})

    def table(self) -> NDArray[np.uint32]:
        """exp(-scale * d) for d from 0 to 255 in fixed point, with so many bits that no pixel's sum exceeds 2**31."""
        one = 2.0 ** min(23, 31 - self.source.shape[2].bit_length())
        return np.array([round(one * exp(-self.source.scale * d)) for d in range(256)], dtype=np.uint32)

    def _summed(self, shares: NDArray[Any]) -> NDArray[Any]:
        """[n, h, w, 1], one channel after the other."""
        total = np.zeros_like(shares[..., :1])
        for channel in range(shares.shape[-1]):
            total = total + shares[..., channel : channel + 1]
        return total
