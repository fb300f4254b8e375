# SPDX-License-Identifier: Apache-2.0
"""``kilobench compare``: two recipes, or two files or folders of records, on one page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.record import Record
from kilobench.results.contest import BY_AUC, contest_of, incomparable, shown_budget
from kilobench.results.stats import SIGNIFICANT, Paired, Results, holm, paired, pooled, results
from kilobench.results.store import Store


@dataclass(frozen=True)
class Match:
    """The cells of A and B that have everything in common but what is compared; equally many, in the same order."""

    title: str
    a: tuple[Record, ...]
    b: tuple[Record, ...]

    @property
    def evidence(self) -> tuple[tuple[str, str], ...]:
        """What decides of all samples on both sides: equal for models that were measured on several boards."""
        return tuple((_answers(x), _answers(y)) for x, y in zip(self.a, self.b, strict=True))

    @property
    def same(self) -> bool:
        """Whether all that is compared is equal, cell by cell."""

        def figures(r: Record) -> tuple[object, ...]:
            return _answers(r), r.flash_bytes, r.ram_bytes, r.cycles_low, r.cycles, r.cycles_high

        return list(map(figures, self.a)) == list(map(figures, self.b))


@dataclass(frozen=True)
class Matches:
    """All that can be compared, and how many cells only one side has."""

    matches: tuple[Match, ...]
    only_a: int
    only_b: int
    unequal: tuple[str, ...] = ()
    """Why cells that both sides have were not compared, once for each."""


@dataclass(frozen=True)
class Figure:
    """One line of the page."""

    name: str
    texts: tuple[str, str, str]
    """Of A, of B, and of the difference with its interval."""
    verdict: str
    worse: bool


def compare(a: str, b: str, folder: Path, task: str | None = None, board: str | None = None) -> tuple[str, bool]:
    """The page, and whether B is worse than A in anything; see docs/comparing.md for what that means.

    ``a`` and ``b`` are both recipes of the records in ``folder``, or both files or folders of records. Raises UserError where
    they are not there, or have no cell in common.
    """
    found = (
        _of_paths(Path(a), Path(b), task, board)
        if _is_path(a, folder) or _is_path(b, folder)
        else _of_recipes(a, b, folder, task, board)
    )
    differing = [match for match in found.matches if not match.same]
    if judged := [match.a[0].task for match in differing if match.a[0].auc]:
        raise UserError(f"{a} and {b} cannot be compared: {judged[0]} is {BY_AUC}")
    tests = {match.evidence: _test(match) for match in differing}
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    lines, worse = [f"A  {a}", f"B  {b}"], []
    for match in differing:
        figures = [_accuracy(match, tests[match.evidence], corrected[match.evidence], len(tests)), *_costs(match)]
        lines += ["", match.title, *_table(figures)]
        names = [figure.name.split()[0].replace("Mcycles", "cycles") for figure in figures if figure.worse]
        worse += [f"worse in {', '.join(names)}: {match.title.rpartition(';')[0]}"] if names else []
    lines.append("")
    same = len(found.matches) - len(differing)
    if same:
        lines.append(f"the same in all figures: {same} of {len(found.matches)} comparisons")
    for reason, count in Counter(found.unequal).items():
        lines.append(f"not compared: {count} cells, {reason}")
    if found.only_a or found.only_b:
        lines.append(f"not compared: {found.only_a} cells that only A has, {found.only_b} that only B has")
    lines += [f"B is {line}" for line in worse] or ["B is worse in nothing"]
    return "\n".join(lines), bool(worse)


def _answers(record: Record) -> str:
    """Right and wrong ones, or scores."""
    return record.auc.scores if record.auc else record.accuracy.bitmap if record.accuracy else ""


def _is_path(text: str, folder: Path) -> bool:
    """A recipe of the records stays one where a folder is called like it, which is then written ``./int8``."""
    if "/" in text or text.endswith(".json"):
        return True
    return Path(text).exists() and text not in {record.recipe for record in Store(folder).read_all()}


def _of_recipes(a: str, b: str, folder: Path, task: str | None, board: str | None) -> Matches:
    store = Store(folder)
    sides = [store.select(task=task, board=board, recipe=recipe) for recipe in (a, b)]
    found = _matched(sides[0], sides[1], _contest, equal_terms=True)
    if not found.matches and found.unequal:
        raise UserError(f"{a} and {b} cannot be compared: {found.unequal[0]}")
    if not found.matches:
        has = [", ".join(sorted({" ".join(_contest(record)) for record in side})[:3]) for side in sides]
        raise UserError(f"{a} and {b} have no cell in common: {a} has {has[0]}; {b} has {has[1]}")
    return found


def _of_paths(a: Path, b: Path, task: str | None, board: str | None) -> Matches:
    for path in (a, b):
        if not path.exists():
            raise UserError(
                f"no such file or folder: {path} (compare takes two recipes, or two files or folders of records)"
            )
    if a.is_file() and b.is_file():
        one, other = (Store(path.parent).read(path) for path in (a, b))
        if _cell(one) != _cell(other):
            raise UserError(
                f"{a} and {b} were not tested on the same samples: {one.task} fold {one.fold} seed {one.seed}, "
                f"{other.task} fold {other.fold} seed {other.seed}"
            )
        return Matches((Match(_title([one], [other]), (one,), (other,)),), 0, 0)
    if a.is_file() or b.is_file():
        raise UserError(f"{a} and {b} are a file and a folder; give two of the same kind")
    sides = [Store(path).select(task=task, board=board) for path in (a, b)]
    found = _matched(sides[0], sides[1], lambda record: (*_contest(record), record.recipe))
    if not found.matches:
        raise UserError(
            f"{a} and {b} have no cell in common (task, data, network, training, recipe, board, link, toolchain)"
        )
    return found


def _contest(record: Record) -> tuple[str, ...]:
    """What must be equal; of the toolchain only its name, so that its versions can be compared."""
    *same, toolchain = contest_of(record)
    return *map(str, same), record.board, str(toolchain).split()[0]


def _cell(record: Record) -> tuple[int, int, str]:
    """What tells the cells of one comparison, and that they were tested on the same samples."""
    return record.seed, record.fold, record.data_digest


def _title(a: Sequence[Record], b: Sequence[Record]) -> str:
    """What is compared: what both sides have in common, and ``this -> that`` where they differ."""

    def parts(record: Record) -> tuple[str, ...]:
        training = record.training_changes or "its own training"
        effort = "unequal effort" if record.effort is None else f"{sum(record.steps.values())} steps"
        at = f" at {shown_budget(record.budget, record.board)}" if record.budget else ""
        network = f"{record.network}, {record.size}" if record.size.startswith("keep") else record.network
        return record.task, record.recipe, record.board + at, network, training, effort, record.link, record.toolchain

    told = [x if x == y else f"{x} -> {y}" for x, y in zip(parts(a[0]), parts(b[0]), strict=True)]
    settings = [text for text in told[3:] if text and text != "its own training"]
    folds, seeds = len({record.fold for record in a}), len({record.seed for record in a})
    samples = sum({(record.data_digest, record.fold): record.quality.total for record in a}.values())
    return (
        f"{told[0]} {told[1]} on {told[2]}: {', '.join(settings)}; {samples} samples, {folds} fold(s), {seeds} seed(s)"
    )


def _matched(
    a: Sequence[Record], b: Sequence[Record], group: Callable[[Record], tuple[str, ...]], *, equal_terms: bool = False
) -> Matches:
    """Pair the cells of both sides; those of a group are compared together, where asked for under ``equal_terms`` alone."""
    sides = [{(group(record), _cell(record)): record for record in side} for side in (a, b)]
    common = sorted(sides[0].keys() & sides[1].keys())
    reasons = {key: incomparable(sides[0][key], sides[1][key]) if equal_terms else "" for key in common}
    common = [key for key in common if not reasons[key]]
    matches = []
    for key in sorted({key for key, _ in common}):
        pair = [tuple(side[other] for other in common if other[0] == key) for side in sides]
        matches.append(Match(_title(pair[0], pair[1]), pair[0], pair[1]))
    paired_up = len(reasons)
    unequal = tuple(filter(None, reasons.values()))
    return Matches(tuple(matches), len(sides[0]) - paired_up, len(sides[1]) - paired_up, unequal)


def _test(match: Match) -> Paired:
    test = paired(*_sides(match))
    assert test is not None, "cells are matched by data, fold and seed"
    return test


def _sides(match: Match) -> tuple[Results, Results]:
    return results(match.a), results(match.b)


def _accuracy(match: Match, test: Paired, p: float, tests: int) -> Figure:
    a, b = (pooled(side) for side in _sides(match))
    difference = test.difference
    apart = p < SIGNIFICANT
    verdict = ("worse" if difference.mean < 0 else "better") if apart else "not told apart"
    correction = f", corrected for {tests} tests" if tests > 1 else ""
    shown = f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
    texts = (
        f"{100 * a.mean:.1f} ({100 * a.low:.1f}-{100 * a.high:.1f})",
        f"{100 * b.mean:.1f} ({100 * b.low:.1f}-{100 * b.high:.1f})",
        f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})",
    )
    return Figure("accuracy %", texts, f"{verdict} ({shown}{correction})", apart and difference.mean < 0)


def _costs(match: Match) -> list[Figure]:
    pairs = list(zip(match.a, match.b, strict=True))
    flash = [(float(a.flash_bytes), float(b.flash_bytes)) for a, b in pairs]
    ram = [(float(a.ram_bytes), float(b.ram_bytes)) for a, b in pairs]
    return [_cost("flash KiB", flash, 1024, 1, None), _cost("RAM KiB", ram, 1024, 1, None), _cycles(pairs)]


def _cycles(pairs: Sequence[tuple[Record, Record]]) -> Figure:
    """Compared only where all were run."""
    figures = [
        ((a.cycles, a.cycles_low, a.cycles_high), (b.cycles, b.cycles_low, b.cycles_high))
        for a, b in pairs
        if a.cycles and a.cycles_low and a.cycles_high and b.cycles and b.cycles_low and b.cycles_high
    ]
    if len(figures) < len(pairs):
        a, b = ("run" if all(record.cycles for record in side) else "not run" for side in zip(*pairs, strict=True))
        return Figure("Mcycles", (a, b, ""), "too large to run", False)
    cycles = [(float(a), float(b)) for (a, _, _), (b, _, _) in figures]
    noise = [(float(low - highest), float(high - lowest)) for (_, lowest, highest), (_, low, high) in figures]
    emulated = all(record.link == "emulator" for pair in pairs for record in pair)
    return _cost("Mcycles", cycles, 1e6, 2, None if emulated else noise)


def _cost(
    name: str,
    pairs: Sequence[tuple[float, float]],
    unit: float,
    digits: int,
    noise: Sequence[tuple[float, float]] | None,
) -> Figure:
    """Means over the cells; the least and the greatest difference of a cell, where they differ.

    Figures are exact unless ``noise`` gives the range of every cell's difference; then more is only what is more throughout.
    """
    a, b = (math.fsum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    ranges = noise or [(y - x, y - x) for x, y in pairs]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    shown = f"{(b - a) / unit:+.{digits}f}, {100 * (b - a) / a:+.1f} %"
    if low != high:
        shown += f" ({low / unit:+.{digits}f} to {high / unit:+.{digits}f})"
    change = b - a if noise is None else (low if low > 0 else min(high, 0.0))
    verdict = "more" if change > 0 else "less" if change < 0 else "same" if noise is None else "not told apart"
    return Figure(name, (f"{a / unit:.{digits}f}", f"{b / unit:.{digits}f}", shown), verdict, change > 0)


def _table(figures: Sequence[Figure]) -> list[str]:
    rows = [("", "A", "B", "B - A", ""), *((figure.name, *figure.texts, figure.verdict) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(
            (row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3].ljust(widths[3]), row[4])
        ).rstrip()
        for row in rows
    ]
