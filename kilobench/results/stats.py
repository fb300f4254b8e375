# SPDX-License-Identifier: Apache-2.0
"""Statistics of accuracies: intervals, paired tests, places, Pareto fronts.

What varies. A model's correctness varies from test sample to test sample, and from model to model: every fold has a model of
its own, on samples (speakers, recordings) of its own, and every seed another model on the same samples. Results of one fold
are therefore alike, and counting all samples of all folds as if they were independent makes intervals too narrow: simulated
folds whose accuracies scatter by 4 points are covered by Wilson's "95 %" interval over 5 x 500 samples 58 % of the time, and
McNemar's test over pooled samples tells equal recipes apart in up to half of all trials. A bootstrap that resamples folds covers
86 % with five of them, too, as it takes the few folds for the whole population (Cameron, Gelbach and Miller, Rev. Econ. Stat.
90, 2008).

What an interval is about: the accuracy expected of another model on other samples, in a new fold (speaker) or of a new seed.
It is the wider of what the samples and what the models allow, so that models that happen to agree never make it narrower than
independent samples would. All without random numbers:

- samples: Wilson's score interval over independent samples; McNemar's exact test;
- several folds: Student's t of the folds' accuracies, folds - 1 degrees of freedom. Each fold counts once, whatever its size (the
  analysis of clusters' summaries: Hayes and Moulton, Cluster Randomised Trials, 2009, ch. 10): the variance of this mean is
  estimated without bias however the folds scatter, while in a mean over samples one large fold would hide how much it does;
- several seeds on one fold: samples and seeds are crossed. Student's t with the sum of the variance over samples and that over
  seeds (Owen, Ann. Appl. Stat. 1, 2007, for why the sum is on the safe side), degrees of freedom by Satterthwaite (Biometrics 2,
  1946), who trusts three seeds too much where they scatter: therefore also with that over seeds alone, seeds - 1 degrees;
- many recipes of a contest: how much a pair scatters is moderated by how much all of them do (``usual_scatter``);
- t is of the accuracy's logit, as few errors scatter less than many, and skewed (compared with other intervals by Dean and
  Pagano, J. Survey Statist. Methodol. 3, 2015);
- all right or all wrong: nothing is seen to scatter, but something may, and Wilson's interval takes Student's t for the normal.

Training sets of cross-validation overlap, which no estimate from one round of it can make good for (Bengio and Grandvalet, JMLR
5, 2004). With one fold and one seed, a statement is about these two trained models, not about other trainings of the same recipe.
Folds that fail rarely and badly are not seen in a few: docs/comparing.md has the simulated coverage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kilobench.record import NORMAL, Record, correctness, wilson
from kilobench.results.student import Numbers, digamma, inverse_trigamma, log_factorials, lower_tail, quantile, trigamma

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
    """Of one recipe on one board; nothing of those that are judged by AUC."""
    judged = [(r, r.accuracy) for r in records if r.accuracy]
    return {((f"{r.data_digest} of {found.total}", r.fold), r.seed): correctness(found) for r, found in judged}


def estimated(records: Sequence[Record]) -> Estimate:
    """The accuracy of a recipe, ``pooled``; or its AUC, the mean over folds and seeds, from the lowest to the highest end of the
    intervals of all models, as what these have in common is not known.
    """
    if found := [record.auc for record in records if record.auc]:
        mean = float(np.mean([one.mean for one in found]))
        return Estimate(mean, min(one.low for one in found), max(one.high for one in found))
    return pooled(results(records))


def pooled(results: Results) -> Estimate:
    """The accuracy over all folds and seeds: the mean of the seeds, samples counted once (see the module's docstring).

    The interval is that of the accuracy expected in a new fold or of a new seed, whatever a fold's size.
    """
    groups = _groups(results)
    samples = np.concatenate([group.mean(0) for group in groups])
    share = float(samples.mean())
    if share in (0, 1):
        size = _size(groups)
        low, high = wilson(share * size, size, _unseen(groups))
        return Estimate(share, min(low, share), max(high, share))
    # Seeds of a sample may be alike, and are independent at best.
    alike, independent = float(samples.var()), share * (1 - share)
    size = independent / max(alike / len(samples), independent / sum(group.size for group in groups))
    intervals = [wilson(share * size, size), *(scatter.share() for scatter in _scatters(groups))]
    return Estimate(share, min(low for low, _ in intervals), max(high for _, high in intervals))


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that two models are equally right on the same samples (McNemar, Psychometrika 12, 1947)."""
    return sign_flips(b.astype(np.int64) - a)


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
        logs = log_factorials(count)
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2))
        distribution = np.convolve(distribution, spread)
    sums = np.arange(len(distribution)) - len(distribution) // 2
    return min(1.0, float(distribution[np.abs(sums) >= total].sum()))


class Usual(NamedTuple):
    """How much the difference of two recipes of a contest scatters from model to model (fold or seed), by all of its pairs."""

    variance: float
    degrees: float
    """Of freedom that it lends to a pair: few where pairs scatter differently, infinite where no more so than by chance."""
    most: int
    """Degrees of freedom that all recipes have together."""


def usual_scatter(contest: Sequence[Results]) -> Usual | None:
    """Of the recipes tested on the same folds and seeds, most of all; None of less than three of either.

    Three seeds say next to nothing of how the difference of two recipes scatters; those of all pairs of a contest say more.
    This is the empirical Bayes estimate of Smyth (Stat. Appl. Genet. Mol. Biol. 3, 2004, section 6.2): variances that differ by
    more than chance are taken for samples of a scaled inverse chi-squared distribution, fitted to the mean and the variance of
    their logarithms. docs/comparing.md has simulated contests.
    """
    alike: dict[frozenset[tuple[Part, int]], list[Results]] = {}
    for one in filter(None, contest):
        alike.setdefault(frozenset(one), []).append(one)
    models = np.array([_of_models(_groups(one)) for one in max(alike.values(), key=len, default=[])])
    if len(models) < 3 or models.shape[1] < 3:
        return None
    degrees = models.shape[1] - 1
    first, second = np.array(list(combinations(range(len(models)), 2))).T
    own = (models[second] - models[first]).var(1, ddof=1)
    seen = own[own > 1e-15]  # what rounding leaves of 0
    if len(seen) < 2:
        return None
    logs = np.log(seen) - digamma(degrees / 2) + math.log(degrees / 2)
    excess = float(logs.var(ddof=1)) - trigamma(degrees / 2)
    most = (len(models) - 1) * degrees
    if excess <= 0:
        return Usual(float(own.mean()), math.inf, most)
    lent = 2 * inverse_trigamma(excess)
    return Usual(math.exp(float(logs.mean()) + digamma(lent / 2) - math.log(lent / 2)), lent, most)


def _moderated(own: Numbers, models: int, usual: Usual | None) -> tuple[Numbers, Numbers]:
    """Variance of the mean of differences of so many models, whose own variance is given, and its degrees of freedom.

    Where that is more than what it and the usual make together, it stays: recipes that train less reliably than others are no
    easier to beat.
    """
    degrees = models - 1
    if usual is None:
        return own / models, degrees
    share = usual.degrees / (usual.degrees + degrees) if math.isfinite(usual.degrees) else 1.0
    moderated = np.maximum(own, share * usual.variance + (1 - share) * own)
    return moderated / models, max(degrees, min(usual.degrees + degrees, usual.most))


def _of_models(groups: Sequence[NDArray[T]]) -> NDArray[np.float64]:
    """Mean of every fold, or of every seed where there is one fold."""
    return np.array([group.mean() for group in groups]) if len(groups) > 1 else groups[0].mean(1)


def paired(a: Results, b: Results, usual: Usual | None = None) -> Paired | None:
    """Compare two recipes on the parts and seeds that both were tested with; None where there are none.

    ``usual``: of the contest that they are in (``usual_scatter``).

    p is the largest: that of the exact test over the samples (``sign_flips``: McNemar's), and, with several folds or seeds, those
    of Student's t over these; it is 1 where folds and samples do not agree which is better. So a difference must exceed both the
    chance of the samples and the scatter from model to model; simulated, equal recipes are told apart in at most 6 % of all
    trials, however much their folds scatter. The interval is likewise the widest: Agresti and Min's for paired shares (Statist.
    Med. 24, 2005) and those of the t-tests.
    """
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return None
    groups = _groups({key: b[key].astype(np.int64) - a[key] for key in shared})
    means = np.concatenate([group.mean(0) for group in groups])
    mean = float(means.mean())
    scatters = _scatters(groups, usual)
    p = max(
        sign_flips(np.concatenate([group.sum(0) for group in groups])),
        *(float(_p(mean, *scatter)) for scatter in scatters),
        0.0,
    )
    intervals = [_agresti_min(means, groups), *(scatter.difference() for scatter in scatters)]
    low, high = min(mean, *(low for low, _ in intervals)), max(mean, *(high for _, high in intervals))
    return Paired(Estimate(mean, max(-1.0, low), min(1.0, high)), p, len(means))


def _agresti_min(means: NDArray[np.float64], groups: Sequence[NDArray[np.int64]]) -> tuple[float, float]:
    """Interval of a mean of paired differences: half a pseudo-sample in each of the four cells of agreement, two disagree."""
    alike = means.min() == means.max()
    size, z = (_size(groups), _unseen(groups)) if alike else (len(means), NORMAL)
    shrunk = float(means.mean()) * size / (size + 2)
    half = z * math.sqrt(((float((means**2).mean()) * size + 1) / (size + 2) - shrunk**2) / (size + 2))
    return shrunk - half, shrunk + half


def _groups(results: Mapping[tuple[Part, int], NDArray[T]]) -> list[NDArray[T]]:
    """Per part (fold) an array [seeds, samples]."""
    parts = sorted({part for part, _ in results})
    seeds = {part: sorted(seed for other, seed in results if other == part) for part in parts}
    return [np.stack([results[part, seed] for seed in seeds[part]]) for part in parts]


class _Scatter(NamedTuple):
    """A mean over models, with its variance as these scatter."""

    mean: float
    variance: float
    degrees: float
    """Of freedom."""

    @property
    def half(self) -> float:
        """Of the 95 % interval by Student's t."""
        return quantile(self.degrees) * math.sqrt(self.variance) if self.variance else 0.0

    def difference(self) -> tuple[float, float]:
        """The interval."""
        return self.mean - self.half, self.mean + self.half

    def share(self) -> tuple[float, float]:
        """The interval of a share in (0, 1), symmetric for its logit."""
        half = self.half / (self.mean * (1 - self.mean))
        logit = math.log(self.mean / (1 - self.mean))
        return _logistic(logit - half), _logistic(logit + half)


def _logistic(logit: float) -> float:
    smaller = math.exp(-abs(logit))
    return (smaller if logit < 0 else 1.0) / (1 + smaller)


def _scatters(groups: Sequence[NDArray[T]], usual: Usual | None = None) -> list[_Scatter]:
    """How models scatter, to be taken into account one by one; none for one model. See the module's docstring."""
    models = _of_models(groups)
    if len(models) == 1:
        return []
    variance, degrees = map(float, _moderated(float(models.var(ddof=1)), len(models), usual))
    over_models = _Scatter(float(models.mean()), variance, degrees)
    if len(groups) > 1:
        return [over_models]
    samples = groups[0].mean(0)
    over_samples = float(samples.var()) / len(samples)
    both = _satterthwaite(over_samples, max(len(samples) - 1, 1), variance, degrees)
    return [_Scatter(over_models.mean, over_samples + variance, float(both)), over_models]


def _satterthwaite(a: Numbers, degrees_a: int, b: Numbers, degrees_b: Numbers) -> Numbers:
    """Degrees of freedom of the sum of two variances."""
    return (a + b) ** 2 / np.maximum(a**2 / degrees_a + b**2 / degrees_b, 1e-300)


def _p(difference: Numbers, mean: Numbers, variance: Numbers, degrees: Numbers) -> NDArray[np.float64]:
    """Two-sided, of Student's t of a ``_Scatter``; 0 where nothing scatters, 1 where its mean has not the difference's sign."""
    chance = np.greater(variance, 1e-15)  # what rounding leaves of 0
    t = -np.abs(mean) / np.sqrt(np.where(chance, variance, 1.0))
    p = np.where(chance, 2 * lower_tail(np.where(chance, degrees, 1.0), t), 0.0)
    return np.where(np.multiply(mean, difference) < 0, 1.0, p)


def _size(groups: Sequence[NDArray[T]]) -> float:
    """How many independent samples have the variance of the mean over folds: all of them where folds are of equal size."""
    return float(len(groups) ** 2 / sum(1 / group.shape[1] for group in groups))


def _unseen(groups: Sequence[NDArray[T]]) -> float:
    """The quantile for results that are all alike: Student's t of the folds, or seeds, less one; normal for one model."""
    models = len(groups) if len(groups) > 1 else len(groups[0])
    return quantile(models - 1) if models > 1 else NORMAL


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

    A recipe beats another if it is significantly more accurate on what both were tested with, which has all folds (``paired``,
    Holm's correction over all pairs of the contest), and also when each counts with all of its seeds. The latter only matters
    where seeds differ: without it A could beat B on their common seeds, B C on theirs and C A on theirs. Better: it beats the
    other, itself or through others: if A beats B and B beats C, then A is better than C, and more accurate. So there are no
    cycles, and of two recipes with the same place neither beats the other. None for a recipe that was not tested on all folds of
    the one with the most results.
    """
    if not contest:
        return []
    most = max(contest, key=lambda results: sum(map(len, results.values())))
    parts = {part for part, _ in most}
    ranked = [i for i, one in enumerate(contest) if {part for part, _ in one.keys() & most.keys()} == parts]
    pairs = [(ranked[i], ranked[j]) for i, j in combinations(range(len(ranked)), 2)]
    tested = [{key: right for key, right in contest[i].items() if key[0] in parts} for i in ranked]
    accuracy = dict(zip(ranked, map(_accuracy, tested), strict=True))
    tests = all_pairs(tested)
    better = np.zeros((len(contest), len(contest)), dtype=bool)
    for (i, j), (difference, _), p in zip(pairs, tests, holm([p for _, p in tests]), strict=True):
        same_sign = (accuracy[j] - accuracy[i]) * difference > 0
        if p < SIGNIFICANT and same_sign and parts == {part for part, _ in contest[i].keys() & contest[j].keys()}:
            better[(j, i) if difference > 0 else (i, j)] = True
    for k in ranked:
        better |= better[:, [k]] & better[[k], :]
    place: list[int | None] = [None] * len(contest)
    for i in ranked:
        place[i] = 1 + int(better[:, i].sum())
    return place


def _accuracy(results: Results) -> float:
    """Over all samples, seeds of a sample averaged."""
    return float(np.concatenate([group.mean(0) for group in _groups(results)]).mean())


def all_pairs(contest: Sequence[Results]) -> list[tuple[float, float]]:
    """Mean difference and p-value of ``paired`` for every two recipes, in the order of ``combinations``; (0, 1) where untested.

    Their scatter is moderated by that which is ``usual_scatter`` in the contest.

    Recipes tested on the same parts and seeds go together, as sums over samples are products of matrices: 80 000 pairs take a
    second.
    """
    usual = usual_scatter(contest)
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
            tests.update(zip(wanted, _tests(groups, local[:, 0], local[:, 1], usual), strict=True))
    return list(tests.values())


def _tests(
    groups: Sequence[list[NDArray[np.bool_]]], first: Index, second: Index, usual: Usual | None
) -> list[tuple[float, float]]:
    """``all_pairs`` of pairs of recipes, of each of which there are ``_groups`` of the same shapes."""
    differences, p_scatter = _scatter_tests(
        [np.stack(parts) for parts in zip(*groups, strict=True)], first, second, usual
    )
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
    groups: Sequence[NDArray[np.bool_]], first: Index, second: Index, usual: Usual | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean differences of pairs of recipes and p of Student's t over folds or seeds, 0 where there is one; see ``_scatters``.

    ``groups``: per part an array [recipes, seeds, samples].
    """
    means = [group.mean(1) for group in groups]
    everything = np.concatenate(means, axis=1)
    overall, total, seeds = everything.mean(1), everything.shape[1], groups[0].shape[1]
    differences = overall[second] - overall[first]
    if len(groups) > 1:
        folds = np.stack([mean.mean(1) for mean in means], axis=1)
        of_folds = folds[second] - folds[first]
        variance, degrees = _moderated(of_folds.var(1, ddof=1), len(groups), usual)
        return differences, _p(differences, of_folds.mean(1), variance, degrees)
    if seeds == 1:
        return differences, np.zeros(len(first))
    products = np.cov(everything, bias=True)
    over_samples = (products[first, first] + products[second, second] - 2 * products[first, second]) / total
    of_seeds = groups[0].mean(2)
    over_seeds, degrees = _moderated((of_seeds[second] - of_seeds[first]).var(1, ddof=1), seeds, usual)
    both = _satterthwaite(over_samples, max(total - 1, 1), over_seeds, degrees)
    p = _p(differences, differences, over_samples + over_seeds, both)
    return differences, np.maximum(p, _p(differences, differences, over_seeds, degrees))


def pareto(points: Sequence[tuple[float, ...]]) -> set[int]:
    """Indices of points (benefit, cost, cost, ...) that no other point beats or equals everywhere and beats somewhere."""

    values = np.array([(-benefit, *costs) for benefit, *costs in points], dtype=float)  # less is better everywhere
    return {
        i for i, point in enumerate(values) if not ((values <= point).all(axis=1) & (values < point).any(axis=1)).any()
    }
