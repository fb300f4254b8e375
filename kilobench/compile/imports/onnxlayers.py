# SPDX-License-Identifier: Apache-2.0
"""Operators of ONNX that compute maps, opsets 7 and later (https://onnx.ai/onnx/operators/), as nodes of a Program."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kilobench.compile.imports.builder import axis_of
from kilobench.compile.imports.onnxmodel import Op, Translate
from kilobench.compile.imports.onnxshapes import folded
from kilobench.compile.imports.windows import Window
from kilobench.compile.operator import require


def window(op: Op, kernel: Sequence[int]) -> Window:
    """Of a convolution or pool with this kernel."""
    rank = len(kernel)
    same = {"NOTSET": "", "VALID": "", "SAME_UPPER": "upper", "SAME_LOWER": "lower"}
    auto = op.take("auto_pad", "NOTSET")
    require(auto in same, f"has auto_pad={auto!r:.30}; supported are {', '.join(same)}")
    pads = op.take("pads", (0,) * (2 * rank))
    pads = pads if auto == "NOTSET" else (0,) * (2 * rank)
    require(len(pads) == 2 * rank, f"has {len(pads)} pads for {rank} axes")
    return Window(
        kernel=tuple(kernel),
        stride=op.take("strides", (1,) * rank),
        before=pads[:rank],
        after=pads[rank:],
        dilation=op.take("dilations", (1,) * rank),
        same=same[auto],
        ceil=op.take("ceil_mode", 0) != 0,
        counts_padding=op.take("count_include_pad", 0) != 0,
    )


def convolved(op: Op, x: str, weight: str, bias: str) -> str:
    """A Conv of dequantised inputs, whose attributes are those of ``op``."""
    kernel = op.builder.shape(weight)[2:]
    stated = op.take("kernel_shape", kernel)
    require(stated == kernel, f"has kernel_shape={stated} and a weight of {kernel}")
    return op.builder.conv(x, weight, bias, window(op, kernel), op.take("group", 1))


def _conv(op: Op) -> str:
    return convolved(op, op.input(0), op.input(1), op.optional(2))


def matrix_product(op: Op, a: str, b: str) -> str:
    """A times a constant [in, out]."""
    require(op.builder.is_constant(b), "multiplies two maps; supported is a constant on the right")
    require(len(op.builder.shape(b)) == 2, f"multiplies by the shape {op.builder.shape(b)}; supported are 2 axes")
    return op.builder.dense(a, op.builder.transpose(b, (1, 0)))


def gemm(op: Op, a: str, b: str, c: str) -> str:
    """A Gemm, whose attributes are those of ``op``."""
    builder = op.builder
    op.only("transA", 0)
    alpha, beta = op.take("alpha", 1.0), op.take("beta", 1.0)
    require(len(builder.shape(b)) == 2, f"multiplies by the shape {builder.shape(b)}; supported are 2 axes")
    weight = b if op.take("transB", 0) else builder.transpose(b, (1, 0))
    if alpha != 1:
        weight = builder.scaled(weight, alpha)
    if not c:
        return builder.dense(a, weight)
    out = builder.shape(weight)[0]
    if not builder.is_constant(c) or builder.values[c].grid is None or builder.shape(c) != (out,) or beta != 1:
        flat = np.broadcast_to(builder.floats(c, "bias").astype(np.float32) * np.float32(beta), (1, out)).reshape(out)
        c = builder.constant(flat)
    return builder.dense(a, weight, c)


def _gemm(op: Op) -> str:
    return gemm(op, op.input(0), op.input(1), op.optional(2))


def _batch_norm(op: Op) -> str:
    op.take("momentum", 0.9)
    op.only("training_mode", 0)
    op.only("spatial", 1)
    scale, bias, mean, variance = (op.input(index) for index in range(1, 5))
    return op.builder.batch_norm(op.input(), scale, bias, mean, variance, op.take("epsilon", 1e-5))


def pooled(kind: str, op: Op, x: str) -> str:
    """A MaxPool or AveragePool of a dequantised input."""
    op.only("storage_order", 0)
    return op.builder.pool(kind, x, window(op, op.take("kernel_shape", tuple)))


def _max_pool(op: Op) -> str:
    return pooled("max_pool", op, op.input())


def _average_pool(op: Op) -> str:
    return pooled("avg_pool", op, op.input())


def global_average(op: Op, x: str) -> str:
    """The mean over all but batch and channels."""
    return op.builder.mean(x, range(2, len(op.builder.shape(x))), keepdims=True)


def _global_average(op: Op) -> str:
    return global_average(op, op.input())


def _global_max(op: Op) -> str:
    sizes = op.shape()[2:]
    none, one = (0,) * len(sizes), (1,) * len(sizes)
    return op.builder.pool("max_pool", op.input(), Window(sizes, one, none, none, one))


# Values


def _unary(kind: str) -> Translate:
    return lambda op: op.builder.node(kind, op.input())


def _binary(kind: str) -> Translate:
    return lambda op: op.builder.binary(kind, op.input(0), op.input(1))


def _sum(op: Op) -> str:
    total = op.input(0)
    for index in range(1, len(op.inputs)):
        total = op.builder.binary("add", total, op.input(index))
    return total


def _div(op: Op) -> str:
    builder, (a, b) = op.builder, (op.input(0), op.input(1))
    if builder.is_constant(a, b):
        return folded(lambda x, y: x / y if x.dtype.kind == "f" else x // y)(op)
    return builder.divided(a, b)


def _neg(op: Op) -> str:
    return folded(np.negative)(op) if op.builder.is_constant(op.input()) else op.builder.scaled(op.input(), -1)


def _clip(op: Op) -> str:
    if op.opset < 11:
        low, high = op.take("min", -math.inf), op.take("max", math.inf)
    else:
        low, high = op.number(1, -math.inf), op.number(2, math.inf)
    return op.builder.clip(
        op.input(), *(bound if abs(bound) < 3.4e38 else math.copysign(math.inf, bound) for bound in (low, high))
    )


def _bound(side: str) -> Translate:
    """Max or Min of a map and a number."""

    def bounded(op: Op) -> str:
        require(len(op.inputs) == 2, f"has {len(op.inputs)} inputs; supported are a map and a number")
        a, b = op.input(0), op.input(1)
        number = op.number(1, 0) if op.builder.is_constant(b) else op.number(0, 0)
        x = a if op.builder.is_constant(b) else b
        return op.builder.clip(x, *((number, math.inf) if side == "low" else (-math.inf, number)))

    return bounded


def _leaky_relu(op: Op) -> str:
    return op.builder.node("leaky_relu", op.input(), slope=op.take("alpha", float(np.float32(0.01))))


def _prelu(op: Op) -> str:
    return op.builder.leaky(op.input(0), op.input(1))


def _hard_sigmoid(op: Op) -> str:
    return op.builder.node("hard_sigmoid", op.input(), slope=op.take("alpha", 0.2), offset=op.take("beta", 0.5))


def softmax(op: Op, x: str, opset: int) -> str:
    """Along one axis since opset 13; before, along all from one on, which are one if the others are 1."""
    shape = op.builder.shape(x)
    axis = axis_of(op.take("axis", -1 if opset >= 13 else 1), len(shape))
    if opset < 13:
        axes = [i for i in range(axis, len(shape)) if shape[i] > 1] or [axis]
        require(len(axes) == 1, f"is over {len(axes)} axes; supported is one")
        axis = axes[0]
    return op.builder.softmax(x, axis)


def _softmax(op: Op) -> str:
    return softmax(op, op.input(), op.opset)


def _argmax(op: Op) -> str:
    op.only("select_last_index", 0)
    return op.builder.argmax(op.input(), op.take("axis", 0), op.take("keepdims", 1) != 0)


def _reduce_mean(op: Op) -> str:
    axes, rank = op.ints_of("axes", 1, 18), len(op.shape())
    if not axes and op.take("noop_with_empty_axes", 0):
        return op.input()
    op.take("noop_with_empty_axes", 0)
    return op.builder.mean(op.input(), axes or range(rank), op.take("keepdims", 1) != 0)


LAYERS: dict[str, Translate] = {
    "Add": _binary("add"),
    "ArgMax": _argmax,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "Div": _div,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary("hard_swish"),
    "LeakyRelu": _leaky_relu,
    "MatMul": lambda op: matrix_product(op, op.input(0), op.input(1)),
    "Max": _bound("low"),
    "MaxPool": _max_pool,
    "Min": _bound("high"),
    "Mul": _binary("mul"),
    "Neg": _neg,
    "PRelu": _prelu,
    "ReduceMean": _reduce_mean,
    "Relu": _unary("relu"),
    "Sigmoid": _unary("sigmoid"),
    "Softmax": _softmax,
    "Sub": _binary("sub"),
    "Sum": _sum,
    "Tanh": _unary("tanh"),
}
