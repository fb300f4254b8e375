# SPDX-License-Identifier: Apache-2.0
"""Statistics against SciPy, and on simulated data of which the truth is known."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, polygamma, psi, stdtr, stdtrit
from scipy.stats import binomtest

from kilobench.record import NORMAL, accuracy, correctness, wilson
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
from kilobench.results.student import (
    digamma,
    inverse_trigamma,
    log_factorials,
    lower_tail,
    quantile,
    trigamma,
)
from tests.results import coverage


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


@pytest.mark.parametrize("truth", coverage.TRUTHS)
@pytest.mark.parametrize("name", ["3 x 500", "5 x 80", "6 x 500", "400, 4 x 25", "4 x 400, 25"])
def test_intervals_over_folds_cover_the_truth(name: str, truth: float) -> None:
    """docs/comparing.md has the table: 93 to 98 %, and more where little scatters, or only small folds say how much."""
    sizes = coverage.FOLDS[name]
    shares = {
        scatter: coverage.of_folds(sizes, truth, scatter, trials=500)
        for scatter in coverage.SCATTERS
        if coverage.has_room(truth, scatter)
    }
    assert min(shares.values()) > 0.92
    if len(set(sizes)) == 1 and len(sizes) >= 5 and truth < 0.99:
        assert max(shares.values()) < 0.99 and shares[max(shares)] < 0.98


@pytest.mark.parametrize("truth", coverage.TRUTHS)
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_over_seeds_cover_the_truth(seeds: int, truth: float) -> None:
    scatters = [scatter for scatter in (0.0, 0.01, 0.04, 0.08) if coverage.has_room(truth, scatter)]
    shares = [coverage.of_seeds(seeds, 400, truth, scatter, trials=500) for scatter in scatters]
    assert min(shares) > 0.92 and (max(shares) < 0.99 or seeds == 3 or truth >= 0.95)


def test_folds_that_happen_to_agree_have_the_interval_of_independent_samples() -> None:
    estimate = pooled(made([np.arange(80) < 66] * 5))
    assert (estimate.low, estimate.high) == pytest.approx(wilson(330, 400))
    assert (round(estimate.low, 3), round(estimate.high, 3)) == (0.785, 0.859)


@pytest.mark.parametrize("sizes", [(80,) * 5, (400, 25, 25, 25, 25), (50, 50)])
def test_no_interval_over_folds_is_narrower_than_that_of_independent_samples(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    for truth in random.uniform(0.5, 1, 100):
        folds = [random.random(size) < truth for size in sizes]
        estimate, independent = pooled(made(folds)), wilson(sum(int(right.sum()) for right in folds), sum(sizes))
        assert estimate.low <= independent[0] + 1e-9 and estimate.high >= independent[1] - 1e-9
        assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1


@pytest.mark.parametrize("right", [True, False])
def test_what_is_all_right_may_scatter_unseen(right: bool) -> None:
    """Wilson's interval with Student's t of five degrees of freedom in place of the normal quantile."""
    estimate = pooled(made([np.full(50, right)] * 6))
    width = estimate.high - estimate.low
    assert estimate.mean == right and width == pytest.approx(2.5706**2 / (300 + 2.5706**2), rel=1e-4)
    seeds = pooled({(("digest", 0), seed): np.full(300, right) for seed in range(6)})
    assert seeds.high - seeds.low == pytest.approx(width)
    one = pooled(made([np.full(300, right)]))
    assert (one.low, one.high) == pytest.approx(wilson(300 * right, 300))


def test_six_speakers_all_right_may_come_from_98_percent() -> None:
    shares = [coverage.of_folds((50,) * 6, 0.98, scatter, trials=2000) for scatter in (0.0, 0.01, 0.02)]
    assert min(shares) > 0.93 and max(shares) < 0.99


def test_a_large_fold_does_not_hide_the_scatter_of_small_ones() -> None:
    """The mean is that over samples; the folds' accuracies say how far it may be from that of a new fold."""
    folds = [np.arange(400) < 320, *(np.arange(25) < count for count in (15, 25, 18, 22))]
    estimate = pooled(made(folds))
    assert estimate.mean == pytest.approx(0.8) and estimate.high - estimate.low > 0.3


def test_two_folds_or_seeds_say_next_to_nothing() -> None:
    folds = made([np.arange(100) < 80, np.arange(100) < 84])
    seeds = {(("digest", 0), seed): right for seed, right in enumerate(right for right in folds.values())}
    assert all(one.high - one.low > 0.4 for one in (pooled(folds), pooled(seeds)))


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
@pytest.mark.parametrize("sizes", [(200,) * 5, (400, 25, 25, 25, 25), (100,) * 2], ids=str)
@pytest.mark.parametrize("difference", [0.0, 0.05])
def test_equal_recipes_are_seldom_told_apart_and_the_difference_is_covered(
    sizes: tuple[int, ...], scatter: float, difference: float
) -> None:
    apart, covered = coverage.of_differences(sizes, 1, 0.9, scatter, 600, difference)
    assert covered > 0.935 and (difference or apart < 0.065)


@pytest.mark.parametrize("scatter", [0.0, 0.03])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_recipes_are_seldom_told_apart_over_seeds(seeds: int, scatter: float) -> None:
    apart, covered = coverage.of_differences((200,), seeds, 0.9, scatter, 400)
    assert apart < 0.065 and covered > 0.935


def test_folds_that_differ_alike_have_the_interval_of_independent_samples() -> None:
    """One more is right in every fold; Agresti and Min over 400 samples, of which 5 differ."""
    test = paired(made([np.arange(80) < 66] * 5), made([np.arange(80) < 67] * 5))
    half = 1.959964 * np.sqrt((6 / 402 - (5 / 402) ** 2) / 402)
    assert test is not None and test.p == pytest.approx(2 / 32)
    assert (test.difference.low, test.difference.high) == pytest.approx((5 / 402 - half, 5 / 402 + half))


def test_recipes_that_agree_about_everything_may_still_differ() -> None:
    """Student's t of four degrees of freedom for five folds, the normal quantile for one."""
    five, one = (paired(made(folds), made(folds)) for folds in ([np.arange(80) < 66] * 5, [np.arange(400) < 330]))
    assert five is not None and one is not None and five.p == one.p == 1
    assert five.difference.high == pytest.approx(2.7764 / 402, rel=1e-4) == -five.difference.low
    assert one.difference.high == pytest.approx(1.96 / 402, rel=1e-4)


def test_folds_and_samples_must_agree_which_is_better() -> None:
    """B is better on the one large fold, and thereby over samples, but worse on each of the four small ones."""
    a = made([np.arange(400) < 200, *[np.arange(25) < 24] * 4])
    b = made([np.arange(400) < 390, *[np.arange(25) < 1] * 4])
    test = paired(a, b)
    assert test is not None and test.difference.mean > 0 and test.p == 1
    assert all_pairs([a, b])[0] == pytest.approx((test.difference.mean, 1))
    assert test.difference.low < 0 < test.difference.high and places([a, b]) == [1, 1]


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
    assert test is not None and test.samples == 100 and test.difference.mean == pytest.approx(-0.1)
    assert paired(a, made([np.arange(100) < 70], seed=7)) is None


def test_seeds_of_a_sample_count_once() -> None:
    """Three seeds that all say the same are no more evidence about the samples than one."""
    a, b = np.arange(100) < 80, np.arange(100) < 74
    once, thrice = paired(made([a]), made([b])), None
    a3 = {(("digest 0", 0), seed): a for seed in range(3)}
    thrice = paired(a3, {(("digest 0", 0), seed): b for seed in range(3)})
    assert once is not None and thrice is not None
    assert thrice.p == pytest.approx(once.p) and thrice.samples == once.samples


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


def test_wins_on_other_seeds_make_no_cycle() -> None:
    """A beats B on the seed that both have, B beats C on theirs, and C beats A; over all seeds they are alike."""
    part, good, poor = ("digest", 0), np.arange(500) < 450, np.arange(500) < 300
    a, b, c = {0: poor, 1: good}, {1: poor, 2: good}, {2: poor, 0: good}
    contest: list[Results] = [{(part, seed): right for seed, right in one.items()} for one in (a, b, c)]
    for better, worse in ((0, 1), (1, 2), (2, 0)):
        test = paired(contest[worse], contest[better])
        assert test is not None and test.p < 1e-9 and test.difference.mean > 0
    assert places(contest) == [1, 1, 1]


def test_places_are_transitive_whatever_seeds_recipes_have() -> None:
    """A win is always against a worse place, and somebody is first."""
    random, wins = np.random.default_rng(6), 0
    for _ in range(60):
        contest: list[Results] = [
            {
                (("digest", fold), int(seed)): random.random(300) < random.uniform(0.5, 1)
                for fold in range(2 if folds == 2 else 1)
                for seed in random.choice(4, size=2 + random.integers(2), replace=False)
            }
            for folds in [1 + int(random.integers(2))] * 5
        ]
        found = places(contest)
        ranked = [i for i, place in enumerate(found) if place is not None]
        assert min(place for place in found if place is not None) == 1
        tests = {(i, j): paired(contest[i], contest[j]) for i, j in combinations(ranked, 2)}
        p = holm([test.p if test else 1.0 for test in tests.values()])
        for ((i, j), test), value in zip(tests.items(), p, strict=True):
            overall = pooled(contest[j]).mean - pooled(contest[i]).mean
            folds = {part for part, _ in contest[i]} == {part for part, _ in contest[i].keys() & contest[j].keys()}
            if test and value < 0.05 and folds and overall * test.difference.mean > 0:
                wins += 1
                better, worse = (j, i) if overall > 0 else (i, j)
                assert found[better] < found[worse]  # type: ignore[operator]
    assert wins > 40


def test_fewer_seeds_have_a_place() -> None:
    good, poor = np.arange(500) < 450, np.arange(500) < 300
    three = {(("digest", 0), seed): good for seed in range(3)}
    assert places([three, {(("digest", 0), 1): poor}, {(("digest", 0), 2): good}]) == [1, 2, 1]
    assert places([three, {(("digest", 0), 7): good}]) == [1, None], "no seed in common"


@pytest.mark.parametrize("folds", [1, 4])
@pytest.mark.parametrize("seeds", [1, 3])
def test_all_pairs_at_once_are_those_one_by_one(folds: int, seeds: int) -> None:
    """Recipes that lack a fold or a seed, that are always right, and two that are equal are among them.

    Two alone, as the others of a contest say how much trainings scatter.
    """
    random = np.random.default_rng(folds + 10 * seeds)
    keys = [((f"digest {fold}", fold), seed) for fold in range(folds) for seed in range(seeds)]
    contest = [{key: random.random(50 + key[0][1]) < share for key in keys} for share in (0.9, 0.6, 0.8, 0.7, 0.7, 1.0)]
    contest += [dict(list(contest[0].items())[1:]), dict(list(contest[1].items())[:-1]), contest[2]]
    for (a, b), (difference, _) in zip(combinations(contest, 2), all_pairs(contest), strict=True):
        test = paired(a, b)
        expected = (test.difference.mean, test.p) if test else (0.0, 1.0)
        assert all_pairs([a, b]) == [pytest.approx(expected, abs=1e-9)]
        assert difference == pytest.approx(expected[0], abs=1e-9)


@pytest.mark.parametrize("scatter", coverage.CONTESTS)
@pytest.mark.parametrize(("sizes", "seeds"), [((400,), 3), ((500,) * 6, 1)], ids=str)
def test_equal_recipes_of_a_contest_seldom_have_two_places(sizes: tuple[int, ...], seeds: int, scatter: str) -> None:
    apart, _ = coverage.of_contests(sizes, seeds, coverage.CONTESTS[scatter](8), 200)
    assert apart < 0.08


def test_three_seeds_of_many_recipes_tell_ten_points_apart() -> None:
    """What no three seeds of two recipes alone do, corrected for all pairs."""
    _, told = coverage.of_contests((400,), 3, coverage.CONTESTS["alike"](12), 40, 0.1)
    assert told > 0.8


def test_a_recipe_of_more_scatter_than_others_keeps_its_own() -> None:
    """Two recipes 8 points apart whose seeds scatter by 5 share a place beside ten that scatter by none."""
    shares = [[0.6 + 0.001 * seed + 0.002 * recipe for seed in range(3)] for recipe in range(10)]
    noisy = [[0.68, 0.70, 0.60], [0.80, 0.70, 0.72]]
    contest = [
        {(("digest", 0), seed): np.arange(1000) < 1000 * share for seed, share in enumerate(one)}
        for one in [*noisy, *shares]
    ]
    found = places(contest)
    assert found[0] == found[1] and max(found[2:]) > found[1]  # type: ignore[type-var,operator]


def test_a_recipe_with_fewer_folds_has_no_place() -> None:
    lucky, whole = made([np.arange(100) < 99]), made([np.arange(100) < 80, np.arange(100) < 60])
    assert places([lucky, whole, whole]) == [None, 1, 1]


def test_seeds_in_common_on_one_fold_of_two_win_nothing() -> None:
    """Both have all folds with seeds of the first, but of each other's only the fold on which one was lucky."""
    good, poor = np.arange(300) < 290, np.arange(300) < 200
    cells = [(("digest", fold), seed) for fold in range(2) for seed in range(2)]
    lucky = {cells[0]: good, cells[2]: good}
    other = {cells[0]: poor, cells[3]: good}
    test = paired(lucky, other)
    assert test is not None and test.p < 1e-9 and test.samples == 300
    assert places([dict.fromkeys(cells, good), lucky, other])[1:] == [1, 1]


def test_the_bitmap_keeps_every_sample() -> None:
    correct = np.random.default_rng(1).random(77) < 0.5
    recorded = accuracy(correct)
    assert np.array_equal(correctness(recorded), correct)
    assert recorded.correct == correct.sum()


def test_pareto_keeps_ties_and_drops_the_dominated() -> None:
    assert pareto([(0.9, 10), (0.9, 10), (0.8, 10), (0.95, 20), (0.7, 5)]) == {0, 1, 3, 4}


def test_students_t_is_scipys() -> None:
    degrees = np.concatenate([np.random.default_rng(0).uniform(0.7, 3000, 500), np.arange(1.0, 200)])
    values = np.concatenate([-np.geomspace(1e-6, 300, 400), np.geomspace(1e-6, 300, len(degrees) - 400)])
    assert lower_tail(degrees, values) == pytest.approx(stdtr(degrees, values), rel=1e-9, abs=1e-300)
    assert [quantile(n) for n in degrees] == pytest.approx(stdtrit(degrees, 0.975).tolist(), rel=1e-10)
    assert lower_tail(4, 0.0) == 0.5 and ndtri(0.975) == pytest.approx(NORMAL, rel=1e-15)
    some = np.geomspace(0.05, 1e5, 60).tolist()
    assert [digamma(x) for x in some] == pytest.approx(psi(some).tolist(), rel=1e-10)
    assert [trigamma(x) for x in some] == pytest.approx(polygamma(1, some).tolist(), rel=1e-10)
    assert [inverse_trigamma(trigamma(x)) for x in some] == pytest.approx(some, rel=1e-9)
    assert log_factorials(300) == pytest.approx(gammaln(np.arange(1, 302)), rel=1e-13, abs=1e-15)
