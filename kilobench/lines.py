# SPDX-License-Identifier: Apache-2.0
"""Text of others as one printable line: what plug-ins say goes to terminals, logs and files of the cache."""

from __future__ import annotations

import re

_MOST, _MOST_OF_A_WORD = 1000, 250
"""Characters."""
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.?)")
"""ECMA-48: control sequences (colours, cursor), operating system commands (titles), and the short ones."""


def one_line(text: str) -> str:
    """The text without escape sequences and line ends; what cannot be printed is a question mark.

    Long words, such as a name of thousands of letters, and long lines lose their middle: the end says what is allowed.
    """
    words = _ESCAPE.sub("", text).split()
    line = " ".join(_without_middle(word, _MOST_OF_A_WORD) for word in words)
    return _without_middle("".join(char if char.isprintable() else "?" for char in line), _MOST)


def _without_middle(text: str, most: int) -> str:
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]}...{text[-end:]}"


def reason(error: BaseException) -> str:
    """Type and message of an exception."""
    try:
        text = str(error)
    except Exception:  # an exception's own mistake
        text = ""
    return one_line(f"{type(error).__name__}: {text}").rstrip(": ")
