import numpy as np
import pytest
from scipy.stats import binomtest

from kilobench.stats import accuracy, correctness, mcnemar, pareto, wilson


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (7, 10), (10, 10), (391, 500)])
def test_wilson_equals_scipy(correct: int, total: int) -> None:
    expected = binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_mcnemar_equals_the_exact_binomial_test() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(200) < 0.8, random.random(200) < 0.7
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    assert mcnemar(a, b) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert mcnemar(a, a) == 1


def test_the_bitmap_keeps_every_sample() -> None:
    correct = np.random.default_rng(1).random(77) < 0.5
    recorded = accuracy(correct)
    assert np.array_equal(correctness(recorded), correct)
    assert recorded.correct == correct.sum()


def test_pareto_keeps_ties_and_drops_the_dominated() -> None:
    assert pareto([(0.9, 10), (0.9, 10), (0.8, 10), (0.95, 20), (0.7, 5)]) == {0, 1, 3, 4}
