# SPDX-License-Identifier: Apache-2.0
"""The difference of two maps."""

from __future__ import annotations

from kilobench.compile.ops._sums import Sum


class Sub(Sum):
    """a - b, broadcast."""

    sign = -1
