# SPDX-License-Identifier: Apache-2.0
"""A call of an operator of ATen, with its arguments by the names of its schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kilobench.compile.imports.builder import Builder
from kilobench.compile.operator import require

_MISSING = object()


@dataclass(frozen=True)
class Ref:
    """A tensor, by its name in the builder."""

    name: str


@dataclass(frozen=True)
class Positive:
    """Where a tensor is above 0: what a PReLU is decomposed to asks for that."""

    name: str


class Call:
    """An operator that is being translated. Arguments that nothing asks for are refused in the end."""

    def __init__(self, builder: Builder, target: str, arguments: dict[str, Any]) -> None:
        self.builder, self.target, self._left = builder, target, arguments
        self.namespace, name, self.overload = (*target.split(".", 2), "", "")[:3]
        self.in_place = name.endswith("_") and not name.startswith("_")
        self.base = name.rstrip("_") if self.in_place else name

    def has(self, name: str) -> bool:
        """Whether an argument is given, and was not asked for yet."""
        return name in self._left

    def peek(self, name: str) -> Any:
        """An argument that is asked for later, or None."""
        return self._left.get(name)

    def take(self, name: str, default: Any = _MISSING) -> Any:
        """An argument as it is."""
        require(name in self._left or default is not _MISSING, f"lacks the argument {name}")
        return self._left.pop(name, default)

    def idle(self, *names: str) -> None:
        """Arguments that change nothing here."""
        for name in names:
            self._left.pop(name, None)

    def only(self, name: str, *values: Any) -> None:
        """Refuse an argument that is none of these values, the first being its default."""
        value = self.take(name, values[0])
        allowed = value in values
        require(allowed, f"has {name}={value!r:.50}, for which there is no kernel; supported is {values[0]!r}")

    def tensor(self, *names: str) -> str:
        """A tensor that must be given, under the first of these names that is there."""
        name = next((name for name in names if self.has(name)), names[0])
        value = self.take(name)
        require(isinstance(value, Ref), f"has {name} that is no tensor")
        return str(value.name)

    def optional(self, name: str) -> str:
        """A tensor, or nothing."""
        value = self.take(name, None)
        require(value is None or isinstance(value, Ref), f"has {name} that is no tensor")
        return "" if value is None else str(value.name)

    def operand(self, name: str) -> str:
        """A tensor, or a number as a constant."""
        value = self.take(name)
        if isinstance(value, Ref):
            return value.name
        require(type(value) in (int, float), f"has {name}={value!r:.30}, which is no number or tensor")
        return self.builder.constant(np.float32(value))

    def integer(self, name: str, default: Any = _MISSING) -> int:
        """A whole number."""
        value = self.take(name, default)
        require(type(value) is int, f"has {name}={value!r:.30}, which is no whole number")
        return int(value)

    def number(self, name: str, default: Any = _MISSING) -> float:
        """A number."""
        value = self.take(name, default)
        require(type(value) in (int, float) and value == value, f"has {name}={value!r:.30}, which is no number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or False."""
        value = self.take(name, default)
        require(type(value) is bool, f"has {name}={value!r:.30}, which is no truth value")
        return bool(value)

    def ints(self, name: str, default: Any = _MISSING, count: int = 0) -> tuple[int, ...]:
        """Whole numbers; one stands for ``count`` equal ones."""
        value = self.take(name, default)
        value = (value,) if type(value) is int else value
        require(isinstance(value, tuple) and all(type(n) is int for n in value), f"has {name}={value!r:.50}")
        return value * count if len(value) == 1 and count else tuple(value)

    def finish(self) -> None:
        """Raises ValueError if an argument is left that is not its usual default."""
        left = {name: value for name, value in self._left.items() if value is not None}
        require(not left, f"has the argument {next(iter(left), '')}, which is not known here")
