"""How the constants of an operator lie in flash for its kernel, and the scratch memory that the kernel needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from kilobench.graph import Op, Tensor


@dataclass(frozen=True)
class Layout:
    """Fields of a kernel's parameter structure beyond sizes, zero points and clamps."""

    arrays: dict[str, NDArray[Any]]
    """Constant arrays by field, as the kernel reads them."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Plain fields."""
    scratch_bytes: int = 0


def layout(op: Op, source: Tensor, output: Tensor) -> Layout:
    """The layout of one operator; where its kernel wants nothing special, that of the graph."""
    arrange = _ARRANGED.get((op.kind, source.dtype))
    return arrange(op, source, output) if arrange else Layout(op.params)


_ARRANGED: dict[tuple[str, str], Callable[[Op, Tensor, Tensor], Layout]] = {}
