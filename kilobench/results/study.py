# SPDX-License-Identifier: Apache-2.0
"""What records say of the claims of arXiv 2108.06128 (``claims``).

Accuracies are compared within a contest alone: the same data, steps and, at a budget, flash; of one task, network and budget in
the contest with the most steps. Verdicts are made of at least three seeds or folds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from kilobench.plugins.spec import parse
from kilobench.results import stats
from kilobench.results.budgets import on_own_board
from kilobench.results.claims import FEW, IMAGES, PUBLISHED, SOUND, STUDY_TRAINING, Published
from kilobench.results.contest import CONTEST, shown_budget
from kilobench.results.rows import Row, Rows, distinct, enough, grouped, in_order, is_missing
from kilobench.results.stats import SIGNIFICANT, Estimate, holm, paired, usual_scatter
from kilobench.results.table import CURVE, class_curves, families, methods

XNOR, PRUNED, INT8, FULL = "xnor", "prune+int8", "int8", "full"
RECIPES = (FULL, INT8, PRUNED, XNOR, f"{XNOR}[layout=study]")
"""The study's."""
HOLDS, ONLY, DOES_NOT, NOT_TOLD, NOT_MEASURED = (
    "holds",
    "holds only",
    "does not hold",
    "not told yet",
    "not measured yet",
)
ALIKE = 0.03
"""Two accuracies are about the same where the interval of their difference leaves no larger loss."""


NEARLY = 0.75
"""Of its contests a recipe is first in so many at least to be named beside the best, for its speed."""


@dataclass(frozen=True)
class Verdict:
    """On a claim."""

    word: str
    why: str
    """All cases by name."""
    tally: str = field(default="", compare=False)
    """How many of them, where they were counted."""


@dataclass(frozen=True)
class Case:
    """One contest, curve or network that a claim is about."""

    label: str
    holds: bool | None
    """None where no test tells."""


@dataclass(frozen=True)
class Duel:
    """An XNOR-Net and another recipe of the same contest."""

    xnor: Row
    other: Row
    difference: Estimate
    """Accuracy of the XNOR-Net less that of the other."""
    p: float
    """That they are equally accurate, corrected for all duels of several trainings that were looked at beside; else 1."""

    @property
    def ahead(self) -> bool | None:
        """Whether the XNOR-Net is the more accurate; None where that is not told."""
        return self.difference.mean > 0 if self.p < SIGNIFICANT and self.enough else None

    @property
    def about_equal(self) -> bool | None:
        """Whether the XNOR-Net is about as accurate, or more; None where neither is told: it may be worse by more than ALIKE."""
        if self.ahead is not None:
            return self.ahead
        return True if self.enough and self.difference.low > -ALIKE else None

    @property
    def enough(self) -> bool:
        """Of several trainings, or folds, each."""
        return enough(self.xnor) and enough(self.other)

    @property
    def main(self) -> bool:
        """Of the XNOR-Net that verdicts are about: the one that keeps its stem, which is kinder to it than the study's layout."""
        return bool(self.xnor["recipe"] == XNOR)

    @property
    def label(self) -> str:
        """Of its contest."""
        return labelled(self.xnor)


def labelled(row: Row) -> str:
    """What tells a contest from all others that are judged: network, task and budget."""
    budget = f" at {shown_budget(row['budget'], row['board'])}" if row["budget"] else ""
    return f"{row['network']} on {row['task']}{budget}"


def judged(cases: Sequence[Case], lacking: str, undecided: str = "tests need more seeds or folds") -> Verdict:
    """What follows from all cases of a claim.

    ``lacking`` says what there would have to be where there are none, ``undecided`` why none tells.
    """
    told = {holds: [case.label for case in cases if case.holds is holds] for holds in (True, False, None)}
    yes, no, ties = (", ".join(told[holds]) for holds in (True, False, None))
    open_ones = f"; not told for {ties}" if ties else ""
    words = {True: "yes", False: "no", None: "not told"}
    tally = ", ".join(f"{len(labels)} {words[holds]}" for holds, labels in told.items() if labels)
    if not cases:
        return Verdict(NOT_MEASURED, lacking)
    if not (yes or no):
        return Verdict(NOT_TOLD, f"{undecided} for {ties}", tally)
    if not no and not ties:
        return Verdict(HOLDS, f"for {yes}", tally)
    if not yes:
        return Verdict(DOES_NOT, f"for {no}{open_ones}", tally)
    return Verdict(ONLY, f"for {yes}{f'; not for {no}' if no else ''}{open_ones}", tally)


def is_xnor(row: Row) -> bool:
    """XNOR-Net and nothing else."""
    return methods(row["recipe"]) == [XNOR]


# Accuracies in contests


def contests(rows: Rows) -> list[Rows]:
    """Ranked rows of a task, network and budget: on one board those with the most steps, with XNOR-Nets among them."""
    ranked = on_own_board([row for row in rows if row["place"] is not None])
    found = []
    for _, group in grouped(ranked, "task", "network", "budget"):
        some = [contest for _, contest in in_order(group, *CONTEST, "board") if any(map(is_xnor, contest))]
        if some:
            found.append(max(some, key=lambda contest: (contest[0]["steps"], len(contest))))
    return found


def duels(found: Iterable[Rows], others: Sequence[str] = ()) -> list[Duel]:
    """Every XNOR-Net of every contest against the first of ``others`` that there is, and else the reference of the contest."""
    tested = []
    for contest in found:
        by_recipe, usual = {row["recipe"]: row for row in contest}, usual_scatter([row["results"] for row in contest])
        names = others or (contest[0]["reference"],)
        if other := next((by_recipe[name] for name in names if name in by_recipe), None):
            xnors = [row for row in contest if is_xnor(row)]
            tested += [(row, other, paired(other["results"], row["results"], usual)) for row in xnors]
    told = [Duel(xnor, other, test.difference, test.p) for xnor, other, test in tested if test]
    corrected = iter(holm([duel.p for duel in told if duel.enough]))
    return [replace(duel, p=next(corrected) if duel.enough else 1.0) for duel in told]


def few_cases(found: Iterable[Duel]) -> list[Case]:
    """Whether the XNOR-Net is about as accurate as the reference, where there are few classes."""
    return [Case(duel.label, duel.about_equal) for duel in found if duel.main and duel.xnor["classes"] <= FEW]


def space_cases(found: Iterable[Duel]) -> list[Case]:
    """Whether the pruned network is the more accurate."""
    return [Case(duel.label, None if duel.ahead is None else not duel.ahead) for duel in found if duel.main]


@dataclass(frozen=True)
class Curve:
    """XNOR-Net against pruning, and against the reference, as classes grow."""

    name: str
    """Data set, network and budget."""
    family: str
    pruned: tuple[Duel, ...]
    reference: tuple[Duel, ...]
    """Both by the number of classes."""

    @property
    def steps(self) -> float:
        """That every recipe was trained for."""
        return float(self.pruned[0].xnor["steps"])

    @property
    def label(self) -> str:
        """Of one length of training."""
        return f"{self.name}, {self.steps:.0f} steps"

    def at(self, classes: float) -> Estimate:
        """Accuracy of the XNOR-Net less that of the pruned network by the line: of least squares through all differences, over
        the logarithm of the classes.
        """
        return self._sum(self._weights(classes))

    @property
    def lost(self) -> Estimate:
        """What the XNOR-Net lost on pruning from the fewest to the most classes, by the line; of two, the difference of both."""
        first, last = map(self._weights, self.ends)
        return self._sum([a - b for a, b in zip(first, last, strict=True)])

    @property
    def ends(self) -> tuple[int, int]:
        """The fewest and the most classes."""
        return self.pruned[0].xnor["classes"], self.pruned[-1].xnor["classes"]

    def _weights(self, classes: float) -> list[float]:
        """Of every difference in the value of the line."""
        logs = [math.log(duel.xnor["classes"]) for duel in self.pruned]
        mean = sum(logs) / len(logs)
        scale = (math.log(classes) - mean) / sum((x - mean) ** 2 for x in logs)
        return [1 / len(logs) + scale * (x - mean) for x in logs]

    def _sum(self, weights: Iterable[float]) -> Estimate:
        """Of the differences with weights. Its interval is made of theirs, as of independent figures: MOVER, Zou, Huang and
        Zhang, Comput. Statist. Data Anal. 53, 2009.
        """
        total = below = above = 0.0
        for weight, duel in zip(weights, self.pruned, strict=True):
            mean, low, high = (weight * getattr(duel.difference, name) for name in ("mean", "low", "high"))
            total += mean
            below += (mean - min(low, high)) ** 2
            above += (max(low, high) - mean) ** 2
        return Estimate(total, total - math.sqrt(below), total + math.sqrt(above))

    @property
    def holds(self) -> bool | None:
        """Whether XNOR-Net falls behind pruning as classes grow; None where that is not told.

        All is told by the line, which more numbers of classes make no harder, as a correction for many tests would. That pruning
        leads at the most classes alone is not enough, as more classes have more test inputs, which tell more.
        """
        last = self.at(self.ends[1])
        if self.lost.low > 0 and last.high < 0:
            return True
        return False if self.lost.high < ALIKE or last.low > 0 else None

    @property
    def change(self) -> tuple[int, int, int] | None:
        """At how many classes pruning takes over, with the ends of the interval: where the line is 0, or may be, from the fewest
        to the most that were measured. None where it does not ``holds``, or pruning leads from the start.
        """
        first, last = self.ends
        if not self.holds or self.at(first).high < 0:
            return None
        band = {classes: self.at(classes) for classes in range(first, last + 1)}
        middle, low, high = (
            next(classes for classes, one in band.items() if getattr(one, name) < 0) for name in ("mean", "low", "high")
        )
        return middle, low, high

    @property
    def said(self) -> str:
        """Where the order changes."""
        first, last = self.ends
        start, lost = self.at(first), _in_points(self.lost)
        lead = Estimate(-start.mean, -start.high, -start.low)
        leads = f"pruning leads from the start, at {first} classes by {_in_points(lead)}" if start.high < 0 else ""
        if self.change:
            return "pruning takes over at {} classes ({} to {})".format(*self.change) + f": XNOR falls behind by {lost}"
        if self.holds:
            return f"{leads}, and XNOR falls behind by {lost}"
        if self.at(last).low > 0:
            rest = f"XNOR leads at {last} classes, by {_in_points(self.at(last))}"
        elif self.holds is False:
            rest = f"XNOR does not fall behind as classes grow ({lost})"
        elif self.at(last).high < 0:
            but = "" if leads else f"pruning leads at {last} classes, but "
            rest = f"{but}whether XNOR fell behind from {first} on is not told ({lost})"
        else:
            rest = f"no change is told from {first} to {last} classes"
        return "; ".join(filter(None, (leads, rest)))


def _in_points(estimate: Estimate) -> str:
    mean, low, high = (100 * getattr(estimate, name) for name in ("mean", "low", "high"))
    return f"{mean:.1f} points, {low:+.1f} to {high:+.1f}"


def curves(rows: Rows) -> list[Curve]:
    """Of every data set that was measured on equal terms with several numbers of classes, by XNOR-Net and by pruning.

    Of one data set, network and budget those with the most steps come first.
    """
    found = []
    for family in families(rows):
        joined = [row for row in class_curves(rows, family) if row["joined"]]
        made = [_curve(family, curve) for _, curve in grouped(joined, *CURVE)]
        found += sorted((one for one in made if len(one.pruned) > 1), key=lambda one: (one.name, -one.steps))
    return found


def _curve(family: str, rows: Rows) -> Curve:
    points = [contest for _, contest in grouped(rows, "classes")]
    pruned, reference = (tuple(duel for duel in duels(points, others) if duel.main) for others in ((PRUNED,), ()))
    first = rows[0]
    budget = f" at {shown_budget(first['budget'], first['board'])}" if first["budget"] else ""
    return Curve(f"{family}, {first['network']}{budget}", family, pruned, reference)


def curve_cases(found: Iterable[Curve]) -> list[Case]:
    """Whether pruning takes over as classes grow beyond FEW, in the longest training of each."""
    longest: dict[str, Curve] = {}
    for curve in found:
        if curve.ends[1] > FEW:
            longest.setdefault(curve.name, curve)
    return [Case(f"{curve.label} ({curve.said})", curve.holds) for curve in longest.values()]


def kind(row: Row) -> str:
    """Of the inputs of a row's task: sound, images, or nothing where that is not known."""
    name = parse(row["task"]).name
    return "sound" if name in SOUND else "images" if name in IMAGES else ""


def by_kind(against_reference: Sequence[Duel], against_pruned: Sequence[Duel]) -> dict[str, dict[str, list[Case]]]:
    """By the name of what is asked, and by kind: the contests of that kind alone."""
    asked = {
        "XNOR about as accurate as the reference, with few classes": (few_cases, against_reference),
        "pruning more accurate than XNOR": (space_cases, against_pruned),
    }
    return {
        question: {which: cases([duel for duel in found if kind(duel.xnor) == which]) for which in ("sound", "images")}
        for question, (cases, found) in asked.items()
    }


def kind_cases(asked: Mapping[str, Mapping[str, Sequence[Case]]]) -> list[Case]:
    """Whether sound and images have the same answers; None where they have some in common and some not, or have none."""
    found = []
    for question, kinds in asked.items():
        sound, images = ({case.holds for case in cases} - {None} for cases in kinds.values())
        answer = True if sound == images else None if sound & images else False
        found.append(Case(question, answer if sound and images else None))
    return found


# Accuracies of the full-size networks


@dataclass(frozen=True)
class Checked:
    """A published accuracy, and the row that is about the same network."""

    published: Published
    row: Row | None

    @property
    def shown(self) -> Estimate | None:
        """Of ten windows a clip where that was measured, with the interval of the one window around it."""
        if self.row is None:
            return None
        crops = self.row["accuracy"] if is_missing(self.row["crops"]) else self.row["crops"]
        return Estimate(crops, *(min(1.0, self.row[end] + crops - self.row["accuracy"]) for end in ("low", "high")))

    @property
    def as_the_study(self) -> bool:
        """Trained by its own settings."""
        return self.row is not None and self.row["training"].split(",")[0] == STUDY_TRAINING

    @property
    def case(self) -> Case:
        """Reached, or not although trained as the study says; what was trained otherwise and is not as good tells nothing."""
        label = f"{self.published.title} on {self.published.task}"
        if self.shown is None or self.row is None:
            return Case(label, None)
        if enough(self.row) and self.shown.high >= self.published.accuracy:
            return Case(label, True)
        return Case(label, False if self.as_the_study and self.shown.high < self.published.accuracy else None)


def checked(rows: Rows) -> list[Checked]:
    """All published accuracies, each with the row of the most steps that has a place on its task."""
    found = []
    for one in PUBLISHED:
        of = [row for row in rows if (row["task"], row["built"], row["recipe"]) == (one.task, one.network, FULL)]
        ranked = [row for row in of if row["place"] is not None]
        found.append(Checked(one, max(ranked, key=lambda row: row["steps"], default=None)))
    return found


# The answer


@dataclass(frozen=True)
class Standing:
    """How a recipe did at equal flash and steps."""

    recipe: str
    first: int
    """Contests in which it is the most accurate of the study's recipes, or not told from it."""
    contests: int
    """That it is in."""


@dataclass(frozen=True)
class Answer:
    """Who wins at equal flash and equal steps."""

    best: Standing
    others: tuple[Standing, ...]
    """Of XNOR-Net and pruning, those that are not the best."""
    cycles: Mapping[str, float]
    """The median of the best's cycles divided by those of the others."""
    ahead: tuple[tuple[str, str], ...]
    """Contests in which other methods are ahead of the best, and the most accurate there."""
    tasks: int
    data_sets: int
    """Of these tasks: those of a data set, which differ in their classes or voices, share many of their inputs."""
    steps: tuple[float, float]
    budgets: tuple[str, ...]

    @property
    def faster(self) -> str:
        """Which of the others takes fewer cycles, and is nearly as often first; of several the fastest, of none nothing."""
        near = [
            one.recipe
            for one in self.others
            if self.cycles.get(one.recipe, 0) > 1 and one.first >= NEARLY * one.contests
        ]
        return max(near, key=lambda name: self.cycles[name], default="")


def answer(rows: Rows) -> Answer | None:
    """Over the ``contests`` at budgets, of several seeds or folds; None where there are none.

    In each contest the recipes that the study speaks of are placed among themselves: a further method, which few contests have,
    changes nothing of how they compare, and is named where it is ahead. Which are placed does not depend on other contests; the
    best is one of those that most contests have.
    """
    found = [contest for contest in map(_enough_of, contests(rows)) if contest and contest[0]["budget"]]
    by_recipe = [{row["recipe"]: row for row in contest} for contest in found]
    standings = [one for one in _standings((INT8, PRUNED, XNOR, FULL), by_recipe) if 2 * one.contests > len(found)]
    if not standings:
        return None
    most = max(one.first / one.contests for one in standings)
    leaders = [one.recipe for one in standings if one.first / one.contests == most]
    # Of equal ones that which takes the fewest cycles beside each of the others.
    best = min(leaders, key=lambda name: max(_cycles(by_recipe, name, other) for other in leaders))
    rivals = [one for one in standings if one.recipe in {INT8, PRUNED, XNOR} - {best}]
    cycles = {one.recipe: _cycles(by_recipe, best, one.recipe) for one in rivals}
    tasks = {contest[0]["task"] for contest in found}
    return Answer(
        best=next(one for one in standings if one.recipe == best),
        others=tuple(rivals),
        cycles={name: ratio for name, ratio in cycles.items() if not math.isnan(ratio)},
        ahead=tuple(
            (labelled(leader), leader["recipe"])
            for contest, one in zip(found, by_recipe, strict=True)
            if best in one and one[best]["place"] > (leader := max(contest, key=lambda row: row["accuracy"]))["place"]
        ),
        tasks=len(tasks),
        data_sets=len({parse(task).name for task in tasks}),
        steps=(min(contest[0]["steps"] for contest in found), max(contest[0]["steps"] for contest in found)),
        budgets=tuple(sorted({shown_budget(contest[0]["budget"], contest[0]["board"]) for contest in found})),
    )


def _enough_of(contest: Rows) -> Rows:
    """The rows of a contest of which there are enough trainings; none where fewer than two have them."""
    found = [row for row in contest if enough(row)]
    return found if len(found) > 1 else []


def _standings(names: Sequence[str], contests: Sequence[Mapping[str, Row]]) -> list[Standing]:
    """Of some recipes, placed among themselves."""
    places: dict[str, list[int | None]] = {name: [] for name in names}
    for contest in contests:
        there = [name for name in names if name in contest]
        for name, place in zip(there, stats.places([contest[name]["results"] for name in there]), strict=True):
            places[name].append(place)
    return [Standing(name, found.count(1), len(found)) for name, found in places.items()]


def _cycles(contests: Sequence[Mapping[str, Row]], one: str, other: str) -> float:
    """The median over contests of the cycles of one recipe divided by those of another; NaN where none has both."""
    both = [
        (contest[one]["cycles"], contest[other]["cycles"]) for contest in contests if {one, other} <= contest.keys()
    ]
    return median([a / b for a, b in both if not is_missing(a + b)] or [math.nan])


def places(rows: Rows, few: bool) -> dict[str, tuple[int, int]]:
    """By recipe: in how many contests it has the first place, and in how many it is, with up to FEW classes or with more."""
    held = [contest for contest in map(_enough_of, contests(rows)) if contest]
    found = [contest for contest in held if (contest[0]["classes"] <= FEW) is few]
    recipes = distinct([row for contest in found for row in contest], "recipe")
    there = {name: [row for contest in found for row in contest if row["recipe"] == name] for name in recipes}
    return {name: (sum(row["place"] == 1 for row in some), len(some)) for name, some in there.items()}
