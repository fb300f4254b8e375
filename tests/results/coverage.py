# SPDX-License-Identifier: Apache-2.0
"""How often the intervals of ``kilobench.results.stats`` cover a known truth: the tables of docs/comparing.md, as Markdown.

    python -m tests.results.coverage [TRIALS]

Every fold, or seed, has an accuracy of its own, drawn from the beta distribution with the truth as its mean and the scatter as
its standard deviation. Results of a sample are alike between seeds and recipes: a model is right where the sum of the sample's
and its own normal number is below a threshold (a Gaussian copula, correlation 0.5), so that every model keeps its accuracy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from kilobench.results.stats import Estimate, paired, places, pooled

TRUTHS = (0.5, 0.8, 0.95, 0.99)
SCATTERS = (0.0, 0.01, 0.02, 0.04, 0.08)
FOLDS = {
    "3 x 80": (80,) * 3,
    "3 x 500": (500,) * 3,
    "5 x 80": (80,) * 5,
    "6 x 500": (500,) * 6,
    "10 x 40": (40,) * 10,
    "10 x 100": (100,) * 10,
    "400, 4 x 25": (400, *(25,) * 4),
    "4 x 400, 25": (*(400,) * 4, 25),
    "20, 40, 80, 160, 320": (20, 40, 80, 160, 320),
    "2 x 200": (200,) * 2,
}
"""Samples of every fold."""
SEEDS = {f"{seeds} seeds x {samples}": (seeds, samples) for seeds in (3, 5, 10, 2) for samples in (100, 400)}
"""Seeds, and samples of their one fold."""
CONTESTS: dict[str, Callable[[int], list[float]]] = {
    "alike": lambda recipes: [0.02] * recipes,
    "one scatters 4 times": lambda recipes: [0.08] + [0.02] * (recipes - 1),
    "half scatter 4 times": lambda recipes: [0.06] * (recipes // 2) + [0.015] * (recipes - recipes // 2),
}
"""How much the models of each recipe scatter in a contest of so many."""
RIVALS = {"3 seeds x 400": ((400,), 3), "5 seeds x 400": ((400,), 5), "6 x 500": ((500,) * 6, 1)}
"""Contests' folds and seeds."""
COMPARED = ("3 x 500", "5 x 80", "6 x 500", "10 x 40", "400, 4 x 25", "4 x 400, 25", "2 x 200")
RARE = ((0.95, 0.08), (0.99, 0.02))
"""Truths and scatters without room: most folds are right about everything, and few are far off."""


def of_folds(sizes: Sequence[int], truth: float, scatter: float, trials: int) -> float:
    """The share of trials in which the interval of ``pooled`` covers the truth; one seed on every fold."""
    random = np.random.default_rng(0)
    counts = random.binomial(sizes, _accuracies(random, truth, scatter, (trials, len(sizes))))
    return float(np.mean([_covers(_pooled(tuple(sizes), tuple(row)), truth) for row in counts.tolist()]))


@lru_cache(maxsize=1 << 18)
def _pooled(sizes: tuple[int, ...], counts: tuple[int, ...]) -> Estimate:
    """It depends on how many samples of a fold are right, not on which."""
    folds = enumerate(zip(sizes, counts, strict=True))
    return pooled({(("digest", fold), 0): np.arange(size) < count for fold, (size, count) in folds})


def of_seeds(seeds: int, samples: int, truth: float, scatter: float, trials: int) -> float:
    """The same of several seeds on one fold."""
    random = np.random.default_rng(1)
    covered = 0
    for accuracies in _accuracies(random, truth, scatter, (trials, seeds)):
        right = _right(random, accuracies, samples)
        covered += _covers(pooled({(("digest", 0), seed): right[seed] for seed in range(seeds)}), truth)
    return covered / trials


def of_differences(
    sizes: Sequence[int], seeds: int, truth: float, scatter: float, trials: int, difference: float = 0.0
) -> tuple[float, float]:
    """The shares of trials in which ``paired`` tells two recipes apart (p < 0.05), and in which its interval covers the truth.

    The second recipe is less accurate by ``difference``; the models of both scatter.
    """
    random = np.random.default_rng(2)
    apart = covered = 0
    a = _accuracies(random, truth, scatter, (trials, len(sizes), seeds))
    b = _accuracies(random, truth - difference, scatter, (trials, len(sizes), seeds))
    for both in np.concatenate([a, b], axis=2):
        recipes: list[dict[tuple[tuple[str, int], int], NDArray[np.bool_]]] = [{}, {}]
        for fold, size in enumerate(sizes):
            for i, right in enumerate(_right(random, both[fold], size)):
                recipes[i // seeds][("digest", fold), i % seeds] = right
        test = paired(*recipes)
        assert test is not None
        apart += test.p < 0.05
        covered += _covers(test.difference, -difference)
    return apart / trials, covered / trials


def of_contests(
    sizes: Sequence[int], seeds: int, scatters: Sequence[float], trials: int, difference: float = 0.0
) -> tuple[float, float]:
    """The share of contests in which ``places`` gives recipes of one accuracy different places, and that of the pairs of recipes
    of different accuracy that have different places.

    Recipes are 80 % right; with a ``difference``, every second one is less accurate by that.
    """
    random = np.random.default_rng(3)
    truths = [0.8 - difference * (i % 2) for i in range(len(scatters))]
    wrong = told = 0
    for _ in range(trials):
        shape = (len(sizes), seeds)
        of = [_accuracies(random, truth, scatter, shape) for truth, scatter in zip(truths, scatters, strict=True)]
        contest: list[dict[tuple[tuple[str, int], int], NDArray[np.bool_]]] = [{} for _ in scatters]
        for fold, size in enumerate(sizes):
            for i, right in enumerate(_right(random, np.concatenate([accuracies[fold] for accuracies in of]), size)):
                contest[i // seeds][("digest", fold), i % seeds] = right
        found = places(contest)
        apart = [(truths[i] == truths[j], found[i] != found[j]) for i, j in combinations(range(len(contest)), 2)]
        wrong += any(equal and other for equal, other in apart)
        different = [other for equal, other in apart if not equal]
        told += float(np.mean(different)) if different else 0.0
    return wrong / trials, told / trials


def _accuracies(
    random: np.random.Generator, truth: float, scatter: float, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Of models: the beta distribution of this mean and standard deviation."""
    if scatter == 0:
        return np.full(shape, truth)
    concentration = truth * (1 - truth) / scatter**2 - 1
    return random.beta(truth * concentration, (1 - truth) * concentration, shape)


def _right(random: np.random.Generator, accuracies: NDArray[np.float64], samples: int) -> NDArray[np.bool_]:
    """[models, samples] of models with these accuracies on the same samples."""
    difficulty = random.standard_normal(samples)
    luck = random.standard_normal((len(accuracies), samples))
    return (difficulty + luck) / np.sqrt(2) < ndtri(accuracies)[:, None]


def _covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def has_room(truth: float, scatter: float) -> bool:
    """Whether models can scatter so much about the truth without a few being far off and all others right about everything."""
    return scatter <= 1 - truth + 1e-9


def _range(shares: Sequence[float]) -> str:
    """In per cent."""
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f}"


def _row(name: str, covered: Callable[[float, float], float]) -> str:
    """Coverage at every truth, from the least to the most over the scatters that have room; and over those that have not."""
    cells = [_range([covered(truth, scatter) for scatter in SCATTERS if has_room(truth, scatter)]) for truth in TRUTHS]
    rare = _range([covered(truth, scatter) for truth, scatter in RARE])
    return f"| {name} | {' | '.join(cells)} | {rare} |"


def _row_of_differences(name: str, sizes: Sequence[int], seeds: int, trials: int) -> str:
    """At every truth, the most false positives, and coverage of no difference and of 5 (at 99 %: 2) points."""
    cells = []
    for truth in TRUTHS:
        scatters = [scatter for scatter in SCATTERS if has_room(truth, scatter)]
        apart, covered = zip(
            *(of_differences(sizes, seeds, truth, scatter, trials) for scatter in scatters), strict=True
        )
        less = 0.05 if truth < 0.99 else 0.02
        others = [of_differences(sizes, seeds, truth, scatter, trials, less)[1] for scatter in scatters]
        cells.append(f"{100 * max(apart):.1f}; {_range([*covered, *others])}")
    return f"| {name} | {' | '.join(cells)} |"


def main(trials: int) -> None:
    """Print the tables."""
    truths = " | ".join(f"{100 * truth:g} %" for truth in TRUTHS)
    print(f"| folds, or seeds | {truths} | rare failures |\n|---|{'---|' * len(TRUTHS)}---|")
    for name, sizes in FOLDS.items():
        print(_row(name, partial(of_folds, sizes, trials=trials)), flush=True)
    for name, (seeds, samples) in SEEDS.items():
        print(_row(name, partial(of_seeds, seeds, samples, trials=trials)), flush=True)
    print(f"\n| folds, or seeds | {truths} |\n|---|{'---|' * len(TRUTHS)}")
    for name in COMPARED:
        print(_row_of_differences(name, FOLDS[name], 1, trials), flush=True)
    for name, (seeds, samples) in SEEDS.items():
        print(_row_of_differences(name, (samples,), seeds, trials), flush=True)
    print(f"\n| recipes, each | {' | '.join(CONTESTS)} | told apart |\n|---|{'---|' * (len(CONTESTS) + 1)}")
    for name, (sizes, seeds) in RIVALS.items():
        for recipes in (4, 8, 16):
            few = max(trials // 4, 1)
            wrong = [of_contests(sizes, seeds, scatters(recipes), few)[0] for scatters in CONTESTS.values()]
            _, told = of_contests(sizes, seeds, CONTESTS["alike"](recipes), max(few // 4, 1), 0.1)
            cells = " | ".join(f"{100 * share:.1f}" for share in [*wrong, told])
            print(f"| {recipes}, {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
