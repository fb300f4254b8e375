# SPDX-License-Identifier: Apache-2.0
"""Statistics of accuracies: intervals, paired tests, places, Pareto fronts.

What varies. A model's correctness varies from test sample to test sample, and from model to model: every fold has a model of
its own, on samples (speakers, recordings) of its own, and every seed another model on the same samples. Results of one fold
are therefore alike, and counting all samples of all folds as if they were independent makes intervals too narrow: simulated
folds whose accuracies scatter by 4 points are covered by Wilson's "95 %" interval over 5 x 500 samples 58 % of the time, and
McNemar's test over pooled samples tells equal recipes apart in up to half of all trials. A bootstrap that resamples folds covers
86 % with five of them, too, as it takes the few folds for the whole population (Cameron, Gelbach and Miller, Rev. Econ. Stat.
90, 2008). What is used here, without random numbers:

- one fold, one seed: Wilson's score interval; McNemar's exact test;
- several folds: the scatter of the folds' means, with Student's t on folds - 1 degrees of freedom (Cameron and Miller, J. Human
  Resources 50, 2015), in Wilson's form for a share (Korn and Graubard, Survey Methodology 24, 1998);
- several seeds on one fold: samples and seeds are crossed, and the variance is the sum of that over samples and that over seeds
  (Owen, Ann. Appl. Stat. 1, 2007, for why the sum is on the safe side), degrees of freedom by Satterthwaite (Biometrics 2, 1946).

Training sets of cross-validation overlap, which no estimate from one round of it can make good for (Bengio and Grandvalet, JMLR
5, 2004). With one fold and one seed, a statement is about these two trained models, not about other trainings of the same recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammaln, ndtri, stdtr, stdtrit

from kilobench.record import Record, correctness, wilson

T = TypeVar("T", np.bool_, np.int64)

SIGNIFICANT = 0.05
"""Two recipes are told apart where the p-value, corrected for many comparisons, is below."""

Index = NDArray[np.intp]

Part = tuple[str, int]
"""What was tested on: data digest with the number of samples, and fold.

The digest also tells a validation part from the test fold.
"""
Results = Mapping[tuple[Part, int], NDArray[np.bool_]]
"""Correctness of every test sample, by part and seed."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; shares of 1."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Two recipes on the same samples."""

    difference: Estimate
    """Accuracy of the second less that of the first."""
    p: float
    """Two-sided, that they are equally accurate."""
    samples: int
    """Different ones."""


def results(records: Iterable[Record]) -> Results:
    """Of one recipe on one board."""
    return {((f"{r.data_digest} of {r.accuracy.total}", r.fold), r.seed): correctness(r.accuracy) for r in records}


def pooled(results: Results) -> Estimate:
    """The accuracy over all folds and seeds: the mean of the seeds, samples counted once (see the module's docstring)."""
    groups = _groups(results)
    means = np.concatenate([group.mean(0) for group in groups])
    share, total = float(means.mean()), len(means)
    variance, degrees = _scatter(groups)
    if variance == 0 or share in (0, 1):
        return Estimate(share, *wilson(share * total, total))
    effective = share * (1 - share) / variance
    return Estimate(share, *wilson(share * effective, effective, float(stdtrit(degrees, 0.975))))


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that two models are equally right on the same samples (McNemar, Psychometrika 12, 1947)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def sign_flips(differences: NDArray[np.int64]) -> float:
    """Two-sided exact p-value that differences are symmetric about 0, from the sum under all changes of their signs.

    For differences of -1, 0, 1 it is McNemar's test. Over several seeds a sample's difference is the sum over the seeds, so that
    its results, which are alike, count as one observation (Fisher's randomisation test, The Design of Experiments, 1935).
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    return _sign_flips(tuple(zip(sizes.tolist(), counts.tolist(), strict=True)), abs(int(differences.sum())))


@lru_cache(maxsize=1 << 16)
def _sign_flips(sizes: tuple[tuple[int, int], ...], total: int) -> float:
    """The same of how many differences have which size, and the size of their sum."""
    distribution = np.ones(1)
    for size, count in sizes:
        k = np.arange(count + 1)
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = np.exp(gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1) - count * math.log(2))
        distribution = np.convolve(distribution, spread)
    sums = np.arange(len(distribution)) - len(distribution) // 2
    return min(1.0, float(distribution[np.abs(sums) >= total].sum()))


def paired(a: Results, b: Results) -> Paired | None:
    """Compare two recipes on the parts and seeds that both were tested with; None where there are none.

    p is the larger of two: that of the exact test over the samples (``sign_flips``: McNemar's), and, with several folds or
    seeds, that of Student's t over these. So a difference must exceed both the chance of the samples and the scatter from model
    to model; simulated, equal recipes are told apart in at most 6 % of all trials, however much their folds scatter. The
    interval is likewise the wider of two: Agresti and Min's for paired shares (Statist. Med. 24, 2005) and that of the t-test.
    """
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return None
    groups = _groups({key: b[key].astype(np.int64) - a[key] for key in shared})
    means = np.concatenate([group.mean(0) for group in groups])
    p = sign_flips(np.concatenate([group.sum(0) for group in groups]))
    total, mean = len(means), float(means.mean())
    # Agresti and Min: half a pseudo-sample in each of the four cells of agreement, two of which disagree.
    shrunk = mean * total / (total + 2)
    variance = (((means**2).sum() + 1) / (total + 2) - shrunk**2) / (total + 2)
    half = float(ndtri(0.975)) * math.sqrt(variance)
    low, high = min(mean, shrunk - half), max(mean, shrunk + half)
    variance, degrees = _scatter(groups)
    if math.isfinite(degrees):
        half = float(stdtrit(degrees, 0.975)) * math.sqrt(variance)
        low, high = min(low, mean - half), max(high, mean + half)
        p = max(p, 2 * float(stdtr(degrees, -abs(mean) / math.sqrt(variance)))) if variance else p
    return Paired(Estimate(mean, max(-1.0, low), min(1.0, high)), p, total)


def _groups(results: Mapping[tuple[Part, int], NDArray[T]]) -> list[NDArray[T]]:
    """Per part (fold) an array [seeds, samples]."""
    parts = sorted({part for part, _ in results})
    seeds = {part: sorted(seed for other, seed in results if other == part) for part in parts}
    return [np.stack([results[part, seed] for seed in seeds[part]]) for part in parts]


def _scatter(groups: Sequence[NDArray[T]]) -> tuple[float, float]:
    """Variance of the mean over all samples, and its degrees of freedom; see the module's docstring."""
    means = [group.mean(0) for group in groups]
    everything = np.concatenate(means)
    total, folds, seeds = len(everything), len(groups), len(groups[0])
    if folds > 1:
        sums = np.array([(mean - everything.mean()).sum() for mean in means])
        return float(folds / (folds - 1) * (sums**2).sum() / total**2), folds - 1
    over_samples = float(everything.var() / total)
    if seeds == 1:
        return over_samples, math.inf
    over_seeds = float(groups[0].mean(1).var(ddof=1) / seeds)
    variance = over_samples + over_seeds
    if variance == 0:
        return 0.0, seeds - 1
    return variance, variance**2 / (over_samples**2 / max(total - 1, 1) + over_seeds**2 / (seeds - 1))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for all of them being looked at (Holm, Scand. J. Statist. 6, 1979)."""
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return corrected


def places(contest: Sequence[Results]) -> list[int | None]:
    """The place of every recipe of a contest: 1 + the number of recipes that are better; equal places are ties.

    Better: significantly more accurate (``paired``, Holm's correction over all pairs of the contest), itself or through others:
    if A beats B and B beats C, then A is better than C. This makes places transitive: of two recipes with the same place,
    neither beats the other. None for a recipe that was not tested on all folds of the one with the most results.
    """
    if not contest:
        return []
    most = max(contest, key=lambda results: sum(map(len, results.values())))
    parts = {part for part, _ in most}
    ranked = [i for i, one in enumerate(contest) if {part for part, _ in one.keys() & most.keys()} == parts]
    pairs = [(ranked[i], ranked[j]) for i, j in combinations(range(len(ranked)), 2)]
    tests = all_pairs([contest[i] for i in ranked])
    better = np.zeros((len(contest), len(contest)), dtype=bool)
    for (i, j), (difference, _), p in zip(pairs, tests, holm([p for _, p in tests]), strict=True):
        if p < SIGNIFICANT:
            better[(j, i) if difference > 0 else (i, j)] = True
    for k in ranked:
        better |= better[:, [k]] & better[[k], :]
    place: list[int | None] = [None] * len(contest)
    for i in ranked:
        place[i] = 1 + int(better[:, i].sum())
    return place


def all_pairs(contest: Sequence[Results]) -> list[tuple[float, float]]:
    """Mean difference and p-value of ``paired`` for every two recipes, in the order of ``combinations``; (0, 1) where untested.

    Recipes tested on the same parts and seeds go together, as sums over samples are products of matrices: 80 000 pairs take a
    second.
    """
    tests = dict.fromkeys(combinations(range(len(contest)), 2), (0.0, 1.0))
    alike: dict[frozenset[tuple[Part, int]], list[int]] = {}
    for i, one in enumerate(contest):
        alike.setdefault(frozenset(one), []).append(i)
    for (keys, some), (others_keys, others) in combinations_with_replacement(alike.items(), 2):
        shared = keys & others_keys
        pairs = combinations(some, 2) if some is others else ((min(i, j), max(i, j)) for i in some for j in others)
        wanted = list(pairs)
        if shared and wanted:
            together = sorted({*some, *others})
            local = np.searchsorted(together, np.array(wanted))
            groups = [_groups({key: contest[i][key] for key in shared}) for i in together]
            tests.update(zip(wanted, _tests(groups, local[:, 0], local[:, 1]), strict=True))
    return list(tests.values())


def _tests(groups: Sequence[list[NDArray[np.bool_]]], first: Index, second: Index) -> list[tuple[float, float]]:
    """``all_pairs`` of pairs of recipes, of each of which there are ``_groups`` of the same shapes."""
    differences, p_scatter = _scatter_tests([np.stack(parts) for parts in zip(*groups, strict=True)], first, second)
    sums = np.stack([np.concatenate([part.sum(0) for part in parts]) for parts in groups])
    totals = np.abs(sums.sum(1)[second] - sums.sum(1)[first])
    p_flips = [
        _sign_flips(tuple((size, count) for size, count in enumerate(counts, 1) if count), total)
        for counts, total in zip(_sizes(sums, first, second).tolist(), totals.tolist(), strict=True)
    ]
    return list(zip(differences.tolist(), np.maximum(p_flips, p_scatter).tolist(), strict=True))


def _sizes(sums: NDArray[np.int64], first: Index, second: Index) -> NDArray[np.int64]:
    """How many samples of ``sums`` [recipes, samples] differ by 1, 2, ... between two recipes: [pairs, sizes]."""
    values = range(int(sums.max()) + 1)
    has = [(sums == value).astype(np.float32) for value in values]  # float32 counts to 2**24 and has fast products
    counts = np.zeros((len(first), max(len(values) - 1, 1)), dtype=np.int64)
    for a in values:
        for b in values:
            if a != b:
                counts[:, abs(a - b) - 1] += (has[a] @ has[b].T)[first, second].astype(np.int64)
    return counts


def _scatter_tests(
    groups: Sequence[NDArray[np.bool_]], first: Index, second: Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean differences of pairs of recipes and p of Student's t over folds or seeds, 0 where there is one; see ``_scatter``.

    ``groups``: per part an array [recipes, seeds, samples].
    """
    means = [group.mean(1) for group in groups]
    everything = np.concatenate(means, axis=1)
    overall, total, seeds = everything.mean(1), everything.shape[1], groups[0].shape[1]
    differences = overall[second] - overall[first]
    if len(groups) > 1:
        deviations = np.stack([(mean - overall[:, None]).sum(1) for mean in means], axis=1)
        scatter = (((deviations[second] - deviations[first]) ** 2).sum(1)) / total**2
        variance, degrees = len(groups) / (len(groups) - 1) * scatter, np.full(len(first), len(groups) - 1.0)
    elif seeds > 1:
        products = np.cov(everything, bias=True)
        over_samples = (products[first, first] + products[second, second] - 2 * products[first, second]) / total
        of_seeds = groups[0].mean(2)
        over_seeds = (of_seeds[second] - of_seeds[first]).var(1, ddof=1) / seeds
        variance = over_samples + over_seeds
        spread = over_samples**2 / max(total - 1, 1) + over_seeds**2 / (seeds - 1)
        degrees = variance**2 / np.where(spread > 0, spread, 1.0)
    else:
        return differences, np.zeros(len(first))
    chance = variance > 1e-15  # what rounding leaves of 0
    t = -np.abs(differences) / np.sqrt(np.where(chance, variance, 1.0))
    return differences, np.where(chance, 2 * stdtr(np.where(chance, degrees, 1.0), t), 0.0)


def pareto(points: Sequence[tuple[float, ...]]) -> set[int]:
    """Indices of points (benefit, cost, cost, ...) that no other point beats or equals everywhere and beats somewhere."""

    values = np.array([(-benefit, *costs) for benefit, *costs in points], dtype=float)  # less is better everywhere
    return {
        i for i, point in enumerate(values) if not ((values <= point).all(axis=1) & (values < point).any(axis=1)).any()
    }
