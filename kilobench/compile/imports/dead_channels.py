# SPDX-License-Identifier: Apache-2.0
"""Graph -> graph without channels that training has emptied: those of int8 that are the same whatever the network reads.

What reads a channel that never changes has its share in the bias instead, and a channel that nothing reads any more is not made.
Both are exact: no output of the graph changes, for any input.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.counts import macs, parameters
from kilobench.compile.graph import Graph, LeftOut, Op, Tensor
from kilobench.compile.operator import Operator, bind
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.ops.depthwise_conv2d import DepthwiseConv2d

_POOLS = ("avg_pool", "max_pool", "tflite_avg_pool")
_TOGETHER = 4
"""Channels come in multiples of as many, which kernels make at a time."""

Constants = dict[str, tuple[NDArray[np.bool_], NDArray[np.int64]]]
"""Of a tensor, for each channel: whether all its pixels are always the same, and as what."""


def without_dead_channels(graph: Graph) -> Graph:
    """The same outputs of fewer channels; the graph itself if there are none to leave out."""
    folded = replace(graph, ops=_fold(graph))
    kept = _kept(folded)
    if all(channels.all() for channels in kept.values()):
        return graph
    tensors = {name: _part(tensor, kept[name]) for name, tensor in graph.tensors.items()}
    cut = replace(graph, tensors=tensors, ops=tuple(_cut(op, folded, kept) for op in folded.ops))
    fewer = sum(macs(graph).values()) - sum(macs(cut).values())
    return replace(cut, left_out=LeftOut(parameters(graph) - parameters(cut), fewer))


def _fold(graph: Graph) -> tuple[Op, ...]:
    """The operators, of which those of weights have none for input that never changes, but for all of it in the bias."""
    constants: Constants = {}
    ops = []
    for op in graph.ops:
        known, convolution = constants.get(op.inputs[0]), _convolution(graph, op)
        if convolution:
            if known is not None and known[0].any():
                op = _absorb(convolution, *known)
                convolution = _convolution(graph, op) or convolution
            constants[op.output] = convolution.settled(), convolution.extremes()[0].astype(np.int64)
        elif known is not None and op.kind in _POOLS:
            constants[op.output] = _pooled(bind(graph, op), *known)
        ops.append(op)
    return tuple(ops)


def _convolution(graph: Graph, op: Op) -> Convolution | None:
    """One of int8 in which each output reads all input channels, or the one of its number; None for all else."""
    bound = bind(graph, op)
    if not isinstance(bound, Convolution) or (bound.source.dtype, bound.output.dtype) != ("int8", "int8"):
        return None
    if isinstance(bound, DepthwiseConv2d):
        return bound if bound.output.shape[2] == bound.source.shape[2] else None
    return bound if bound.groups() == 1 else None


def _absorb(bound: Convolution, constant: NDArray[np.bool_], value: NDArray[np.int64]) -> Op:
    """A convolution without weights for channels that never change; where windows reach beyond the map, only for those that are
    as padding is, which is nothing.
    """
    weight, difference = bound.params["weight"], value - bound.source.zero_point
    taken = constant if bound.inside() else constant & (difference == 0)
    depthwise = isinstance(bound, DepthwiseConv2d)  # [H, W, O], else [O, H, W, I]
    part = weight.astype(np.int64) * np.where(taken, difference, 0)
    bias = bound.params["bias"] + part.sum(axis=(0, 1) if depthwise else (1, 2, 3))
    params = {"weight": np.where(taken, 0, weight).astype(np.int8), "bias": bias.astype(np.int32)}
    return replace(bound.op, params=bound.params | params)


def _pooled(
    bound: Operator, constant: NDArray[np.bool_], value: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """What a pool makes of channels that never change."""
    made = bound.compute([np.broadcast_to(value, (1, *bound.source.shape)).astype(np.int8)])[0]
    first = made[0, 0]
    return constant & (made == first).all(axis=(0, 1)), first.astype(np.int64)


def _kept(graph: Graph) -> dict[str, NDArray[np.bool_]]:
    """The channels of each tensor that are to be made. Those of what a depthwise convolution or a pool reads and makes are the
    same.
    """
    groups = _groups(graph)
    needed = {first: np.zeros(graph.tensors[first].shape[2], bool) for first in groups.values()}
    made_by = {op.output: op for op in graph.ops}
    for name, first in groups.items():
        op = made_by.get(name)
        needed[first] |= name in graph.outputs or op is None or not (_is_coupled(graph, op) or _is_sum(graph, op))
    for op in graph.ops:
        if _is_sum(graph, op):
            needed[groups[op.inputs[0]]] |= op.params["weight"].any(axis=(0, 1, 2))
        elif not _is_coupled(graph, op):
            for name in op.inputs:
                needed[groups[name]] |= True
    return {name: _in_fours(needed[first]) for name, first in groups.items()}


def _is_sum(graph: Graph, op: Op) -> bool:
    """Whether its outputs read all channels, of which some may be left out."""
    return op.kind == "conv2d" and _convolution(graph, op) is not None


def _is_coupled(graph: Graph, op: Op) -> bool:
    """Whether each output channel reads the one of its number."""
    return op.kind in _POOLS or (op.kind == "depthwise_conv2d" and _convolution(graph, op) is not None)


def _groups(graph: Graph) -> dict[str, str]:
    """By tensor the first one of those with the same channels."""
    first = {name: name for name in graph.tensors}
    for op in graph.ops:
        if _is_coupled(graph, op):
            first[op.output] = first[op.inputs[0]]
    return first


def _in_fours(needed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With as many others, the first ones, as make a multiple of four."""
    count = int(needed.sum())
    spare = np.flatnonzero(~needed)[: max(-count % _TOGETHER, _TOGETHER - count)]
    kept = needed.copy()
    kept[spare] = True
    return kept


def _part(tensor: Tensor, kept: NDArray[np.bool_]) -> Tensor:
    return replace(tensor, shape=(*tensor.shape[:2], int(kept.sum())))


def _cut(op: Op, graph: Graph, kept: dict[str, NDArray[np.bool_]]) -> Op:
    """With the parameters of what is kept."""
    made = kept[op.output]
    if (made.all() and all(kept[name].all() for name in op.inputs)) or _convolution(graph, op) is None:
        return op
    weight = op.params["weight"]
    weight = weight[..., made] if op.kind == "depthwise_conv2d" else weight[made][..., kept[op.inputs[0]]]
    numbers = {key: array[made] for key, array in op.params.items() if key != "weight"}
    return replace(op, params={"weight": np.ascontiguousarray(weight)} | numbers)
