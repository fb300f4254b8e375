"""Where every feature map lies in the one static arena."""

from __future__ import annotations

from dataclasses import dataclass

from kilobench.graph import Graph

ALIGNMENT = 16


@dataclass(frozen=True)
class Plan:
    """Offsets in bytes by tensor name, the arena's size, and the least that any plan could need."""

    offsets: dict[str, int]
    arena_bytes: int
    lower_bound_bytes: int


def lifetimes(graph: Graph) -> dict[str, tuple[int, int]]:
    """First and last operator (inclusive) during which each tensor must exist; the input exists from operator 0."""
    spans = {graph.input: (0, 0)}
    for index, op in enumerate(graph.ops):
        for name in op.inputs:
            spans[name] = (spans[name][0], index)
        spans[op.output] = (index, index)
    spans[graph.output] = (spans[graph.output][0], len(graph.ops))
    return spans


def plan(graph: Graph) -> Plan:
    """Greedy by size (Pisarchyk and Lee, arXiv 2001.03288, section 5): largest first, each at the lowest free offset."""
    spans = lifetimes(graph)
    sizes = {name: -(-graph.tensors[name].bytes // ALIGNMENT) * ALIGNMENT for name in spans}
    offsets: dict[str, int] = {}
    for name in sorted(spans, key=lambda n: (-sizes[n], spans[n], n)):
        first, last = spans[name]
        neighbours = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if spans[other][0] <= last and first <= spans[other][1]
        )
        offset = 0
        for start, end in neighbours:
            if offset + sizes[name] <= start:
                break
            offset = max(offset, end)
        offsets[name] = offset
    arena = max(offsets[name] + sizes[name] for name in spans)
    live = [
        sum(sizes[name] for name, (first, last) in spans.items() if first <= index <= last)
        for index in range(len(graph.ops))
    ]
    return Plan(offsets, arena, max(live))
