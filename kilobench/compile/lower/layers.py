# SPDX-License-Identifier: Apache-2.0
"""Convolutions, linear layers, pools, sums, axis swaps and flattening, in float32 and int8: one step each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from kilobench.compile import int8
from kilobench.compile.graph import Tensor
from kilobench.compile.lower.norms import affine, array
from kilobench.compile.lower.walk import Walk
from kilobench.compile.operator import kind_of, operator
from kilobench.learn.layers import padding_of
from kilobench.learn.narrow import narrowed

Pair = tuple[int, int]


def conv(walk: Walk, node: fx.Node) -> None:
    """A convolution or linear layer with the batch norm, ReLU and rounding behind it."""
    module = walk.modules[str(node.target)]
    kind = "conv2d"
    source = walk.source(node)
    chain = walk.absorb(node)
    weight = array(module.weight)
    if isinstance(module, nn.Linear):
        height, width, channels = source.shape
        if len(shape := walk.operands(node)[0].meta["shape"]) != 2:
            raise walk.error(
                node, f"reads {list(shape)}, of which it takes the last axis alone; supported is Flatten before it"
            )
        weight = weight.reshape(-1, channels, height, width)
        stride, padding, extra = (1, 1), (0, 0), (0, 0)
    else:
        kind, stride = _conv_kind(walk, node, module), pair(module.stride)
        padding, extra = _padding(walk, node, module)
    bias = np.zeros(len(weight)) if module.bias is None else array(module.bias)
    factor = np.ones(len(weight))
    if (norm := walk.find(chain, "norm")) is not None:
        factor, offset = affine(norm)
        weight, bias = weight * factor[:, None, None, None], bias * factor + offset
    weight = weight.transpose(0, 2, 3, 1)
    output = walk.emit_tensor(node, chain)
    params: dict[str, NDArray[Any]] = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    attrs = conv_attrs(weight.shape[1:3], stride, padding, walk.find(chain, "relu") is not None)
    grid = _grid(module, factor)
    if source.dtype in ("int8", "int16") and output.dtype == "int8":
        with walk.naming(node):
            params = int8.conv_params(weight, bias, source, output, grid)
        if grid is not None and kind == "conv2d":
            attrs["bits"] = grid[0]
    elif grid is not None:
        what = f"is marked for weights of {grid[0]} bits, but reads {source.dtype} and yields {output.dtype}"
        raise walk.error(node, f"{what}; supported is int8 (kilobench.api.quantise)")
    if kind == "depthwise_conv2d":
        params["weight"] = params["weight"][..., 0].transpose(1, 2, 0)
    if extra != (0, 0):
        attrs["extra"] = extra
    walk.emit_op(kind, node, [source], output, attrs=attrs, params=params)


def _grid(module: nn.Module, factor: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]] | None:
    """Bits and steps that a layer is marked with, its weights having been multiplied by a factor for each channel."""
    if (mark := narrowed(module)) is None:
        return None
    steps = array(mark[1])
    return mark[0], np.where(factor != 0, steps * np.abs(factor), steps)


def _conv_kind(walk: Walk, node: fx.Node, module: nn.Conv2d) -> str:
    out, taken = module.weight.shape[:2]
    if module.groups == 1:
        return "conv2d"
    if module.groups == out and taken == 1:
        return "depthwise_conv2d"
    depthwise = f"groups={module.groups * taken} with as many output channels"
    raise walk.error(
        node,
        f"is grouped, groups={module.groups}, for which there is no kernel; supported are groups=1 and {depthwise}",
    )


def _padding(walk: Walk, node: fx.Node, module: nn.Conv2d) -> tuple[Pair, Pair]:
    """Zeros above and at the left, and how many more there are below and at the right."""
    if (padding := padding_of(module)) is None:
        raise walk.error(node, f"has padding={module.padding!r} for a kernel of even size; supported are numbers")
    before = walk.operands(node)[0]
    if walk.kind(before) != "pad":
        return padding, (0, 0)
    left, right, top, below = zeros = walk.modules[str(before.target)].padding
    (most_rows, most_columns), (rows, columns) = module.weight.shape[2:], padding
    if max(top, below) + rows > most_rows or max(left, right) + columns > most_columns:
        raise walk.error(
            before, f"has padding={zeros}; supported are as many zeros on a side as the kernel behind has taps"
        )
    return (rows + top, columns + left), (below - top, right - left)


def pad(walk: Walk, node: fx.Node) -> None:
    """Zeros around a map: padding of the convolution that alone reads it."""
    amounts = walk.modules[str(node.target)].padding
    if walk.follows(node, "conv") is None or min(amounts) < 0:
        raise walk.error(node, f"has padding={amounts}; supported are zeros around the map of one Conv2d that reads it")
    walk.values[node] = walk.source(node)


def max_pool(walk: Walk, node: fx.Node, flip: NDArray[np.uint32] | None = None) -> None:
    """A maximum, with the scale of what it reads; of bits, which are flipped behind it where ``flip`` says so."""
    source = walk.source(node)
    output = _moved(walk, node, source)
    params = {"flip": flip} if flip is not None else {}
    walk.emit_op("max_pool", node, [source], output, attrs=_pool_attrs(walk, node), params=params)


def avg_pool(walk: Walk, node: fx.Node) -> None:
    """An average, with the rounding behind it."""
    source = walk.source(node)
    output = walk.emit_tensor(node, walk.absorb(node))
    attrs = _pool_attrs(walk, node)
    area = attrs["kernel"][0] * attrs["kernel"][1]
    params: dict[str, NDArray[Any]] = {"scale": np.array([1 / area], dtype=np.float32)}
    if output.dtype == "int8":
        with walk.naming(node):
            params = int8.average_params(area, source, output)
    walk.emit_op("avg_pool", node, [source], output, attrs=attrs, params=params)


def add(walk: Walk, node: fx.Node) -> None:
    """A sum, with the ReLU and rounding behind it."""
    operands = walk.operands(node)
    shapes = [operand.meta["shape"] for operand in operands]
    if shapes[0] != shapes[1]:
        raise walk.error(
            node, f"adds maps of the shapes {list(shapes[0])} and {list(shapes[1])}; supported is one shape"
        )
    sources = [walk.values[operand] for operand in operands]
    chain = walk.absorb(node)
    output = walk.emit_tensor(node, chain)
    params: dict[str, NDArray[Any]] = {}
    if output.dtype == "int8":
        with walk.naming(node):
            params = int8.add_params(sources, output)
    attrs = {"relu": walk.find(chain, "relu") is not None}
    walk.emit_op("add", node, sources, output, attrs=attrs, params=params)


def swap(walk: Walk, node: fx.Node) -> None:
    """Channels and height change places."""
    source = walk.source(node)
    walk.emit_op("transpose", node, [source], _moved(walk, node, source))


def flatten(walk: Walk, node: fx.Node) -> None:
    """Nothing to compute: the linear layer that reads it is a convolution over the whole map."""
    before, shape = walk.operands(node)[0].meta["shape"], node.meta["shape"]
    if shape != (before[0], int(np.prod(before[1:]))):
        asked = {name: getattr(walk.modules.get(str(node.target)), name, None) for name in ("start_dim", "end_dim")}
        asked |= dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
        raise walk.error(
            node,
            f"has start_dim={asked['start_dim']}, end_dim={asked['end_dim']}, for which there is no kernel; "
            "supported is start_dim=1, end_dim=-1",
        )
    source = walk.source(node)
    if walk.follows(node, "linear") is None and source.shape[:2] != (1, 1):
        raise walk.error(node, f"feeds something else than one linear layer with a map of {before[2]} x {before[3]}")
    walk.values[node] = source


def layer(walk: Walk, node: fx.Node) -> None:
    """A module that is one operator, whose file says how. A scale that it fixes is taken, whatever was observed."""
    module, sources = walk.modules[str(node.target)], [walk.values[operand] for operand in walk.operands(node)]
    kind, chain = kind_of(module), walk.absorb(node)
    assert kind is not None
    output = walk.emit_tensor(node, chain)
    if sources[0].dtype == "int8" and (grid := operator(kind).grid(sources[0])) is not None:
        output = walk.keep(chain, Tensor(output.name, output.shape, "int8", *grid))
    with walk.naming(node):
        attrs, params = operator(kind).lower(module, sources, output)
    walk.emit_op(kind, node, sources, output, attrs=attrs, params=params)


def _moved(walk: Walk, node: fx.Node, source: Tensor) -> Tensor:
    """The tensor of a node that only moves values: of the type and scale of what it reads."""
    output = Tensor(node.name, walk.shape(node), source.dtype, source.scale, source.zero_point)
    return walk.keep([node], output)


def pair(value: Any) -> Pair:
    """A size along both axes, given as one number or two."""
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    return int(values[0]), int(values[-1])


def conv_attrs(kernel: Any, stride: Any, padding: Any, relu: bool) -> dict[str, Any]:
    """Attributes of a convolution."""
    return {"kernel": pair(kernel), "stride": pair(stride), "padding": pair(padding), "relu": relu}


def _pool_attrs(walk: Walk, node: fx.Node) -> dict[str, Any]:
    pool = walk.modules[str(node.target)]
    stride = pool.kernel_size if pool.stride is None else pool.stride
    return {"kernel": pair(pool.kernel_size), "stride": pair(stride), "padding": (0, 0)}
