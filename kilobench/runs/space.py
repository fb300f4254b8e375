# SPDX-License-Identifier: Apache-2.0
"""What ``kilobench tune`` tries where nothing narrower is said: recipes and networks of all that is plugged in.

Nothing here names a contribution. What a method is for is told by its ``order`` (kilobench.api.Method): those below 30 prepare a
network, those from 30 on finish it; what may be varied is told by its parameters.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal, get_args, get_origin

from kilobench.contracts import Contribution, Method, Task, UserError
from kilobench.learn.effort import spans
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import Spec, canonical, parameters, parse_recipe, without_width

_FINISHES = 30
"""The order from which on a method finishes a network."""


@dataclass(frozen=True)
class Candidate:
    """A network, as asked for, and what is made of it."""

    network: str
    recipe: str

    @property
    def label(self) -> str:
        """For people; the budget says how wide it is."""
        return f"{self.recipe}, {without_width(self.network)}"


def candidates(networks: Sequence[str], recipes: Sequence[str], first: int, seed: int) -> list[Candidate]:
    """All of them, once each, in the order in which they are tried.

    Those of the first network and the ``first`` recipes come first, as they are listed; all others follow in an order that
    ``seed`` gives, so that a search which ends early has tried a fair sample of them.
    """
    everything = [Candidate(network, recipe) for network, recipe in product(networks, recipes)]
    usual, others = everything[:first], everything[first:]
    random.Random(seed).shuffle(others)
    return list(dict.fromkeys([*usual, *others]))


def default_networks(task: Task, registry: Registry) -> list[str]:
    """The task's own network, then all others by name, at their defaults and at each choice of a parameter that has choices."""
    found = [spec for cls in _classes(registry, "networks") for spec in _variants(cls, registry, "networks")]
    own = canonical(registry.get("networks", task.network))
    return [own, *(spec for spec in found if without_width(spec) != without_width(own))]


def default_recipes(registry: Registry, effort: float) -> tuple[list[str], list[str]]:
    """Recipes of methods at their defaults, the shortest first and then by name; and those of their variants.

    A recipe is ``full``'s like (of order 0), or has one method that finishes; before it one that prepares, and before that one
    that teaches. One that teaches is followed by one that trains. A variant is a method with one of its parameters at another
    of the parameter's choices; it is alone where it finishes, else it stands before every method that finishes untrained.
    """
    methods: list[Method] = [registry.get("methods", cls.name) for cls in _classes(registry, "methods")]
    usual = [recipe for recipe in _combined(methods) if _possible(recipe, effort)]
    varied = [
        recipe
        for method in methods
        for variant in _built(type(method), registry)
        for recipe in _around(variant, methods)
        if _possible(recipe, effort)
    ]
    return _written(sorted(usual, key=lambda recipe: (len(recipe), _text(recipe)))), _written(varied)


def _combined(methods: Sequence[Method]) -> Iterator[tuple[Method, ...]]:
    prepare = [method for method in methods if 0 < method.order < _FINISHES]
    teach, shrink = ([m for m in prepare if m.teaches is teaches] for teaches in (True, False))
    yield from ((method,) for method in methods if method not in prepare)
    for last in (method for method in methods if method.order >= _FINISHES):
        yield from ((first, last) for first in prepare)
        yield from ((teacher, middle, last) for teacher, middle in product(teach, shrink))


def _around(variant: Method, methods: Sequence[Method]) -> Iterator[tuple[Method, ...]]:
    """The shortest recipes that have it."""
    if not 0 < variant.order < _FINISHES:
        yield (variant,)
    else:
        yield from ((variant, last) for last in methods if last.order >= _FINISHES and not last.effort)


def _possible(recipe: Sequence[Method], effort: float) -> bool:
    """Whether its methods may follow each other, all have something to do, and an effort is enough for it."""
    idle = any(method.teaches and not any(m.effort for m in recipe[i + 1 :]) for i, method in enumerate(recipe))
    if idle or any(before.order >= after.order for before, after in pairwise(recipe)):
        return False
    try:
        spans(recipe, effort)
    except UserError:
        return False
    return True


def _classes(registry: Registry, kind: str) -> list[type[Contribution]]:
    """All that can be used, by name."""
    entries = (registry.loaded(kind, name) for name in sorted(registry.entries[kind]))
    return [entry.value for entry in entries if isinstance(entry.value, type)]


def _variants(cls: type[Contribution], registry: Registry, kind: str) -> list[str]:
    """The contribution itself, and with one of its parameters at another of the parameter's choices.

    What it refuses to be is left out. Numbers and texts have no choices that could be read here.
    """
    specs = [Spec(cls.name)]
    for name, (how, default) in parameters(cls).items():
        specs += [Spec(cls.name, ((name, choice),)) for choice in _choices(how) if choice != _word(default)]
    made = []
    for spec in specs:
        try:
            made.append(canonical(registry.get(kind, str(spec))))
        except UserError:
            continue
    return made


def _built(cls: type[Method], registry: Registry) -> list[Method]:
    """The variants of a method without itself."""
    return [registry.get("methods", spec) for spec in _variants(cls, registry, "methods")[1:]]


def _choices(how: Any) -> tuple[str, ...]:
    if how is bool:
        return "true", "false"
    return get_args(how) if get_origin(how) is Literal else ()


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(recipe: Sequence[Method]) -> str:
    return "+".join(map(canonical, recipe))


def _written(recipes: Sequence[Sequence[Method]]) -> list[str]:
    """Without those that are too long to be a recipe."""
    texts = []
    for text in map(_text, recipes):
        try:
            parse_recipe(text)
        except UserError:
            continue
        texts.append(text)
    return texts
