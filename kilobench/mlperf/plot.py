# SPDX-License-Identifier: Apache-2.0
"""Cycles per multiply-accumulate, a strip for every benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kilobench.render.colours import COLOURS

_TICKS = (0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)
_MARGIN = 1.05
"""By which the first and the last tick are beyond all points, where there are such ticks."""


@dataclass(frozen=True)
class Point:
    """One result."""

    benchmark: str
    by: str
    """Submitter, or kilobench, which is drawn apart."""
    per_mac: float
    what: str


def strips(points: Sequence[Point], smaller: Sequence[str] = (), ours: str = "kilobench") -> dict[str, Any]:
    """Vega-Lite of a single view: silicon in small marks, a colour for every submitter, ours in large diamonds, by which
    dead channels of the ``smaller`` benchmarks are left out.
    """
    submitters = sorted({point.by for point in points} - {ours})
    colours = [COLOURS[1], *(colour for i, colour in enumerate(COLOURS) if i != 1)]
    domain, ticks = [ours, *submitters], _ticks([point.per_mac for point in points])
    without = [f"Ours leaves out dead channels of {', '.join(smaller)}, others perhaps not."] if smaller else []
    legend = {"title": None, "orient": "bottom", "columns": 4, "labelFontSize": 12, "labelLimit": 0}
    y = {
        "field": "benchmark", "type": "nominal", "title": None, "sort": list(dict.fromkeys(p.benchmark for p in points)),
        "axis": {"labelFontSize": 13, "grid": True, "ticks": False},
    }  # fmt: skip
    x = {
        "field": "per_mac", "type": "quantitative", "title": "cycles per multiply-accumulate (logarithmic)",
        "scale": {"type": "log", "domain": [ticks[0], ticks[-1]], "nice": False}, "axis": {"values": ticks},
    }  # fmt: skip
    own = f"datum.by === '{ours}'"
    return {
        "title": {
            "text": "Cycles on the Cortex-M4 of the NUCLEO-L4R5ZI",
            "subtitle": [
                "Large: kilobench, emulated, with an estimate of its flash; diamonds rounded once, triangles as TFLite.",
                "Small: published for silicon, int8.",
                *without,
            ],
            "anchor": "start",
        },
        "data": {"values": [{**asdict(p), "per_mac": round(p.per_mac, 3)} for p in points]},
        "height": {"step": 44},
        "mark": {"type": "point", "filled": True, "opacity": 0.85},
        "encoding": {
            "x": x,
            "y": y,
            "color": {"field": "by", "type": "nominal", "legend": legend,
                      "scale": {"domain": domain, "range": [colours[i % len(colours)] for i in range(len(domain))]}},
            "shape": {
                "condition": [
                    {"test": f"{own} && indexof(datum.what, 'TFLite') >= 0", "value": "triangle-up"},
                    {"test": own, "value": "diamond"},
                ],
                "value": "circle",
            },
            "size": {"condition": {"test": own, "value": 220}, "value": 70},
        },
    }  # fmt: skip


def _ticks(values: Sequence[float]) -> list[float]:
    """Those of an axis that shows them all."""
    low = max((tick for tick in _TICKS if tick * _MARGIN <= min(values)), default=_TICKS[0])
    high = min((tick for tick in _TICKS if tick >= max(values) * _MARGIN), default=_TICKS[-1])
    return [tick for tick in _TICKS if low <= tick <= high]
