# SPDX-License-Identifier: Apache-2.0
"""How the steps of a contest are shared: equal for all its recipes, whatever stages they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kilobench.contracts import EFFORT as EFFORT
from kilobench.contracts import Method, UserError

_MOST = 1e6


@dataclass(frozen=True)
class Span:
    """The part of a recipe's effort that one of its stages has, in trainings of the task since the beginning of the recipe."""

    begin: float
    end: float

    def steps(self, training: int) -> int:
        """Of a task whose training has so many; the stages of a recipe have ``round(effort * training)`` together."""
        begin, end = (
            round(round(share, 9) * training) for share in (self.begin, self.end)
        )  # shares differ in the last bits
        return end - begin


def spans(methods: Sequence[Method], effort: float = EFFORT) -> tuple[Span, ...]:
    """Of the first training, and of every method.

    The first training is one training of the task, and so is that of a network that teaches (``taught_by``), which is the span
    of its method; what is left, methods share in proportion to their ``effort``. Where none trains, the first training has all;
    where the first method begins from scratch, methods do. Raises UserError for an effort that is no positive number, or leaves
    nothing for a method, and for a network that would teach nothing.
    """
    if not 0 < effort < _MOST:
        raise UserError(f"the effort must be a positive number of trainings below {_MOST:g}, not {effort:g}")
    training = [method.name for method in methods if method.effort]
    for before, method in pairwise(methods):
        if method.from_scratch and not before.resizes:
            raise UserError(f"{method.name} begins with the untrained network: it must be the first of its recipe")
    first = 0.0 if methods and methods[0].from_scratch else 1.0 if training else effort
    teachers = [float(method.taught_by != "") for method in methods]
    fixed = first + sum(teachers)
    _require_pupil(methods)
    if training and effort <= fixed:
        after = "the first training" + (" and that of its teacher" if any(teachers) else "")
        raise UserError(
            f"an effort of {effort:g} leaves nothing to {training[0]} after {after}; give more than {fixed:g}"
        )
    weights = [method.effort for method in methods]
    ends = [first]
    for done in range(1, len(weights) + 1):
        shared = (effort - fixed) * sum(weights[:done]) / sum(weights) if training else 0.0
        ends.append(first + sum(teachers[:done]) + shared)
    if training:
        ends[-1] = effort
    return tuple(Span(begin, end) for begin, end in zip([0.0, *ends], ends, strict=False))


def _require_pupil(methods: Sequence[Method]) -> None:
    """Raises UserError naming a method whose network would be trained for nothing: none after it trains."""
    for index, method in enumerate(methods):
        if method.taught_by and not any(later.effort for later in methods[index + 1 :]):
            raise UserError(f"{method.name}: {method.taught_by} teaches nothing, as no method after it trains")


def require_steps(steps: Mapping[str, int], methods: Sequence[Method]) -> None:
    """Raises UserError naming a method that trains and has no step to do so; ``steps`` are those of every stage by its name."""
    for method in methods:
        if method.effort and not steps[method.name]:
            raise UserError(f"the effort is too small: {method.name} has no step to train for")
