"""Statistics of accuracies: intervals, paired tests, Pareto fronts."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kilobench.record import Accuracy


def wilson(correct: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, JASA 22, 1927); ``correct`` may be a mean over seeds."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(correct: NDArray[np.bool_]) -> Accuracy:
    """The record's accuracy from the correctness of every test sample."""
    count, total = int(correct.sum()), len(correct)
    low, high = wilson(count, total)
    return Accuracy(
        mean=round(count / total, 6),
        low=round(low, 6),
        high=round(high, 6),
        correct=count,
        total=total,
        bitmap=base64.b64encode(np.packbits(correct).tobytes()).decode(),
    )


def correctness(accuracy: Accuracy) -> NDArray[np.bool_]:
    """The inverse of ``accuracy``: the correctness of every test sample."""
    packed = np.frombuffer(base64.b64decode(accuracy.bitmap), dtype=np.uint8)
    return np.unpackbits(packed)[: accuracy.total].astype(bool)


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that two recipes are equally right on the same samples (McNemar, Psychometrika 12, 1947)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**n)


def pareto(points: Sequence[tuple[float, ...]]) -> set[int]:
    """Indices of points (benefit, cost, cost, ...) that no other point beats or equals everywhere and beats somewhere."""

    def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        no_worse = a[0] >= b[0] and all(x <= y for x, y in zip(a[1:], b[1:], strict=True))
        return no_worse and a != b

    return {i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)}
