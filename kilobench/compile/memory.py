# SPDX-License-Identifier: Apache-2.0
"""Where every feature map, strip and scratch buffer lies in the one static arena."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kilobench.compile.graph import Graph
from kilobench.compile.operator import bind
from kilobench.compile.schedule import Step, steps

ALIGNMENT = 16
_PLACINGS = 100
"""Which are tried at most, of a millisecond each for a network of usual size."""


@dataclass(frozen=True)
class Buffer:
    """A piece of the arena, needed from step ``first`` to step ``last`` (inclusive)."""

    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """The steps; offsets in bytes by tensor (a strip of it, where it never exists as a whole), and of scratch by operator.

    ``peak`` is the path of the operator that needs the most; ``lower_bound_bytes`` the least that any placing could need: the
    largest sum, over the steps, of what is live at once: maps from the step that makes them to the last that reads them, strips
    and scratch during their step, all of them aligned, and what is made in place once with what it overwrites.
    """

    steps: tuple[Step, ...]
    offsets: dict[str, int]
    scratch: dict[int, int]
    arena_bytes: int
    lower_bound_bytes: int
    peak: str


def plan(graph: Graph) -> Plan:
    """Cut the graph into steps and place all that they need."""
    cut = steps(graph)
    needed = buffers(graph, cut)
    live = [sum(b.bytes for b in needed.values() if b.first <= step <= b.last) for step in range(len(cut))]
    offsets = _place(list(needed.values()), max(live))
    placed = dict(zip(needed, offsets, strict=True))
    in_place = _in_place(graph, cut)
    tensors = {name: offset for name, offset in placed.items() if isinstance(name, str)}
    for name in in_place:
        tensors[name] = placed[_root(name, in_place)]
    scratch = {op: offset for op, offset in placed.items() if isinstance(op, int)}
    arena = max(offset + buffer.bytes for offset, buffer in zip(offsets, needed.values(), strict=True))
    peak = cut[live.index(max(live))].ops[-1]
    return Plan(tuple(cut), tensors, scratch, arena, max(live), graph.ops[peak].name)


def buffers(graph: Graph, cut: list[Step]) -> dict[str | int, Buffer]:
    """All buffers, by tensor or, for scratch, by the operator's place; a tensor made in place has its input's."""
    in_place = _in_place(graph, cut)
    spans = {graph.input: (0, 0)}
    sizes = {graph.input: graph.tensors[graph.input].bytes}
    result: dict[str | int, Buffer] = {}
    for index, step in enumerate(cut):
        for position, place in enumerate(step.ops):
            op = graph.ops[place]
            for name in op.inputs:
                root = _root(name, in_place)
                spans[root] = spans[root][0], index
            output = _root(op.output, in_place)
            spans[output] = spans.get(output, (index, index))[0], index
            whole = position == len(step.ops) - 1
            sizes[output] = graph.tensors[op.output].bytes if whole else step.strip_bytes(graph, position)
            if scratch := bind(graph, op).scratch_bytes():
                result[place] = Buffer(_aligned(scratch), index, index)
    for last in (_root(name, in_place) for name in graph.outputs):
        spans[last] = spans[last][0], len(cut)
    return {**{name: Buffer(_aligned(sizes[name]), *span) for name, span in spans.items()}, **result}


def _in_place(graph: Graph, cut: list[Step]) -> dict[str, str]:
    """Outputs that may overwrite an input which nothing reads later: that input."""
    last_read = {name: index for index, op in enumerate(graph.ops) for name in op.inputs}
    whole = {step.ops[0] for step in cut if len(step.ops) == 1}
    result: dict[str, str] = {}
    for index, op in enumerate(graph.ops):
        if index in whole and bind(graph, op).in_place:
            size = graph.tensors[op.output].bytes
            free = [
                name
                for name in op.inputs
                if last_read[name] == index and name not in graph.outputs and graph.tensors[name].bytes == size
            ]
            if free:
                result[op.output] = free[0]
    return result


def _root(name: str, in_place: dict[str, str]) -> str:
    while name in in_place:
        name = in_place[name]
    return name


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _place(needed: list[Buffer], enough: int) -> list[int]:
    """Offsets in an arena of ``enough`` bytes, or of the fewest that are found.

    First by size, the largest first (Pisarchyk and Lee, arXiv 2001.03288, section 5); while that takes more than enough, again
    with what lies highest before all others. Of the orders that there are, one yields the smallest arena.
    """
    order = sorted(range(len(needed)), key=lambda i: (-needed[i].bytes, needed[i].first, i))
    best: list[int] = []
    least = math.inf
    for _ in range(_PLACINGS):
        offsets = _first_fit(needed, order)
        ends = [offset + buffer.bytes for offset, buffer in zip(offsets, needed, strict=True)]
        if max(ends) < least:
            best, least = offsets, max(ends)
        if least <= enough:
            break
        highest = ends.index(max(ends))
        order = [highest, *(index for index in order if index != highest)]
    return best


def _first_fit(needed: list[Buffer], order: list[int]) -> list[int]:
    """Each in turn at the lowest offset at which it meets none of those before."""
    offsets: dict[int, int] = {}
    for index in order:
        buffer = needed[index]
        neighbours = sorted(
            (offset, offset + needed[other].bytes)
            for other, offset in offsets.items()
            if needed[other].first <= buffer.last and buffer.first <= needed[other].last
        )
        offset = 0
        for start, end in neighbours:
            if offset + buffer.bytes <= start:
                break
            offset = max(offset, end)
        offsets[index] = offset
    return [offsets[index] for index in range(len(needed))]
