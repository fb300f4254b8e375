# SPDX-License-Identifier: Apache-2.0
"""Which operators run together, strip by strip, so that a large feature map between them never exists as a whole.

A chain such as convolution, convolution, pool is cut into steps. A step of several operators makes a strip of its last
output at a time (rows; columns where all maps are one row high), and of every map before it the part which that strip needs.
Parts that two strips share are computed twice, so a step is formed only where that is little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kilobench.compile.graph import Graph, Op
from kilobench.compile.operator import Operator, bind, operator

_MAX_REPEATED = 0.10
"""Largest share of a map that may be computed more than once."""


@dataclass(frozen=True)
class Step:
    """Operators (their places in ``graph.ops``) that run together.

    ``axis`` is the axis of the strips, 0 rows or 1 columns, and ``strips`` the extent along it that each operator makes in one
    turn, except that the last turn may be shorter. A step of one operator makes the whole map at once.
    """

    ops: tuple[int, ...]
    axis: int
    strips: tuple[int, ...]

    def strip_bytes(self, graph: Graph, position: int) -> int:
        """Size of the strip of the operator at a position in this step."""
        tensor = graph.tensors[graph.ops[self.ops[position]].output]
        return tensor.bytes // tensor.shape[self.axis] * self.strips[position]


def steps(graph: Graph) -> list[Step]:
    """The operators of a graph in order, cut so that each chain needs the least memory at its peak."""
    operators = [bind(graph, op) for op in graph.ops]
    result: list[Step] = []
    for first, last in _chains(graph):
        result += _cut(graph, operators, first, last)
    return result


def _chains(graph: Graph) -> list[tuple[int, int]]:
    """Longest runs (first, last) in which every operator reads only the one before it, and nothing else reads that."""
    readers = dict.fromkeys(graph.outputs, 1)
    for op in graph.ops:
        for name in op.inputs:
            readers[name] = readers.get(name, 0) + 1
    chains: list[tuple[int, int]] = []
    for index, op in enumerate(graph.ops):
        before = graph.ops[index - 1] if index else None
        if (
            before is not None
            and _in_strips(op)
            and _in_strips(before)
            and op.inputs == (before.output,)
            and readers[before.output] == 1
        ):
            chains[-1] = (chains[-1][0], index)
        else:
            chains.append((index, index))
    return chains


def _in_strips(op: Op) -> bool:
    kind = operator(op.kind)
    return kind.in_strips and kind.inputs == 1


def _cut(graph: Graph, operators: Sequence[Operator], first: int, last: int) -> list[Step]:
    """The cut of a chain with the lowest peak; of equal ones that with the fewest operators in strips."""
    best: dict[int, tuple[tuple[int, int], list[Step]]] = {first - 1: ((0, 0), [])}
    for end in range(first, last + 1):
        for start in range(first, end + 1):
            step = _step(operators, start, end)
            if step is None:
                continue
            (peak, stripped), before = best[start - 1]
            in_place = first < start == end and operators[start].in_place
            cost = max(peak, _memory(graph, step, in_place)), stripped + (end - start)
            if end not in best or cost < best[end][0]:
                best[end] = cost, [*before, step]
    return best[last][1]


def _memory(graph: Graph, step: Step, in_place: bool) -> int:
    """Bytes of a step's input, strips and output; of an operator that may run in place on a map of a chain, no input that is
    as large as the output."""
    ops = [graph.ops[index] for index in step.ops]
    strips = sum(step.strip_bytes(graph, position) for position in range(len(ops) - 1))
    made = graph.tensors[ops[-1].output].bytes
    read = sum(graph.tensors[name].bytes for name in ops[0].inputs)
    return strips + made + (0 if in_place and read == made else read)


def _step(operators: Sequence[Operator], first: int, last: int) -> Step | None:
    """The operators from first to last as one step, or None where they are not to run in strips."""
    if first == last:
        return Step((first,), 0, (operators[first].output.shape[0],))
    run = operators[first : last + 1]
    axis = int(all(tensor.shape[0] == 1 for one in run for tensor in (one.source, one.output)))
    extent = 1
    while (strips := _strips(run, axis, extent)) is not None:
        repeated = any(
            _repeated(after, axis, strip) > _MAX_REPEATED for after, strip in zip(run[1:], strips[1:], strict=True)
        )
        small = any(strip * one.output.shape[1 - axis] < one.min_pixels for one, strip in zip(run, strips, strict=True))
        if not (repeated or small):
            return Step(tuple(range(first, last + 1)), axis, strips)
        extent *= 2
    return None


def _strips(run: Sequence[Operator], axis: int, extent: int) -> tuple[int, ...] | None:
    """What each operator makes in a turn for ``extent`` of the last; None where a strip is most of its map, or may be nothing
    because a window lies on padding as a whole."""
    strips = [extent]
    for after in run[:0:-1]:
        kernel, stride, padding = after.along(axis)
        size, last = after.source.shape[axis], (after.output.shape[axis] - 1) * stride - padding
        strips.insert(0, (strips[0] - 1) * stride + kernel)
        if 2 * strips[0] > size or padding >= kernel or last >= size:
            return None
    return tuple(strips)


def _repeated(operator: Operator, axis: int, strip: int) -> float:
    """Share of an operator's input that is needed again for its next strip."""
    kernel, stride, _ = operator.along(axis)
    return max(0, kernel - stride) / (strip * stride)
