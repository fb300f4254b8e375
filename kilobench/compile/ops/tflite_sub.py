# SPDX-License-Identifier: Apache-2.0
"""The difference of two int8 maps by TFLite-Micro's formula."""

from __future__ import annotations

from kilobench.compile.ops.tflite_add import TfliteAdd


class TfliteSub(TfliteAdd):
    """a - b, broadcast; all else as tflite_add."""

    sign = -1
