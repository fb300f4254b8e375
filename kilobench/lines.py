# SPDX-License-Identifier: Apache-2.0
"""Text of others as one printable line: what plug-ins say goes to terminals, logs and files of the cache."""

from __future__ import annotations

import re

_MOST = 1000
"""Characters."""
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.?)")
"""ECMA-48: control sequences (colours, cursor), operating system commands (titles), and the short ones."""


def one_line(text: str) -> str:
    """The text without escape sequences and line ends; what cannot be printed is a question mark."""
    words = " ".join(_ESCAPE.sub("", text).split())
    line = "".join(char if char.isprintable() else "?" for char in words)
    return line if len(line) <= _MOST else f"{line[: _MOST - 3]}..."


def reason(error: BaseException) -> str:
    """Type and message of an exception."""
    try:
        text = str(error)
    except Exception:  # an exception's own mistake
        text = ""
    return one_line(f"{type(error).__name__}: {text}").rstrip(": ")
