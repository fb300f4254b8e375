"""Which operators run together, strip by strip, so that a large feature map between them never exists as a whole.

A chain such as convolution, convolution, pool is cut into steps. A step of several operators makes a strip of its last
output at a time (rows; columns where all maps are one row high), and of every map before it the part which that strip needs.
Parts that two strips share are computed twice, so a step is formed only where that is little.
"""

from __future__ import annotations

from dataclasses import dataclass

from kilobench.compile.graph import Graph, Op, Tensor

_WINDOWED = ("conv2d", "depthwise_conv2d", "max_pool", "avg_pool")
_CHAINED = (*_WINDOWED, "binarize")
_MAX_REPEATED = 0.10
"""Largest share of a map that may be computed more than once."""
_MIN_PIXELS = 16
"""Pixels that every convolution makes in one turn, lest calling kernels costs more than their work."""


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
    result: list[Step] = []
    for first, last in _chains(graph):
        result += _cut(graph, first, last)
    return result


def window_along(op: Op, axis: int) -> tuple[int, int, int]:
    """Kernel, stride and padding of an operator along an axis."""
    if op.kind not in _WINDOWED:
        return 1, 1, 0
    return op.attrs["kernel"][axis], op.attrs["stride"][axis], op.attrs["padding"][axis]


def _chains(graph: Graph) -> list[tuple[int, int]]:
    """Longest runs (first, last) in which every operator reads only the one before it, and nothing else reads that."""
    readers: dict[str, int] = {graph.output: 1}
    for op in graph.ops:
        for name in op.inputs:
            readers[name] = readers.get(name, 0) + 1
    chains: list[tuple[int, int]] = []
    for index, op in enumerate(graph.ops):
        before = graph.ops[index - 1] if index else None
        if (
            before is not None
            and op.kind in _CHAINED
            and before.kind in _CHAINED
            and op.inputs == (before.output,)
            and readers[before.output] == 1
        ):
            chains[-1] = (chains[-1][0], index)
        else:
            chains.append((index, index))
    return chains


def _cut(graph: Graph, first: int, last: int) -> list[Step]:
    """The cut of a chain with the lowest peak; of equal ones that with the fewest operators in strips."""
    best: dict[int, tuple[tuple[int, int], list[Step]]] = {first - 1: ((0, 0), [])}
    for end in range(first, last + 1):
        for start in range(first, end + 1):
            step = _step(graph, start, end)
            if step is None:
                continue
            (peak, stripped), before = best[start - 1]
            cost = max(peak, _memory(graph, step)), stripped + (end - start)
            if end not in best or cost < best[end][0]:
                best[end] = cost, [*before, step]
    return best[last][1]


def _memory(graph: Graph, step: Step) -> int:
    """Bytes of a step's input, strips and output."""
    ops = [graph.ops[index] for index in step.ops]
    strips = sum(step.strip_bytes(graph, position) for position in range(len(ops) - 1))
    return sum(graph.tensors[name].bytes for name in (*ops[0].inputs, ops[-1].output)) + strips


def _step(graph: Graph, first: int, last: int) -> Step | None:
    """The operators from first to last as one step, or None where they are not to run in strips."""
    if first == last:
        return Step((first,), 0, (graph.tensors[graph.ops[first].output].shape[0],))
    ops = graph.ops[first : last + 1]
    axis = int(all(graph.tensors[name].shape[0] == 1 for op in ops for name in (op.inputs[0], op.output)))
    outputs = [graph.tensors[op.output] for op in ops]
    extent = 1
    while (strips := _strips(ops, outputs, axis, extent)) is not None:
        repeated = any(
            _repeated(after, axis, strip) > _MAX_REPEATED for after, strip in zip(ops[1:], strips[1:], strict=True)
        )
        small = any(
            op.kind == "conv2d" and strip * tensor.shape[1 - axis] < _MIN_PIXELS
            for op, strip, tensor in zip(ops, strips, outputs, strict=True)
        )
        if not (repeated or small):
            return Step(tuple(range(first, last + 1)), axis, strips)
        extent *= 2
    return None


def _strips(ops: tuple[Op, ...], outputs: list[Tensor], axis: int, extent: int) -> tuple[int, ...] | None:
    """What each operator makes in a turn for ``extent`` of the last; None where a strip is most of its map."""
    strips = [extent]
    for op, tensor in zip(ops[:0:-1], outputs[-2::-1], strict=True):
        kernel, stride, _ = window_along(op, axis)
        strips.insert(0, (strips[0] - 1) * stride + kernel)
        if 2 * strips[0] > tensor.shape[axis]:
            return None
    return tuple(strips)


def _repeated(op: Op, axis: int, strip: int) -> float:
    """Share of an operator's input that is needed again for its next strip."""
    kernel, stride, _ = window_along(op, axis)
    return max(0, kernel - stride) / (strip * stride)
