# SPDX-License-Identifier: Apache-2.0
"""The sum of two maps."""

from __future__ import annotations

import numpy as np

from kilobench.compile.operator import Field
from kilobench.compile.ops._sums import Sum


class Add(Sum):
    """a + b, broadcast."""

    @property
    def kernel(self) -> str:
        """Maps of one shape have one of their own."""
        return "kb_add_broadcast_f32" if self._broadcasts_floats() else super().kernel

    @property
    def struct(self) -> str:
        """Maps of one shape have one of their own."""
        return super().struct if self._broadcasts_floats() else f"{self.kernel}_params"

    def fields(self) -> dict[str, Field]:
        """Maps of one shape are counted."""
        if self.output.dtype != "float32" or self.broadcasts():
            return super().fields()
        return {"count": int(np.prod(self.output.shape)), "relu": int(self.attrs["relu"])}

    def _broadcasts_floats(self) -> bool:
        return self.output.dtype == "float32" and self.broadcasts()
