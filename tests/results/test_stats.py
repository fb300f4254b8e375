# SPDX-License-Identifier: Apache-2.0
"""Statistics against SciPy, and on simulated data of which the truth is known."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from kilobench.record import accuracy, correctness, wilson
from kilobench.results.stats import (
    Results,
    all_pairs,
    holm,
    mcnemar,
    paired,
    pareto,
    places,
    pooled,
    sign_flips,
)


def made(folds: list[NDArray[np.bool_]], seed: int = 0) -> Results:
    """One seed's correctness of the samples of every fold."""
    return {((f"digest {fold}", fold), seed): right for fold, right in enumerate(folds)}


def simulated(random: np.random.Generator, shares: NDArray[np.float64], samples: int) -> Results:
    """Folds whose models are right with the given probabilities."""
    return made([random.random(samples) < share for share in shares])


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (7, 10), (10, 10), (391, 500)])
def test_wilson_equals_scipy(correct: int, total: int) -> None:
    expected = binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_one_fold_and_seed_has_wilsons_interval() -> None:
    estimate = pooled(made([np.arange(500) < 391]))
    assert (estimate.low, estimate.high) == pytest.approx(wilson(391, 500))


@pytest.mark.parametrize("scatter", [0.0, 0.01, 0.04], ids="scatter of {} between folds".format)
@pytest.mark.parametrize(("folds", "samples"), [(3, 500), (5, 80), (6, 500), (10, 100)])
def test_intervals_over_folds_cover_the_truth_in_95_percent_of_trials(folds: int, samples: int, scatter: float) -> None:
    random, truth, trials = np.random.default_rng(0), 0.8, 2000
    covered = 0
    for _ in range(trials):
        shares = truth + scatter * random.standard_normal(folds)
        # Sums of samples first: a fold's samples only count by how many are right.
        counts = random.binomial(samples, shares)
        estimate = pooled(made([np.arange(samples) < count for count in counts]))
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 < covered / trials < 0.97


@pytest.mark.parametrize("scatter", [0.0, 0.01])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_over_seeds_cover_the_truth_in_95_percent_of_trials(seeds: int, scatter: float) -> None:
    """Samples are easier or harder for all seeds alike; the expected accuracy is 0.8."""
    random, truth, trials, samples = np.random.default_rng(1), 0.8, 1500, 400
    covered = 0
    for _ in range(trials):
        easy = random.beta(0.8, 0.2, samples)
        luck = 1 + scatter / 0.8 * random.standard_normal((seeds, 1))
        right = random.random((seeds, samples)) < easy * luck
        results = {(("digest", 0), seed): right[seed] for seed in range(seeds)}
        estimate = pooled(results)
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 < covered / trials < 0.98  # the sum of variances is on the safe side


def test_mcnemar_equals_the_exact_binomial_test() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(200) < 0.8, random.random(200) < 0.7
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    expected = binomtest(only_a, only_a + only_b).pvalue
    assert mcnemar(a, b) == pytest.approx(expected)
    assert sign_flips(b.astype(np.int64) - a) == pytest.approx(expected)
    assert mcnemar(a, a) == sign_flips(np.zeros(5, np.int64)) == 1


def test_sign_flips_equal_all_of_them_counted() -> None:
    differences = np.array([2, 1, -1, 3, 0, 1, 2])
    signs = 1 - 2 * ((np.arange(128)[:, None] >> np.arange(7)) & 1)
    assert sign_flips(differences) == pytest.approx((np.abs(signs @ differences) >= differences.sum()).mean())


@pytest.mark.parametrize("scatter", [0.0, 0.03])
@pytest.mark.parametrize("folds", [1, 5])
def test_equal_recipes_are_told_apart_in_at_most_5_percent_of_trials(folds: int, scatter: float) -> None:
    random, trials, apart, missed = np.random.default_rng(2), 1000, 0, 0
    for _ in range(trials):
        shift = scatter * random.standard_normal(folds) if folds > 1 else np.zeros(1)
        test = paired(simulated(random, 0.8 + shift, 200), simulated(random, 0.8 - shift, 200))
        assert test is not None
        apart += test.p < 0.05
        missed += not test.difference.low <= 0 <= test.difference.high
    assert apart / trials < 0.065 and missed / trials < 0.065


def test_the_interval_of_a_difference_covers_the_truth() -> None:
    random, trials, covered = np.random.default_rng(3), 2000, 0
    for _ in range(trials):
        test = paired(simulated(random, np.array([0.8]), 150), simulated(random, np.array([0.75]), 150))
        assert test is not None
        covered += test.difference.low <= -0.05 <= test.difference.high
    assert 0.93 < covered / trials < 0.97


def test_scatter_between_folds_is_no_difference_of_recipes() -> None:
    """McNemar's test over pooled samples alone is sure of it: one fold of five has all of the difference."""
    a = [np.arange(200) < 160 for _ in range(5)]
    b = [np.arange(200) < count for count in (200, 160, 160, 160, 160)]
    assert mcnemar(np.concatenate(a), np.concatenate(b)) < 1e-9
    test = paired(made(a), made(b))
    assert test is not None and test.p > 0.3 and test.difference.low < 0 < test.difference.high


def test_only_shared_samples_are_compared() -> None:
    a = made([np.arange(100) < 80, np.arange(100) < 10])
    b = made([np.arange(100) < 70])
    test = paired(a, b)
    assert test is not None and (test.samples, test.difference.mean) == (100, pytest.approx(-0.1))
    assert paired(a, made([np.arange(100) < 70], seed=7)) is None


def test_seeds_of_a_sample_count_once() -> None:
    """Three seeds that all say the same are no more evidence about the samples than one."""
    a, b = np.arange(100) < 80, np.arange(100) < 74
    once, thrice = paired(made([a]), made([b])), None
    a3 = {(("digest 0", 0), seed): a for seed in range(3)}
    thrice = paired(a3, {(("digest 0", 0), seed): b for seed in range(3)})
    assert once is not None and thrice is not None
    assert (thrice.p, thrice.samples) == (pytest.approx(once.p), once.samples)


def test_holm_equals_statsmodels() -> None:
    """Expected: statsmodels.stats.multitest.multipletests(p, method="holm") of statsmodels 0.15."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.8]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.8])
    assert holm([]) == []


def test_recipes_that_cannot_be_told_apart_share_a_place() -> None:
    def of(correct: int) -> Results:
        return made([np.arange(500) < correct])

    assert places([of(300), of(450), of(449), of(200)]) == [3, 1, 1, 4]
    assert places([of(450), of(447), of(443)]) == [1, 1, 2], "the middle one is told from neither"
    assert places([]) == [] and places([of(3)]) == [1]


def test_equal_places_are_never_told_apart() -> None:
    random = np.random.default_rng(4)
    for _ in range(30):
        contest = [simulated(random, np.array([share]), 150) for share in random.uniform(0.6, 0.9, 6)]
        found = places(contest)
        tests = [[paired(a, b) for b in contest] for a in contest]
        p = holm([tests[i][j].p for i in range(6) for j in range(i)])  # type: ignore[union-attr]
        apart = dict(zip([(i, j) for i in range(6) for j in range(i)], p, strict=True))
        for (i, j), value in apart.items():
            assert value >= 0.05 or found[i] != found[j]
            difference = tests[i][j].difference.mean  # type: ignore[union-attr]
            assert value >= 0.05 or (found[i] > found[j]) == (difference > 0)  # type: ignore[operator]


@pytest.mark.parametrize("folds", [1, 4])
@pytest.mark.parametrize("seeds", [1, 3])
def test_all_pairs_at_once_are_those_one_by_one(folds: int, seeds: int) -> None:
    """Recipes that lack a fold or a seed, that are always right, and two that are equal are among them."""
    random = np.random.default_rng(folds + 10 * seeds)
    keys = [((f"digest {fold}", fold), seed) for fold in range(folds) for seed in range(seeds)]
    contest = [{key: random.random(50 + key[0][1]) < share for key in keys} for share in (0.9, 0.6, 0.8, 0.7, 0.7, 1.0)]
    contest += [dict(list(contest[0].items())[1:]), dict(list(contest[1].items())[:-1]), contest[2]]
    for (a, b), (difference, p) in zip(combinations(contest, 2), all_pairs(contest), strict=True):
        test = paired(a, b)
        expected = (test.difference.mean, test.p) if test else (0.0, 1.0)
        assert (difference, p) == pytest.approx(expected, abs=1e-9)


def test_a_recipe_with_fewer_folds_has_no_place() -> None:
    lucky, whole = made([np.arange(100) < 99]), made([np.arange(100) < 80, np.arange(100) < 60])
    assert places([lucky, whole, whole]) == [None, 1, 1]


def test_the_bitmap_keeps_every_sample() -> None:
    correct = np.random.default_rng(1).random(77) < 0.5
    recorded = accuracy(correct)
    assert np.array_equal(correctness(recorded), correct)
    assert recorded.correct == correct.sum()


def test_pareto_keeps_ties_and_drops_the_dominated() -> None:
    assert pareto([(0.9, 10), (0.9, 10), (0.8, 10), (0.95, 20), (0.7, 5)]) == {0, 1, 3, 4}
