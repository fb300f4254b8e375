# SPDX-License-Identifier: Apache-2.0
"""What operators of ATen mean (aten/src/ATen/native/native_functions.yaml), as nodes of a Program."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from kilobench.compile.imports.atencalls import Call, Positive, Ref
from kilobench.compile.imports.builder import axis_of
from kilobench.compile.imports.windows import Window
from kilobench.compile.operator import require

Translate = Callable[[Call], Any]

VIEWS = {
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "t",
    "slice",
    "split",
    "split_with_sizes",
    "chunk",
    "select",
    "narrow",
    "unbind",
    "detach",
    "alias",
    "expand",
    "contiguous",
    "to",
    "dropout",
    "feature_dropout",
    "identity",
}
"""Operators whose output may be the memory of their input."""


# Layers


def _convolution(call: Call) -> str:
    builder, x, weight, bias = call.builder, call.tensor("input"), call.tensor("weight"), call.optional("bias")
    kernel = builder.shape(weight)[2:]
    rank = len(kernel)
    call.only("transposed", False)
    call.take("output_padding", None)
    call.idle("benchmark", "deterministic", "cudnn_enabled", "allow_tf32")
    padding = call.take("padding", 0)
    same = padding == "same"
    if isinstance(padding, str):
        require(padding in ("same", "valid"), f"has padding={padding!r:.30}; supported are numbers, 'same' and 'valid'")
        padding = 0
    pads = (padding,) * rank if type(padding) is int else tuple(padding)
    pads = pads * rank if len(pads) == 1 else pads
    stride = call.ints("stride", 1, rank)
    window = Window(kernel, stride, pads, pads, call.ints("dilation", 1, rank), "upper" if same else "")
    return builder.conv(x, weight, bias, window, call.integer("groups", 1))


def _linear(call: Call) -> str:
    return call.builder.dense(call.tensor("input"), call.tensor("weight"), call.optional("bias"))


def _addmm(call: Call) -> str:
    call.only("beta", 1)
    call.only("alpha", 1)
    bias = call.tensor("self")
    return call.builder.binary("add", _product(call, call.tensor("mat1"), call.tensor("mat2")), bias)


def _matmul(call: Call) -> str:
    return _product(call, call.tensor("self"), call.tensor("mat2", "other"))


def _product(call: Call, a: str, b: str) -> str:
    require(call.builder.is_constant(b), "multiplies two maps; supported is a constant on the right")
    require(len(call.builder.shape(b)) == 2, f"multiplies by the shape {call.builder.shape(b)}; supported are 2 axes")
    return call.builder.dense(a, call.builder.transpose(b, (1, 0)))


def _batch_norm(call: Call) -> list[str]:
    call.only("training", False)
    call.only("train", False)
    call.idle("momentum", "cudnn_enabled", "exponential_average_factor")
    x, weight, bias = call.tensor("input"), call.optional("weight"), call.optional("bias")
    statistics = call.optional("running_mean"), call.optional("running_var")
    require(
        all(statistics),
        "has no statistics of its own, so that outputs depend on the batch; supported is track_running_stats=True",
    )
    epsilon = call.number("epsilon") if call.has("epsilon") else call.number("eps")
    return [call.builder.batch_norm(x, weight, bias, *statistics, epsilon)]


def _pool(kind: str, rank: int) -> Translate:
    def pool(call: Call) -> list[str]:
        kernel = call.ints("kernel_size", count=rank)
        stride = call.ints("stride", (), rank) or kernel
        pads = call.ints("padding", 0, rank)
        dilation = call.ints("dilation", 1, rank)
        ceil = call.flag("ceil_mode", False)
        counts = kind == "avg_pool" and call.flag("count_include_pad", True)
        if kind == "avg_pool":
            call.only("divisor_override", None)
        window = Window(kernel, stride, pads, pads, dilation, ceil=ceil, counts_padding=counts)
        return [call.builder.pool(kind, call.tensor("self"), window)]

    return pool


def _adaptive(kind: str, rank: int) -> Translate:
    """Pools by the size of their output, where all windows are equal."""

    def pool(call: Call) -> list[str]:
        x = call.tensor("self")
        sizes = call.builder.shape(x)[2:]
        wanted = call.ints("output_size", count=rank)
        require(len(sizes) == len(wanted) == rank, f"reads the shape {call.builder.shape(x)}")
        fits = all(new >= 1 and old % new == 0 for old, new in zip(sizes, wanted, strict=True))
        require(fits, f"makes {wanted} of {sizes}; supported are divisors")
        if kind == "avg_pool" and set(wanted) == {1}:
            return [call.builder.mean(x, range(2, 2 + rank), keepdims=True)]
        kernel, none, one = tuple(map(operator.floordiv, sizes, wanted)), (0,) * rank, (1,) * rank
        return [call.builder.pool(kind, x, Window(kernel, kernel, none, none, one))]

    return pool


# Values


def _unary(kind: str) -> Translate:
    return lambda call: call.builder.node(kind, call.tensor("self", "input"))


def _binary(kind: str) -> Translate:
    def binary(call: Call) -> str:
        a, b = call.operand("self"), call.operand("other")
        alpha = call.number("alpha", 1)
        return call.builder.binary(kind, a, b if alpha == 1 else call.builder.scaled(b, alpha))

    return binary


def _rsub(call: Call) -> str:
    call.only("alpha", 1)
    b = call.operand("self")
    return call.builder.binary("sub", call.operand("other"), b)


def _div(call: Call) -> str:
    call.only("rounding_mode", None)
    return call.builder.divided(call.operand("self"), call.operand("other"))


def _clamp(low: str, high: str, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Translate:
    def clamp(call: Call) -> str:
        values = [call.take(name, None) for name in (low, high)]
        require(all(value is None or type(value) in (int, float) for value in values), "has bounds that are no numbers")
        chosen = [bound if value is None else float(value) for value, bound in zip(values, bounds, strict=True)]
        require(not any(map(math.isnan, chosen)), "has bounds that are no numbers")
        return call.builder.clip(call.tensor("self", "input"), chosen[0], chosen[1])

    return clamp


def _leaky_relu(call: Call) -> str:
    return call.builder.node("leaky_relu", call.tensor("self"), slope=call.number("negative_slope", 0.01))


def _prelu(call: Call) -> str:
    x, weight = call.tensor("self"), call.tensor("weight")
    channels = call.builder.real(weight)
    slopes = channels.reshape(-1, *[1] * (len(call.builder.shape(x)) - 2))
    return call.builder.leaky(x, call.builder.constant(slopes))


def _gt(call: Call) -> Positive:
    call.only("other", 0)
    return Positive(call.tensor("self"))


def _where(call: Call) -> str:
    """A PReLU as it is decomposed: where(x > 0, x, slopes * x)."""
    condition, x, below = call.take("condition"), call.tensor("self"), call.tensor("other")
    product = call.builder.producer(below)
    fits = isinstance(condition, Positive) and condition.name == x and product is not None and product.kind == "mul"
    require(fits and product is not None and product.inputs[0] == x, "is no PReLU; supported is that alone")
    assert product is not None
    slopes = call.builder.real(product.inputs[1])
    return call.builder.leaky(x, call.builder.constant(slopes.reshape(slopes.shape[1:]) if slopes.ndim else slopes))


def _hard_sigmoid(call: Call) -> str:
    return call.builder.node("hard_sigmoid", call.tensor("self"), slope=1 / 6, offset=0.5)


def _silu(call: Call) -> str:
    x = call.tensor("self")
    return call.builder.binary("mul", x, call.builder.node("sigmoid", x))


def _softmax(call: Call) -> str:
    call.only("dtype", None, "dtype 7")
    call.only("half_to_float", False)
    return call.builder.softmax(call.tensor("self", "input"), call.integer("dim"))


def _argmax(call: Call) -> str:
    return call.builder.argmax(call.tensor("self"), call.integer("dim"), call.flag("keepdim", False))


def _mean(call: Call) -> str:
    call.only("dtype", None, "dtype 7")
    x = call.tensor("self")
    axes = call.ints("dim") if call.overload == "dim" else ()
    return call.builder.mean(x, axes or range(len(call.builder.shape(x))), call.flag("keepdim", False))


def _negative(call: Call) -> str:
    return call.builder.scaled(call.tensor("self"), -1)


# Shapes


def _same(call: Call) -> str:
    x = call.tensor("self", "input")
    dtype = call.take("dtype", None)
    call.idle("memory_format", "layout", "device", "pin_memory", "non_blocking", "copy", "p", "other")
    call.only("train", False, None)
    call.only("training", False)
    fits = dtype in (None, "dtype 7") and call.builder.values[x].dtype == "float32"
    require(fits or dtype is None, "converts to another type; supported is float32")
    return x


def _view(call: Call) -> str:
    x = call.tensor("self")
    old = call.builder.shape(x)
    shape = call.ints("size") if call.has("size") else call.ints("shape")
    return call.builder.reshape(x, _filled(shape, math.prod(old)))


def _filled(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape in which one size may be -1."""
    rest = math.prod(size for size in shape if size != -1)
    fits = shape.count(-1) <= 1 and rest > 0 and count % rest == 0 and all(size > 0 or size == -1 for size in shape)
    require(fits, f"makes the shape {shape} of {count} numbers")
    return tuple(count // rest if size == -1 else size for size in shape)


def _flatten(call: Call) -> str:
    x = call.tensor("self")
    shape = call.builder.shape(x)
    first, last = (axis_of(call.integer(*entry), len(shape)) for entry in (("start_dim", 0), ("end_dim", -1)))
    require(first <= last, f"flattens the axes {first} to {last}")
    return call.builder.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _unflatten(call: Call) -> str:
    x = call.tensor("self")
    shape = call.builder.shape(x)
    axis = axis_of(call.integer("dim"), len(shape))
    return call.builder.reshape(x, (*shape[:axis], *_filled(call.ints("sizes"), shape[axis]), *shape[axis + 1 :]))


def _squeeze(call: Call) -> str:
    x = call.tensor("self")
    shape = call.builder.shape(x)
    axes = {axis_of(axis, len(shape)) for axis in call.ints("dim", tuple(range(len(shape))))}
    return call.builder.reshape(x, [size for axis, size in enumerate(shape) if axis not in axes or size != 1])


def _unsqueeze(call: Call) -> str:
    x = call.tensor("self")
    shape = call.builder.shape(x)
    axis = axis_of(call.integer("dim"), len(shape) + 1)
    return call.builder.reshape(x, (*shape[:axis], 1, *shape[axis:]))


def _permute(call: Call) -> str:
    return call.builder.transpose(call.tensor("self"), call.ints("dims"))


def _transpose(call: Call) -> str:
    x = call.tensor("self")
    rank = len(call.builder.shape(x))
    a, b = axis_of(call.integer("dim0"), rank), axis_of(call.integer("dim1"), rank)
    return call.builder.transpose(x, [b if axis == a else a if axis == b else axis for axis in range(rank)])


def _t(call: Call) -> str:
    x = call.tensor("self")
    return call.builder.transpose(x, tuple(reversed(range(len(call.builder.shape(x))))))


def _expand(call: Call) -> str:
    x = call.tensor("self")
    call.idle("implicit")
    shape, new = call.builder.shape(x), call.ints("size")
    same = len(new) == len(shape) and all(b in (-1, a) for a, b in zip(shape, new, strict=True))
    require(same, f"expands {shape} to {new}; supported is none")
    return x


def _cat(call: Call) -> str:
    parts = call.take("tensors")
    require(
        isinstance(parts, list) and all(isinstance(part, Ref) for part in parts), "joins what is no list of tensors"
    )
    return call.builder.concat([part.name for part in parts], call.integer("dim", 0))


def _pad(call: Call) -> str:
    call.only("mode", "constant")
    value = call.take("value", None)
    require(value is None or type(value) in (int, float), "pads with what is no number")
    x, pads = call.tensor("self"), call.ints("pad")
    rank = len(call.builder.shape(x))
    require(len(pads) % 2 == 0 and len(pads) <= 2 * rank, f"has {len(pads)} pads for {rank} axes")
    none = (0,) * (rank - len(pads) // 2)
    return call.builder.pad(x, none + pads[-2::-2], none + pads[-1::-2], float(value or 0))


def _slice(call: Call) -> str:
    x = call.tensor("self")
    bounds = call.take("start", None), call.take("end", None)
    require(all(bound is None or type(bound) is int for bound in bounds), "has bounds that are no whole numbers")
    start, end = bounds[0] or 0, 2**62 if bounds[1] is None else bounds[1]
    return call.builder.slice(x, {call.integer("dim", 0): (start, end, call.integer("step", 1))})


def _narrow(call: Call) -> str:
    x, axis, start = call.tensor("self"), call.integer("dim"), call.integer("start")
    size = call.builder.shape(x)[axis_of(axis, len(call.builder.shape(x)))]
    require(-size <= start < size, f"takes a part from {start} of {size}")
    start %= size
    return call.builder.slice(x, {axis: (start, start + call.integer("length"), 1)})


def _split(call: Call) -> list[str]:
    x = call.tensor("self")
    sizes = call.take("split_sizes") if call.has("split_sizes") else call.take("split_size")
    axis = axis_of(call.integer("dim", 0), len(call.builder.shape(x)))
    whole = call.builder.shape(x)[axis]
    if type(sizes) is int:
        require(sizes > 0, f"splits into parts of {sizes}")
        sizes = tuple(min(sizes, whole - begin) for begin in range(0, whole, sizes))
    require(
        isinstance(sizes, tuple) and all(type(size) is int for size in sizes), "splits into what are no whole numbers"
    )
    return call.builder.split(x, axis, sizes)


def _chunk(call: Call) -> list[str]:
    x, chunks = call.tensor("self"), call.integer("chunks")
    axis = axis_of(call.integer("dim", 0), len(call.builder.shape(x)))
    whole = call.builder.shape(x)[axis]
    require(chunks >= 1, f"splits into {chunks}")
    size = -(-whole // chunks)
    return call.builder.split(x, axis, [min(size, whole - begin) for begin in range(0, whole, size)])


def _tensor_split(call: Call) -> list[str]:
    x, sections = call.tensor("self"), call.integer("sections")
    axis = axis_of(call.integer("dim", 0), len(call.builder.shape(x)))
    size = call.builder.shape(x)[axis]
    require(1 <= sections <= size, f"splits {size} into {sections}")
    return call.builder.split(x, axis, [size // sections + (index < size % sections) for index in range(sections)])


def _select(call: Call) -> str:
    return call.builder.select(call.tensor("self"), call.integer("dim"), call.integer("index"))


def _unbind(call: Call) -> list[str]:
    x = call.tensor("self")
    axis = axis_of(call.integer("dim", 0), len(call.builder.shape(x)))
    require(call.builder.shape(x)[axis] <= 1000, "unbinds more than 1000 entries")
    return [call.builder.select(x, axis, index) for index in range(call.builder.shape(x)[axis])]


def _upsample(half_pixel: bool) -> Translate:
    def upsample(call: Call) -> str:
        x = call.tensor("self", "input")
        sizes = call.builder.shape(x)[2:]
        size = call.take("output_size", None)
        factors = call.take("scale_factors", None)
        if factors is None:
            factors = [call.take(name, None) for name in (("scales_h", "scales_w") if len(sizes) == 2 else ("scales",))]
        if size is None:
            require(len(factors) == len(sizes), "has neither sizes nor factors")
            size = tuple(int(old * factor) for old, factor in zip(sizes, factors, strict=True))
        whole = isinstance(size, tuple) and len(size) == len(sizes) and all(type(n) is int and n >= 1 for n in size)
        require(whole, f"resizes {sizes} to {size!r:.50}")
        for old, new, factor in zip(sizes, size, factors, strict=False):
            require(factor is None or old * factor == new, f"resizes {old} by {factor}; supported are whole results")
        return call.builder.resize(x, size, half_pixel)

    return upsample


def _sym_size(call: Call) -> int:
    x = call.tensor("self")
    return call.builder.shape(x)[axis_of(call.integer("dim"), len(call.builder.shape(x)))]


def _arithmetic(function: Callable[[int, int], Any]) -> Translate:
    """Of sizes."""

    def compute(call: Call) -> int:
        a, b = call.integer("a"), call.integer("b")
        require(
            max(abs(a), abs(b)) < 2**62 and (b != 0 or function is not operator.floordiv), "computes an impossible size"
        )
        return int(function(a, b))

    return compute


def _tensor_constant(call: Call) -> str:
    value = call.take("s")
    call.idle("dtype", "layout", "device", "pin_memory")
    require(type(value) in (int, float), "is no number")
    return call.builder.constant(np.float32(value))


OPERATORS: dict[str, Translate] = {
    **dict.fromkeys(("conv1d", "conv2d", "convolution", "_convolution"), _convolution),
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("mm", "matmul"), _matmul),
    **dict.fromkeys(
        (
            "batch_norm",
            "native_batch_norm",
            "cudnn_batch_norm",
            "_native_batch_norm_legit",
            "_batch_norm_no_update",
            "_native_batch_norm_legit_no_training",
        ),
        _batch_norm,
    ),
    "avg_pool1d": _pool("avg_pool", 1),
    "avg_pool2d": _pool("avg_pool", 2),
    "max_pool1d": _pool("max_pool", 1),
    "max_pool2d": _pool("max_pool", 2),
    "max_pool2d_with_indices": _pool("max_pool", 2),
    "adaptive_avg_pool1d": _adaptive("avg_pool", 1),
    "adaptive_avg_pool2d": _adaptive("avg_pool", 2),
    "_adaptive_avg_pool2d": _adaptive("avg_pool", 2),
    "adaptive_max_pool1d": _adaptive("max_pool", 1),
    "adaptive_max_pool2d": _adaptive("max_pool", 2),
    "mean": _mean,
    "relu": _unary("relu"),
    "sigmoid": _unary("sigmoid"),
    "tanh": _unary("tanh"),
    "hardswish": _unary("hard_swish"),
    "hardsigmoid": _hard_sigmoid,
    "silu": _silu,
    "relu6": _clamp("", "", (0.0, 6.0)),
    "hardtanh": _clamp("min_val", "max_val", (-1.0, 1.0)),
    "clamp": _clamp("min", "max"),
    "clip": _clamp("min", "max"),
    "clamp_min": _clamp("min", ""),
    "clamp_max": _clamp("", "max"),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "gt": _gt,
    "where": _where,
    "_prelu_kernel": _prelu,
    "softmax": _softmax,
    "_softmax": _softmax,
    "argmax": _argmax,
    "add": _binary("add"),
    "sub": _binary("sub"),
    "mul": _binary("mul"),
    "rsub": _rsub,
    "div": _div,
    "neg": _negative,
    "cat": _cat,
    "concat": _cat,
    "constant_pad_nd": _pad,
    "pad": _pad,
    "slice": _slice,
    "narrow": _narrow,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), _split),
    "chunk": _chunk,
    "tensor_split": _tensor_split,
    "select": _select,
    "unbind": _unbind,
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "view_copy"), _view),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "permute": _permute,
    "transpose": _transpose,
    "t": _t,
    "expand": _expand,
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _upsample(half_pixel=False)),
    **dict.fromkeys(("_upsample_nearest_exact1d", "_upsample_nearest_exact2d"), _upsample(half_pixel=True)),
    **dict.fromkeys(
        (
            "clone",
            "contiguous",
            "alias",
            "detach",
            "dropout",
            "feature_dropout",
            "to",
            "_to_copy",
            "lift_fresh_copy",
            "identity",
        ),
        _same,
    ),
    "scalar_tensor": _tensor_constant,
    "sym_size": _sym_size,
}
"""Of aten."""
ARITHMETIC: dict[str, Translate] = {
    "mul": _arithmetic(operator.mul),
    "add": _arithmetic(operator.add),
    "sub": _arithmetic(operator.sub),
    "floordiv": _arithmetic(operator.floordiv),
}
"""Of sizes, by the names of the module operator."""
