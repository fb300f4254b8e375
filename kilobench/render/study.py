# SPDX-License-Identifier: Apache-2.0
"""The page of the study's claims: what it says, what records say, and what to do instead."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from kilobench.render import longer
from kilobench.results import claims, ratios, study
from kilobench.results.claims import Claim
from kilobench.results.contest import CONTEST, shown_budget
from kilobench.results.longer import lengths as longer_trained
from kilobench.results.ratios import Levels
from kilobench.results.rows import TOO_FEW, Row, Rows
from kilobench.results.stats import Estimate
from kilobench.results.study import Duel, Verdict
from kilobench.results.table import slug

Lines = list[dict[str, str]]
"""Of a table."""
_WHAT = {
    study.INT8: "make the network narrower and quantise it (`int8`)",
    study.PRUNED: "prune the network and quantise it (`prune+int8`)",
    study.XNOR: "binarise the network (`xnor`)",
    study.FULL: "make the network narrower, in fp32 (`full`)",
}
_AXIS = "points of accuracy, 95 % interval; right of the line XNOR is the more accurate"


@dataclass(frozen=True)
class Point:
    """A mark of a figure."""

    row: str
    series: str
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Figure:
    """Marks in rows, and where the study's claim is."""

    points: tuple[Point, ...]
    title: str
    axis: str
    claimed: float | None
    """None where marks say it."""
    logarithmic: bool = True


@dataclass(frozen=True)
class Answered:
    """A claim and all that is said of it."""

    claim: Claim
    ours: str
    lines: Lines
    verdict: Verdict
    instead: str
    figure: Figure | None = None


def answered(rows: Rows, elsewhere: Rows) -> list[Answered]:
    """All claims, in the order of ``claims.CLAIMS``; ``elsewhere`` are rows of boards on which nobody ran them."""
    everywhere = [*rows, *elsewhere]
    contests = study.contests(rows)
    against_reference = study.duels(contests)
    against_pruned = study.duels([contest for contest in contests if contest[0]["budget"]], (study.PRUNED,))
    return [
        _memory(everywhere),
        _computation(everywhere, contests),
        _eight(against_pruned, everywhere),
        _few(against_reference, rows),
        _many(study.curves(rows), rows),
        _space(against_pruned, rows),
        _kinds(against_reference, against_pruned),
        _accuracies(study.checked(rows)),
    ]


def sentence(found: study.Answer | None) -> str:
    """The answer for somebody with no time."""
    if found is None:
        return "No contest of equal flash and equal training, of three seeds or folds, has an XNOR-Net yet."
    cycles = " and ".join(f"{ratio:.2f} times those of `{name}`" for name, ratio in found.cycles.items())
    takes = f", and its cycles are {cycles} (medians)" if cycles else ""
    others = ", ".join(f"`{one.recipe}` in {one.first} of {one.contests}" for one in found.others)
    steps = " to ".join(dict.fromkeys(f"{count:.0f}" for count in found.steps))
    ahead = ", ".join(f"`{recipe}` for {contest}" for contest, recipe in found.ahead)
    faster = f", or, where time counts too, {_WHAT[found.faster]}" if found.faster else ""
    it = "the former" if faster else "it"
    return (
        f"**To fit a network into little flash, {_WHAT[found.best.recipe]}{faster}**: at equal flash and equal training {it} is "
        f"the most accurate of the study's ways, or tests cannot tell it from the most accurate, in {found.best.first} of "
        f"{found.best.contests} contests{f' ({others})' if others else ''}{takes}. "
        f"{f'Of all methods, ahead of it: {ahead}. ' if ahead else ''}On {found.tasks} task{'s' if found.tasks > 1 else ''} "
        f"of {found.data_sets} data set{'s' if found.data_sets > 1 else ''}, at {' and '.join(found.budgets)}, {steps} steps "
        "each, from three seeds or folds at least."
    )


def page(rows: Rows, elsewhere: Rows, table: Callable[[Lines], str]) -> dict[str, Any]:
    """What the template is given; ``table`` makes Markdown of lines."""
    found = answered(rows, elsewhere)
    summary = [
        {
            "Claim": f"[{one.claim.title}](#{_anchor(one.claim.title)})",
            "The study": one.claim.figure,
            "Here": one.ours,
            "Verdict": f"**{one.verdict.word}**: {one.verdict.tally or one.verdict.why}",
        }
        for one in found
    ]
    return {
        "sentence": sentence(study.answer(rows)),
        "summary": table(summary),
        "claims": [(one, table(one.lines) if one.lines else "") for one in found],
        "longer": table(longer.lines(lengths)) if (lengths := longer_trained(rows)) else "",
    }


def figures(rows: Rows, elsewhere: Rows) -> dict[str, Figure]:
    """By the name of their claim, those that there are points for."""
    return {one.claim.name: one.figure for one in answered(rows, elsewhere) if one.figure and one.figure.points}


def _anchor(title: str) -> str:
    """Of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


# Costs


def _memory(everywhere: Rows) -> Answered:
    pairs = ratios.same_network(everywhere)
    levels = ratios.memory_levels(pairs)
    int8 = ratios.memory_levels(ratios.same_network(everywhere, study.INT8))
    quantised = dict(int8[ratios.PROGRAM])
    lines = {
        ratios.network(small): {
            "Network": _network(small),
            "fp32 weights KiB": f"{full['weights_bytes'] / 1024:.1f}",
            "XNOR weights KiB": f"{small['weights_bytes'] / 1024:.1f}",
            "weights": _times(full["weights_bytes"] / small["weights_bytes"]),
            "fp32 program KiB": f"{full['flash_bytes'] / 1024:.1f}",
            "XNOR program KiB": f"{small['flash_bytes'] / 1024:.1f}",
            "program": _times(full["flash_bytes"] / small["flash_bytes"]),
            "program, `int8`": _times(quantised.get(ratios.network({**small, "recipe": study.INT8}))) or "not run",
        }
        for full, small in reversed(pairs)
    }
    lacking = "no network was measured both in full precision and as XNOR-Net"
    plain = _span(int8[ratios.PROGRAM])
    return Answered(
        claims.MEMORY,
        _levels(levels) or lacking,
        _sorted(list(lines.values())),
        ratios.ratio_verdict(claims.MEMORY, levels, lacking),
        "Reckon with the program: kernels, tables and the layers that stay in 8 bits are in the flash, too."
        + (f" `int8` alone makes the program {plain} smaller." if plain else ""),
        _ratio_figure(levels, "Flash of fp32 divided by that of XNOR", claims.MEMORY.times),
    )


def _computation(everywhere: Rows, contests: Sequence[Rows]) -> Answered:
    pairs = ratios.same_network(everywhere)
    levels = ratios.computation_levels(pairs, contests, everywhere)
    int8 = ratios.computation_levels(ratios.same_network(everywhere, study.INT8))
    lacking = "no network was measured both in full precision and as XNOR-Net"
    names = {ratios.network(small): _network(small) for _, small in pairs}
    names |= {ratios.per_operation(row): f"{_contest(row)} (per operation)" for row, *_ in contests}
    compared = [*((ratios.network(small), full, small) for full, small in pairs), *ratios.at_equal_flash(contests)]
    plain = [f"{_span(found)} on {title}" for title, found in int8.items() if found and title != ratios.BY_ITS_RULE]
    return Answered(
        claims.COMPUTATION,
        _levels(levels) or lacking,
        _by_level(levels, names, ratios.too_large(compared, everywhere), "Network"),
        ratios.ratio_verdict(claims.COMPUTATION, levels, lacking),
        "Measure cycles: 64 binary operations take more than one multiplication, and layers that stay in 8 bits take theirs."
        + (f" `int8` alone is faster than fp32 by {', '.join(plain)}." if plain else ""),
        _ratio_figure(levels, "Operations, and cycles, of fp32 divided by those of XNOR", claims.COMPUTATION.times),
    )


def _eight(against: Sequence[Duel], everywhere: Rows) -> Answered:
    levels = ratios.eight_levels(against, everywhere)
    lacking = f"no contest of equal flash and steps has `{study.PRUNED}` and `{study.XNOR}`"
    names = {duel.label: _contest(duel.xnor) for duel in against}
    compared = [(duel.label, duel.other, duel.xnor) for duel in against if duel.main]
    narrow = _median_cycles([duel for duel in against if duel.main and duel.enough], everywhere)
    plain = (
        ""
        if math.isnan(narrow)
        else f" `{study.INT8}` of the same flash takes {narrow:.2f} times the cycles of `xnor` (median)."
    )
    title = f"Operations, and cycles, of {study.PRUNED} divided by those of XNOR, at equal flash"
    return Answered(
        claims.EIGHT,
        _levels(levels) or lacking,
        _by_level(levels, names, ratios.too_large(compared, everywhere), "Contest"),
        ratios.ratio_verdict(claims.EIGHT, levels, lacking),
        "Say how long an inference may take, beside the flash: `--budget flash=64KiB,latency=100ms`." + plain,
        _ratio_figure(levels, title, claims.EIGHT.times),
    )


def _median_cycles(against: Sequence[Duel], rows: Rows) -> float:
    """Of the plain network of 8 bits divided by those of the XNOR-Net of its contest and board; NaN where there are none."""

    def contest(row: Row) -> tuple[object, ...]:
        return *(row[name] for name in CONTEST), row["board"]

    plain = {contest(row): row["cycles"] for row in rows if row["recipe"] == study.INT8 and row["place"] is not None}
    found = [(plain.get(contest(duel.xnor), math.nan), duel.xnor["cycles"]) for duel in against]
    return median([a / b for a, b in found if not math.isnan(a / b)] or [math.nan])


def _by_level(levels: Levels, names: Mapping[str, str], large: Collection[tuple[str, str]], first: str) -> Lines:
    """A line for every network or contest of which something is known, a column for every level, and why one lacks."""
    known = {level: dict(found) for level, found in levels.items()}

    def cell(level: str, label: str) -> str:
        return _times(known[level].get(label)) or ("does not fit" if (label, level) in large else "no costs")

    there = {label: name for label, name in names.items() if any(label in found for found in known.values())}
    return _sorted([{first: name, **{level: cell(level, label) for level in known}} for label, name in there.items()])


def _ratio_figure(levels: Levels, title: str, claimed: float) -> Figure:
    points = [Point(label, level, times) for level, found in levels.items() for label, times in found]
    return Figure(tuple(points), title, "times (logarithmic); dashed: the study's claim", claimed)


def _levels(levels: Levels) -> str:
    """From the least to the most, by level."""
    return "; ".join(f"{level}: {_span(found)}" for level, found in levels.items() if found)


def _span(found: Iterable[tuple[str, float]]) -> str:
    ratios = [times for _, times in found]
    if not ratios:
        return ""
    ends = dict.fromkeys(f"{end:.1f}" for end in (min(ratios), max(ratios)))
    return f"{' to '.join(ends)}x"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}x"


# Accuracies


def _few(against: Sequence[Duel], rows: Rows) -> Answered:
    few = [duel for duel in against if duel.xnor["classes"] <= claims.FEW]
    lacking = f"no contest of equal steps with at most {claims.FEW} classes has an XNOR-Net and a reference"
    return Answered(
        claims.FEW_CLASSES,
        _counted(few, "its reference") or lacking,
        _duel_lines(few),
        study.judged(study.few_cases(few), lacking),
        _leaders(rows, few=True),
        _duel_figure(few, f"Accuracy of XNOR less that of its reference, at most {claims.FEW} classes"),
    )


def _many(curves: Sequence[study.Curve], rows: Rows) -> Answered:
    lacking = f"no data set has `{study.XNOR}`, `{study.PRUNED}` and a reference at several numbers of classes, on equal terms"
    points = [
        Point(f"{curve.label}: {duel.xnor['classes']} classes", f"XNOR less {name}", *_points(duel.difference))
        for curve in curves
        for name, found in ((study.PRUNED, curve.pruned), ("reference", curve.reference))
        for duel in found
    ]
    return Answered(
        claims.MANY_CLASSES,
        "; ".join(f"{curve.label}: {curve.said}" for curve in curves) or lacking,
        [line for curve in curves for line in _curve_lines(curve)],
        study.judged(study.curve_cases(curves), lacking),
        _leaders(rows, few=False),
        Figure(tuple(points), "Accuracy of XNOR less that of others, as classes grow", _AXIS, 0, False),
    )


def _space(against: Sequence[Duel], rows: Rows) -> Answered:
    lacking = f"no contest of equal flash and steps has `{study.PRUNED}` and `{study.XNOR}`"
    places = {few: study.places(rows, few) for few in (True, False)}
    first, count = (sum(by.get(study.INT8, (0, 0))[i] for by in places.values()) for i in (0, 1))
    plain = (
        f"`{study.INT8}`, neither pruned nor binary, has the first place, alone or shared, in {first} of {count} contests. "
        if count
        else ""
    )
    return Answered(
        claims.SPACE,
        _counted(against, f"`{study.PRUNED}`") or lacking,
        _duel_lines(against),
        study.judged(study.space_cases(against), lacking),
        f"{plain}`kilobench run --budget flash=64KiB` makes each as large as the flash allows before it compares them.",
        _duel_figure(against, f"Accuracy of XNOR less that of {study.PRUNED}, at equal flash"),
    )


def _kinds(against_reference: Sequence[Duel], against_pruned: Sequence[Duel]) -> Answered:
    asked = study.by_kind(against_reference, against_pruned)
    answers = {
        question: {which: study.judged(cases, "no such contest") for which, cases in kinds.items()}
        for question, kinds in asked.items()
    }
    points = [
        Point(duel.label, study.kind(duel.xnor), *_points(duel.difference))
        for duel in against_reference
        if duel.main and study.kind(duel.xnor)
    ]
    return Answered(
        claims.KINDS,
        "; ".join(
            f"{question}: " + ", ".join(f"{which} {one.word}" for which, one in kinds.items())
            for question, kinds in answers.items()
        ),
        [
            {"Question": name, **{which: _verdict(one) for which, one in kinds.items()}}
            for name, kinds in answers.items()
        ],
        study.judged(study.kind_cases(asked), "", "the answers of a kind are open, or differ within it,"),
        "Measure on data of the kind that you have: `kilobench tune` does for a task, a board and a budget.",
        Figure(tuple(points), "Accuracy of XNOR less that of its reference", _AXIS, 0, False),
    )


def _accuracies(checked: Sequence[study.Checked]) -> Answered:
    known = [(one, one.row, one.shown) for one in checked if one.row and one.shown]
    networks = ", ".join(dict.fromkeys(f"`{one.published.network}`" for one in checked))
    best = " and ".join(f"{points:.1f} (`{task}`)" for task, points in claims.BEST_EPOCH.items())
    lacking = f"no ranked record of {networks} on these data sets"
    points = [
        Point(one.case.label, series, *_points(found))
        for one, _, shown in known
        for series, found in (("here", shown), ("the study", Estimate(one.published.accuracy, math.nan, math.nan)))
    ]
    return Answered(
        claims.ACCURACIES,
        f"{len(known)} of {len(checked)} have a record of equal terms" if known else lacking,
        [_accuracy_line(one) for one in checked],
        study.judged([one.case for one, *_ in known], lacking, "trained otherwise, or once, and not as accurate:"),
        "Take the figure of the last epoch, or of one chosen on held-out training data: the best test epoch is not met again. "
        f"Of 60 epochs it was above the last by {best} points, in the mean of three trainings (`benchmarks/best_epoch.py`).",
        Figure(tuple(points), "Accuracy here, and in the study", "accuracy in %, 95 % interval", None, False),
    )


def _accuracy_line(one: study.Checked) -> dict[str, str]:
    line = {
        "Network": one.published.title,
        "Task": one.published.task,
        "The study %": f"{100 * one.published.accuracy:.2f}",
    }
    if one.row is None or one.shown is None:
        return line | {"Here %": f"no ranked record of `{one.published.network}` on it"}
    changed = f", `{one.row['training']}`" if one.row["training"] else ""
    trained = f"{one.row['steps']:.0f} steps, {one.row['folds']} fold(s), {one.row['seeds']} seed(s){changed}"
    link = f"[{one.published.task}](tasks/{slug(one.published.task)}.md)"
    return line | {"Task": link, "Here %": _share(one.shown), "Trained": trained}


def _duel_lines(found: Sequence[Duel]) -> Lines:
    lines = [
        {
            "Contest": _contest(duel.xnor),
            "Classes": f"{duel.xnor['classes']}",
            "Recipe": f"`{duel.xnor['recipe']}`",
            "Accuracy %": _row_share(duel.xnor),
            "Against": f"`{duel.other['recipe']}`",
            "Its accuracy %": _row_share(duel.other),
            "Difference, points (95 %)": _difference(duel),
            "Told": _told(duel),
            "Steps": f"{duel.xnor['steps']:.0f}",
        }
        for duel in found
    ]
    return _sorted(lines)


def _curve_lines(curve: study.Curve) -> Lines:
    references = {duel.xnor["classes"]: duel for duel in curve.reference}
    return [
        {
            "Curve": curve.label,
            "Classes": f"[{duel.xnor['classes']}](classes.md#{_anchor(curve.family)})",
            f"XNOR less `{study.PRUNED}`, points (95 %)": _difference(duel),
            "Told": _told(duel),
            "by the line": _estimate(curve.at(duel.xnor["classes"])),
            "XNOR less reference, points (95 %)": _difference(references[duel.xnor["classes"]])
            if duel.xnor["classes"] in references
            else "no reference",
        }
        for duel in curve.pruned
    ]


def _counted(found: Sequence[Duel], other: str) -> str:
    """Of every recipe of XNOR, in how many contests it is what."""
    told = []
    for recipe in dict.fromkeys(duel.xnor["recipe"] for duel in sorted(found, key=lambda duel: not duel.main)):
        mine = [duel for duel in found if duel.xnor["recipe"] == recipe]
        better, worse = (sum(duel.ahead is answer for duel in mine) for answer in (True, False))
        ends = dict.fromkeys(f"{100 * end(duel.difference.mean for duel in mine):+.1f}" for end in (min, max))
        ties = len(mine) - better - worse
        told.append(
            f"`{recipe}` against {other}: {better} better, {worse} worse, {ties} not told ({' to '.join(ends)} points)"
        )
    return "; ".join(told)


def _leaders(rows: Rows, few: bool) -> str:
    """Which recipes have first places, with few or with many classes."""
    found = study.places(rows, few)
    which = f"up to {claims.FEW}" if few else f"more than {claims.FEW}"
    told = [
        f"`{name}` {first} of {count}" for name, (first, count) in sorted(found.items(), key=lambda one: -one[1][0])
    ]
    if not told:
        return f"Nothing can be said of {which} classes yet."
    return f"First places, alone or shared, with {which} classes: {', '.join(told)}."


def _duel_figure(found: Sequence[Duel], title: str) -> Figure:
    points = [Point(duel.label, duel.xnor["recipe"], *_points(duel.difference)) for duel in found]
    return Figure(tuple(points), title, _AXIS, 0, False)


def _points(difference: Estimate) -> tuple[float, float, float]:
    return 100 * difference.mean, 100 * difference.low, 100 * difference.high


def _difference(duel: Duel) -> str:
    return _estimate(duel.difference) + ("" if duel.enough else TOO_FEW)


def _estimate(difference: Estimate) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*_points(difference))


def _told(duel: Duel) -> str:
    return {True: "more accurate", False: "less accurate", None: "not told" if duel.enough else "too few"}[duel.ahead]


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.mean:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def _row_share(row: Row) -> str:
    return _share(Estimate(row["accuracy"], row["low"], row["high"]))


def _verdict(verdict: Verdict) -> str:
    return f"{verdict.word}: {verdict.tally or verdict.why}"


def _contest(row: Row) -> str:
    """As ``study.labelled``, with a link."""
    budget = f" at {shown_budget(row['budget'], row['board'])}" if row["budget"] else ""
    return f"`{row['network']}` on {_task(row)}{budget}"


def _network(row: Row) -> str:
    recipe = "" if row["recipe"] == study.XNOR else f", `{row['recipe']}`"
    return f"`{row['built']}` on {_task(row)}{recipe}"


def _task(row: Row) -> str:
    return f"[{row['task']}](tasks/{slug(row['task'])}.md)"


def _sorted(lines: Lines) -> Lines:
    """By their first cells."""
    return sorted(lines, key=lambda line: natural(next(iter(line.values()))))


def natural(text: str) -> list[tuple[int, str]]:
    """What to sort texts by so that ``classes=20`` comes before ``classes=100``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
