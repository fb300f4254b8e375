# SPDX-License-Identifier: Apache-2.0
"""What kernels and the operators of this package must agree on, read from where it stands: hardware/kernels/kb_kernels.h."""

from __future__ import annotations

import re
from functools import cache

from kilobench.paths import hardware_dir


@cache
def constant(name: str) -> int:
    """The number of a ``#define NAME NUMBER``; raises LookupError if there is none."""
    found = re.search(rf"^#define {name} (\d+)$", (hardware_dir() / "kernels/kb_kernels.h").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"kb_kernels.h defines no number {name}")
    return int(found[1])
