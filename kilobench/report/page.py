# SPDX-License-Identifier: Apache-2.0
"""A report as one page that needs nothing else: no network, no scripts; light or dark as the reader's system is."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from kilobench.record import span
from kilobench.report.facts import Facts, OnBoard
from kilobench.report.text import (
    about,
    at_least,
    count,
    fit,
    how,
    in_ram,
    kib,
    lacking,
    microjoules,
    short_names,
    told_quality,
    waits,
)

_PLOT_WIDTH, _PLOT_HEIGHT = 840.0, 150.0


@dataclass(frozen=True)
class _Bar:
    """A rectangle of the plot of the arena, in its units, and what it says."""

    x: float
    y: float
    width: float
    height: float
    peak: bool
    told: str


def page(facts: Facts) -> str:
    """All of it as HTML."""
    templates = Environment(
        loader=PackageLoader("kilobench.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    bars = _arena(facts)
    return templates.get_template("page.html.j2").render(
        facts=facts,
        about=about(facts),
        names=short_names(facts),
        bars=bars,
        peak=next(bar for bar in bars if bar.peak),
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
        shares=_shares,
        total_macs=sum(facts.macs.values()),
        **{"count": count, "fit": fit, "kib": kib, "how": how, "lacking": lacking, "told_quality": told_quality},
        span=span,
        waits=waits,
        microjoules=microjoules,
        at_least=at_least,
        in_ram=in_ram,
    )


def _arena(facts: Facts) -> list[_Bar]:
    most = max(moment.bytes for moment in facts.moments)
    first = next(index for index, moment in enumerate(facts.moments) if moment.bytes == most)
    width = _PLOT_WIDTH / len(facts.moments)
    return [
        _Bar(
            x=round(index * width, 2),
            y=round(_PLOT_HEIGHT * (1 - moment.bytes / most), 2),
            width=round(0.9 * width, 2),
            height=round(_PLOT_HEIGHT * moment.bytes / most, 2),
            peak=index == first,
            told=f"{', '.join(moment.layers)}: {kib(moment.bytes)} KiB",
        )
        for index, moment in enumerate(facts.moments)
    ]


def _shares(board: OnBoard) -> list[float]:
    """Of a board's time, for every layer, in percent."""
    taken = board.layer_cycles_flash or board.layer_cycles
    total = sum(taken) or 1
    return [100 * cycles / total for cycles in taken]
