# SPDX-License-Identifier: Apache-2.0
"""How the axes of a logical value lie in memory, so that most transposes and reshapes are only other names for them.

An *order* is the axes of a value that are larger than 1, as they follow each other in memory, the last one fastest. The shape
[h, w, c] of the map that holds it is any split of these into three runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import prod

Order = tuple[int, ...]
Blocks = tuple[Order, Order, Order]


def order_of(axes: Iterable[int], shape: Sequence[int]) -> Order:
    """Those of these axes that are larger than 1."""
    return tuple(axis for axis in axes if shape[axis] > 1)


def row_major(shape: Sequence[int]) -> Order:
    """The order in which the file counts values."""
    return order_of(range(len(shape)), shape)


def sizes(blocks: Iterable[Iterable[int]], shape: Sequence[int]) -> tuple[int, ...]:
    """How many values lie along each block of axes."""
    return tuple(prod(shape[axis] for axis in block) for block in blocks)


def groups(shape: Sequence[int], new: Sequence[int]) -> list[tuple[Order, Order]]:
    """The smallest runs of axes of a shape, and of that which it is reshaped to, that hold the same values."""
    result: list[tuple[Order, Order]] = []
    old_axes, new_axes = list(row_major(shape)), list(row_major(new))
    while old_axes and new_axes:
        olds, news = [old_axes.pop(0)], [new_axes.pop(0)]
        while (left := prod(shape[a] for a in olds)) != (right := prod(new[a] for a in news)):
            if left < right:
                olds.append(old_axes.pop(0))
            else:
                news.append(new_axes.pop(0))
        result.append((tuple(olds), tuple(news)))
    return result


def regroup(shape: Sequence[int], order: Order, new: Sequence[int]) -> Order | None:
    """The order of a value after it is reshaped to ``new``, if nothing need move; None where it has to be row-major first."""
    begins: dict[int, Order] = {}
    follow: set[int] = set()
    for olds, news in groups(shape, new):
        place = order.index(olds[0])
        if order[place : place + len(olds)] != olds:
            return None
        begins[olds[0]] = news
        follow |= set(olds[1:])
    return tuple(axis for old in order if old not in follow for axis in begins[old])


def moves(order: Order, wanted: Order) -> list[tuple[Blocks, tuple[int, int, int]]]:
    """Transposes of three blocks each that bring an order into another one; their axes are as of the operator transpose."""
    result: list[tuple[Blocks, tuple[int, int, int]]] = []
    while order != wanted:
        runs = _runs(order, wanted)
        if len(runs) <= 3:
            blocks: list[Order] = [(), (), ()][len(runs) :] + runs
            axes = sorted(range(3), key=lambda i: wanted.index(blocks[i][0]) if blocks[i] else -1)
        else:
            done = next(i for i, (a, b) in enumerate(zip(order, wanted, strict=True)) if a != b)
            place = order.index(wanted[done])
            blocks, axes = [order[:done], order[done:place], order[place:]], [0, 2, 1]
        result.append(((blocks[0], blocks[1], blocks[2]), (axes[0], axes[1], axes[2])))
        order = tuple(axis for i in axes for axis in blocks[i])
    return result


def _runs(order: Order, wanted: Order) -> list[Order]:
    """The longest runs of axes that follow each other in both orders."""
    after = dict(pairwise(wanted))
    runs: list[list[int]] = []
    for axis in order:
        if runs and after.get(runs[-1][-1]) == axis:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return [tuple(run) for run in runs]


def blocks_of(shape: Sequence[int], order: Order, held: Sequence[int]) -> Blocks | None:
    """Which axes lie along each side of a map [h, w, c]; None where a side cuts through an axis."""
    left, blocks = list(order), []
    for size in held:
        block: list[int] = []
        while left and (count := prod(shape[axis] for axis in block)) != size and count * shape[left[0]] <= size:
            block.append(left.pop(0))
        if prod(shape[axis] for axis in block) != size:
            return None
        blocks.append(tuple(block))
    return blocks[0], blocks[1], blocks[2]


def alone(blocks: Blocks, axis: int, usual: Sequence[int]) -> int | None:
    """The side of a map along which an axis lies, and no other; one of size 1 takes a free side where it usually would lie."""
    if (axis,) in blocks:
        return blocks.index((axis,))
    order = blocks[0] + blocks[1] + blocks[2]
    place = _place(order, axis, usual)
    counts = [len(sum(blocks[:side], ())) for side in range(3)]
    free = [side for side in (2, 1, 0) if not blocks[side] and counts[side] == place]
    return free[0] if free and axis not in order else None


def split(order: Order, axis: int, usual: Sequence[int]) -> Blocks:
    """An order as what lies before an axis, the axis, and what lies behind it; one of size 1 where it would usually lie."""
    if axis in order:
        place = order.index(axis)
        return order[:place], (axis,), order[place + 1 :]
    place = _place(order, axis, usual)
    return order[:place], (), order[place:]


def _place(order: Order, axis: int, usual: Sequence[int]) -> int:
    """Behind all that usually lie before it."""
    before = usual[: usual.index(axis)]
    return max((order.index(other) + 1 for other in before if other in order), default=0)
