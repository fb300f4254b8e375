# SPDX-License-Identifier: Apache-2.0
"""Pages that are made of something else than records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Page:
    """One that comes ready-made, with one plot; the site draws it as those of classes."""

    name: str
    """Of its file, beside README.md."""
    title: str
    summary: str
    """What it is about, as README.md says it."""
    text: str
    """Markdown; where the plot is, an image ``plots/STEM.svg``."""
    site: str
    """The same with ``<div class="classes" data-family="STEM"></div>`` instead of the image."""
    plot: dict[str, Any]
    """Vega-Lite, of a single view."""

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.removesuffix(".md")
