# SPDX-License-Identifier: Apache-2.0
"""The page: reference models in our C, and what was trained here for the same tasks, beside published silicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS, STREAMING
from kilobench.mlperf.plot import Point, strips
from kilobench.mlperf.published import Result, read_published
from kilobench.mlperf.ratios import Ratio, ratios
from kilobench.mlperf.reports import REFERENCE_BOARD, SUITE, Reference, read_references
from kilobench.record import Record
from kilobench.render.markdown import markdown_table, markdown_templates
from kilobench.render.page import Page
from kilobench.results.rows import Row, Rows
from kilobench.results.table import rows_of

TRAINED = {
    "ic01": ("cifar10", "resnet8"),
    "kws01": ("kws", "ds_cnn"),
    "vww01": ("vww", "mobilenet_v1"),
    "ad01": ("ad", "autoencoder"),
}
"""The task and the network here that are those of a benchmark."""
SHORT = {"ic01": "IC", "kws01": "KWS", "vww01": "VWW", "ad01": "AD", STREAMING: "SWW"}
_OURS = "kilobench"
_ROUNDED = {"once": "rounded once", "tflite": "rounded as TFLite"}


@dataclass(frozen=True)
class Entry:
    """One line of a benchmark's table; None for what is not known."""

    board: str
    mhz: float
    cycles: float
    """Of ours with the flash as on the board, where there is a model of it."""
    macs: int
    engine: str
    by: str
    ours: bool = False
    weights: str = "int8"
    quality: float | None = None
    flash_bytes: float | None = None
    ram_bytes: float | None = None
    energy_uj: float | None = None

    @property
    def per_mac(self) -> float:
        """Cycles per multiply-accumulate."""
        return self.cycles / self.macs


def mlperf_pages(output: Path, records: Sequence[Record]) -> list[Page]:
    """The page of the reports in ``output``, or none where there are none, and of the networks of its benchmarks in the records.

    Raises UserError where a report or the published results are not what they should be.
    """
    references = read_references(output / SUITE)
    if not references:
        return []
    tasks = {task for task, _ in TRAINED.values()}
    rows = rows_of([record for record in records if record.task in tasks])
    return [mlperf_page(references, read_published(), rows)]


def mlperf_page(references: Sequence[Reference], results: Sequence[Result], rows: Rows) -> Page:
    """The page of some reports, of which each benchmark has one that is called as it is."""
    named = {reference.name: reference for reference in references}
    for reference in references:
        if reference.model.benchmark not in named:
            raise UserError(f"{SUITE}: there is a report {reference.name}, but none of {reference.model.benchmark}")
    main = [named[name] for name in SHORT if name in named]
    entries = {one.name: entries_of(one.name, references, results, rows) for one in main}
    left_out = [_left_out(one) for one in main if one.facts.left_out_macs]
    values = {
        "board": REFERENCE_BOARD,
        "summary": markdown_table([_summary(one, entries[one.model.benchmark]) for one in references]),
        "ratios": markdown_table(_ratio_lines([ratio for one in main for ratio in ratios(one, results)])),
        "benchmarks": [_benchmark(one, entries[one.name]) for one in main],
        "toolchains": sorted({board.toolchain for one in references for board in one.facts.boards}),
        "left_out": left_out,
        "inputs": sorted({one.facts.judged.inputs for one in references if one.facts.judged}),
        "rounds": sorted({result.round for result in results}),
    }
    template = markdown_templates("kilobench.mlperf").get_template(f"{SUITE}.md.j2")
    title = "MLPerf Tiny"
    summary = "the reference models in our C and networks trained here beside published results of silicon"
    text, site = (template.render(site=site, **values) for site in (False, True))
    return Page(f"{SUITE}.md", title, summary, text, site, strips(_points(entries), [one["name"] for one in left_out]))


def entries_of(benchmark: str, references: Sequence[Reference], results: Sequence[Result], rows: Rows) -> list[Entry]:
    """All that is known of a benchmark, fewest cycles first; of other reports than that of its name the reference board."""
    own = [reference for reference in references if reference.model.benchmark == benchmark]
    macs = own[0].macs
    published = [
        Entry(
            result.board, result.mhz, result.cycles, macs,
            result.engine, f"{result.submitter}, v{result.round}",
            weights=result.weights, quality=result.quality, energy_uj=result.energy_uj,
        )
        for result in results
        if result.benchmark == benchmark
    ]  # fmt: skip
    here = [
        Entry(
            one.board, one.clock_hz / 1e6, one.cycles_on_board, macs, f"{_OURS}, {_ROUNDED[reference.model.rounding]}",
            one.timing.split()[0], ours=True, quality=reference.quality,
            flash_bytes=one.flash_bytes, ram_bytes=one.ram_bytes,
        )
        for reference in own
        for one in reference.facts.boards
        if one.cycles_on_board and (reference.name == benchmark or one.board == REFERENCE_BOARD)
    ]  # fmt: skip
    trained = [_trained(row) for row in rows if _is_of(row, benchmark)]
    return sorted([*published, *here, *trained], key=lambda entry: (entry.cycles, entry.board, entry.by, entry.engine))


def _is_of(row: Row, benchmark: str) -> bool:
    """Whether a row of the leaderboard is of the task and network of a benchmark: int8, ran, of stated effort, at no budget."""
    task, network = TRAINED.get(benchmark, ("", ""))
    same = row["task"] == task and row["network"].partition("[")[0] == network and row["recipe"] == "int8"
    ranked = row["effort"] > 0 and not row["budget"] and not row["claimed"]
    return bool(same and ranked and row["cycles"] == row["cycles"])


def _trained(row: Row) -> Entry:
    training = f", {row['training']}" if row["training"] else ""
    training += " on part of the data" if row["partial"] else ""
    return Entry(
        row["board"], row["clock_hz"] / 1e6, row["latency_ms"] * row["clock_hz"] / 1000, sum(row["macs"].values()),
        f"{_OURS}, `{row['network']}` trained here{training}", row["timing"].split()[0],
        ours=True, quality=row["accuracy"], flash_bytes=row["flash_bytes"], ram_bytes=row["ram_bytes"],
    )  # fmt: skip


def _benchmark(reference: Reference, entries: Sequence[Entry]) -> dict[str, str]:
    """A section: its heading, and the table."""
    benchmark = reference.model.benchmark
    known = BENCHMARKS.get(benchmark)
    return {
        "name": benchmark,
        "title": f"{known.title if known else 'streaming wake word'} ({SHORT[benchmark]})",
        "quality": "" if known is None else _quality(benchmark, known.target),
        "measure": "area under the ROC curve" if benchmark == "ad01" else "top-1 accuracy",
        "table": markdown_table([_line(entry, benchmark) for entry in entries]),
    }


def _line(entry: Entry, benchmark: str) -> dict[str, str]:
    strong = "**" if entry.ours else ""
    return {
        "c/MAC": f"{strong}{entry.per_mac:.2f}{strong}",
        "Mcycles": _mega(entry.cycles),
        "ms": _ms(1000 * entry.cycles / (1e6 * entry.mhz)),
        "Board": f"{entry.board}, {entry.mhz:g} MHz",
        "Engine": f"{strong}{entry.engine}{strong}" + ("" if entry.weights == "int8" else f", {entry.weights}"),
        "By": entry.by,
        "Quality": "" if entry.quality is None else _quality(benchmark, entry.quality),
        "Flash KiB": "" if entry.flash_bytes is None else f"{entry.flash_bytes / 1024:.1f}",
        "RAM KiB": "" if entry.ram_bytes is None else f"{entry.ram_bytes / 1024:.1f}",
        "Energy µJ": "" if entry.energy_uj is None else f"{entry.energy_uj:.0f}",
    }


def _mega(cycles: float) -> str:
    millions = cycles / 1e6
    return f"{millions:.{1 if millions >= 10 else 2 if millions >= 1 else 3}f}"


def _ms(value: float) -> str:
    return f"{value:.{0 if value >= 1000 else 1 if value >= 10 else 2}f}"


def _quality(benchmark: str, value: float) -> str:
    return f"{value:.2f}" if benchmark == "ad01" else f"{100 * value:.1f} %"


def _left_out(reference: Reference) -> dict[str, str]:
    """How much of a model is not made."""
    return {"name": SHORT[reference.name], "share": f"{100 * reference.facts.left_out_macs / reference.macs:.0f} %"}


def _summary(reference: Reference, entries: Sequence[Entry]) -> dict[str, str]:
    """A report on the reference board, beside the best that is published for it."""
    one = reference.on(REFERENCE_BOARD)
    if one is None or one.cycles is None or one.cycles_on_board is None or one.latency_ms is None:
        raise UserError(f"{SUITE}: the report {reference.name} has no cycles of {REFERENCE_BOARD}")
    published = [entry for entry in entries if entry.board == REFERENCE_BOARD and not entry.ours]
    best = min(published, key=lambda entry: entry.cycles / entry.mhz, default=None)
    return {
        "Benchmark": SHORT[reference.model.benchmark],
        "Rounded": _ROUNDED[reference.model.rounding].removeprefix("rounded "),
        "Quality": _judged(reference),
        "MACs": f"{reference.macs / 1e6:.3g} M",
        "c/MAC, no wait states": f"{one.cycles / reference.macs:.2f}",
        "c/MAC": f"{one.cycles_on_board / reference.macs:.2f}",
        "ms": _ms(one.latency_ms),
        "Best published, ms (c/MAC)": "" if best is None else _best(best),
        "Flash KiB": f"{one.flash_bytes / 1024:.1f}",
        "RAM KiB": f"{one.ram_bytes / 1024:.1f}",
    }


def _judged(reference: Reference) -> str:
    """Quality, of how many inputs, and whether the target is missed."""
    if (found := reference.facts.judged) is None:
        return ""
    missed = ", missed" if found.target is not None and found.quality < found.target else ""
    return f"{_quality(reference.model.benchmark, found.quality)} of {found.count}{missed}"


def _best(entry: Entry) -> str:
    return f"{_ms(entry.cycles / entry.mhz / 1000)} ({entry.per_mac:.2f}): {entry.engine}, {entry.by}"


def _ratio_lines(found: Sequence[Ratio]) -> list[dict[str, str]]:
    boards = dict.fromkeys((ratio.board, ratio.core) for ratio in found)
    lines = []
    for board, core in boards:
        cells = {SHORT[ratio.benchmark]: _ratio(ratio) for ratio in found if ratio.board == board}
        lines.append({"Board": board, "Core": _short(core), **cells})
    return lines


def _short(core: str) -> str:
    """Of cores of Arm, as people say it."""
    return core.removeprefix("cortex-").removesuffix("f").replace("plus", "+").upper()


def _ratio(ratio: Ratio) -> str:
    """Ours, and the span of what is published."""
    low, high = (f"{bound(ratio.published):.2f}" for bound in (min, max))
    where = "in" if ratio.inside else "above" if ratio.ours > ratio.published[0] else "below"
    return f"{ratio.ours:.2f} {where} {low if low == high else f'{low}-{high}'} ({len(ratio.published)})"


def _points(entries: dict[str, list[Entry]]) -> list[Point]:
    """What the plot shows: int8 on the reference board, but for the streaming wake word, which nearly nobody measured."""
    return [
        Point(
            SHORT[name], _OURS if entry.ours else entry.by.split(",")[0], entry.per_mac, f"{entry.engine}; {entry.by}"
        )
        for name, found in entries.items()
        for entry in found
        if name != STREAMING and entry.board == REFERENCE_BOARD and entry.weights == "int8"
    ]
