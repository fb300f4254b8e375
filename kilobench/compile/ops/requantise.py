# SPDX-License-Identifier: Apache-2.0
"""The same numbers on another grid."""

from __future__ import annotations

from kilobench.compile.ops._pointwise import Function


class Requantise(Function):
    """Of int8, by table."""

    types = {("int8", "int8"): {"table": ("int8", "T")}}
