"""Whether a lowered graph is one that the C can run: graphs in files come from anybody, and their C runs on the host too.

Emission, layout, memory plan and kernels take for granted what is checked here, after the docstrings of kilobench.compile.graph
and docs/arithmetic.md: that nothing is read or written out of bounds, no integer overflows, and no text becomes code.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from kilobench.compile.graph import CONVOLUTIONS, Graph, Op, Tensor
from kilobench.compile.layout import MAX_BIT_COLUMN, MAX_BIT_TAPS, layout

MAX_OPERATORS = 500
"""Planning a chain takes time that is cubic in its length: half a minute for this many."""
MAX_MAP_BYTES = MAX_PARAMETER_BYTES = 2**26
"""Of each feature map; of all parameters together."""
MAX_MEMORY_BYTES = 2**30
"""All feature maps and scratch buffers together; the arena is no larger, and C counts it in 32 bits."""
MAX_WORK = 10**11
"""Products of convolutions, and values that pools read."""
_MAX_WINDOW = 2**20
"""Of a kernel or stride, along an axis."""
_MAX_CASES = 2**22
"""Output channels of a binary convolution, times the ways in which padding may clip its windows."""
_INT32 = 2**31 - 1

_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_DTYPES = {"float32": (0, 0), "int8": (-128, 127), "int16": (0, 0), "bit": (0, 0)}
"""Types and the bounds of their zero points."""
_REACH = {"int8": 255, "int16": 2**15}
"""Largest magnitude of an input less its zero point."""
_WINDOW = {"kernel", "stride", "padding"}
_ATTRS = {
    "conv2d": _WINDOW | {"relu"},
    "depthwise_conv2d": _WINDOW | {"relu"},
    "max_pool": _WINDOW,
    "avg_pool": _WINDOW,
    "add": {"relu"},
    "transpose": set(),
    "binarize": set(),
}
_REQUANTISED = {"bias": ("int32", "O"), "multiplier": ("int32", "O"), "shift": ("int32", "O")}
_FLIP = {"flip": ("uint32", "o")}
_PARAMS: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = {
    ("conv2d", "float32", "float32"): {"weight": ("float32", "OHWI"), "bias": ("float32", "O")},
    ("conv2d", "int8", "int8"): {"weight": ("int8", "OHWI")} | _REQUANTISED,
    ("conv2d", "int16", "int8"): {"weight": ("int8", "OHWI")} | _REQUANTISED,
    ("conv2d", "bit", "bit"): {"weight": ("uint32", "OHWi"), "threshold": ("int32", "O")} | _FLIP,
    ("conv2d", "bit", "float32"): {"weight": ("uint32", "OHWi"), "scale": ("float32", "O"), "bias": ("float32", "O")},
    ("conv2d", "bit", "int8"): {"weight": ("uint32", "OHWi")} | _REQUANTISED,
    ("depthwise_conv2d", "float32", "float32"): {"weight": ("float32", "HWO"), "bias": ("float32", "O")},
    ("depthwise_conv2d", "int8", "int8"): {"weight": ("int8", "HWO")} | _REQUANTISED,
    ("max_pool", "float32", "float32"): {},
    ("max_pool", "int8", "int8"): {},
    ("max_pool", "bit", "bit"): _FLIP,
    ("avg_pool", "float32", "float32"): {"scale": ("float32", "1")},
    ("avg_pool", "int8", "int8"): {"multiplier": ("int32", "1"), "shift": ("int32", "1")},
    ("add", "float32", "float32"): {},
    ("add", "int8", "int8"): {"multiplier": ("int32", "2"), "shift": ("int32", "1")},
    ("transpose", "float32", "float32"): {},
    ("transpose", "int8", "int8"): {},
    ("binarize", "float32", "bit"): {"threshold": ("float32", "O")} | _FLIP,
    ("binarize", "int8", "bit"): {"threshold": ("int32", "O")} | _FLIP,
}
"""Type and shape of all parameters by kind, input and output: O output, I input channels, o and i their words, H x W kernel."""


def check_graph(graph: Graph) -> None:
    """Raise ValueError, in one line that names the operator or tensor, for a graph that is not to be emitted."""
    for key, tensor in graph.tensors.items():
        _require(_is_name(key) and tensor.name == key, f"a tensor is named {tensor.name!r:.50}")
        _check_tensor(tensor)
    _require(1 <= len(graph.ops) <= MAX_OPERATORS, f"it has {len(graph.ops)} operators, not 1 to {MAX_OPERATORS}")
    weights = sum(array.nbytes for op in graph.ops for array in op.params.values())
    _require(weights <= MAX_PARAMETER_BYTES, f"its parameters take {weights} bytes, above {MAX_PARAMETER_BYTES}")
    _require(_is_name(graph.input) and graph.input in graph.tensors, f"its input {graph.input!r:.50} is no tensor")
    _require(graph.tensors[graph.input].dtype != "bit", f"its input {graph.input} is a bit map")
    made = Counter({graph.input: 0})  # how often each is read
    memory = work = 0
    for index, op in enumerate(graph.ops):
        _require(_is_name(op.name), f"operator {index} is named {op.name!r:.50}")
        try:
            _check_links(graph, op, made)
            memory += _check_op(op, [graph.tensors[name] for name in op.inputs], graph.tensors[op.output])
            work += _work(op, graph.tensors[op.inputs[0]], graph.tensors[op.output])
            _require(work <= MAX_WORK, f"with those before it does more than {MAX_WORK:.0e} operations")
        except ValueError as error:
            raise ValueError(f"operator {index} ({op.name}) {error}") from None
    _check_output(graph, made)
    memory += sum(tensor.bytes for tensor in graph.tensors.values())
    _require(memory <= MAX_MEMORY_BYTES, f"its maps and buffers take {memory} bytes, above {MAX_MEMORY_BYTES}")


def _require(holds: bool | np.bool_, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_tensor(tensor: Tensor) -> None:
    what = f"tensor {tensor.name}"
    _require(isinstance(tensor.dtype, str) and tensor.dtype in _DTYPES, f"{what} has the type {tensor.dtype!r:.50}")
    whole = len(tensor.shape) == 3 and all(_is_int(size, 1, MAX_MAP_BYTES) for size in tensor.shape)
    _require(whole and tensor.bytes <= MAX_MAP_BYTES, f"{what} has the shape {tensor.shape!r:.50}")
    _require(_is_int(tensor.zero_point, *_DTYPES[tensor.dtype]), f"{what} has the zero point {tensor.zero_point!r:.50}")
    scaled = type(tensor.scale) is float
    if scaled and tensor.dtype in ("int8", "int16"):
        scaled = float(np.finfo(np.float32).tiny) <= tensor.scale <= float(np.finfo(np.float32).max)
    elif scaled:
        scaled = tensor.scale == 0
    _require(scaled, f"{what} has the scale {tensor.scale!r:.50}")


def _check_links(graph: Graph, op: Op, made: Counter[str]) -> None:
    """That it reads what there is by then, and makes what there is not."""
    for name in op.inputs:
        _require(_is_name(name) and name in made, f"reads {name!r:.50}, which nothing before it makes")
        made[name] += 1
    _require(_is_name(op.output) and op.output in graph.tensors, f"makes {op.output!r:.50}, which is no tensor")
    _require(op.output not in made, f"makes {op.output}, which is there already")
    made[op.output] = 0


def _check_output(graph: Graph, made: Counter[str]) -> None:
    last = graph.ops[-1].output
    _require(graph.output == last, f"its output {graph.output!r:.50} is not made by the last operator")
    tensor = graph.tensors[last]
    logits = tensor.shape[:2] == (1, 1) and tensor.dtype in ("float32", "int8")
    _require(logits, f"its output {last} is {tensor.dtype} {tensor.shape}, not float32 or int8 (1, 1, classes)")
    unused = [name for name in graph.tensors if name != last and not made[name]]
    _require(not unused, f"tensor {unused[:1]} is read by no operator")


def _check_op(op: Op, sources: list[Tensor], output: Tensor) -> int:
    """All of one operator; the bytes of its scratch buffer."""
    _require(isinstance(op.kind, str) and op.kind in _ATTRS, f"is of the kind {op.kind!r:.50}")
    _require(len(sources) == (2 if op.kind == "add" else 1), f"has {len(sources)} inputs")
    _require(set(op.attrs) == _ATTRS[op.kind], f"has the attributes {sorted(op.attrs)!r:.100}")
    _require(type(op.attrs.get("relu", False)) is bool, f"has relu={op.attrs.get('relu')!r:.50}")
    source = sources[0]
    for tensor in sources:
        types = (op.kind, tensor.dtype, output.dtype)
        _require(types in _PARAMS, f"turns {tensor.dtype} into {output.dtype}, for which there is no kernel")
    if _ATTRS[op.kind] >= _WINDOW:
        _check_window(op, source)
    shapes = [tensor.shape for tensor in sources]
    _require(set(shapes) == {shapes[0]}, f"reads maps of the shapes {shapes}")
    made = _output_shape(op, source, output)
    _require(output.shape == made, f"has the output shape {output.shape}, not {made}")
    if op.kind in ("max_pool", "transpose"):
        same = (source.scale, source.zero_point) == (output.scale, output.zero_point)
        _require(same, "changes scale or zero point, but only moves values")
    _check_params(op, source, output)
    _check_sums(op, source, output)
    return layout(op, source, output).scratch_bytes


def _check_window(op: Op, source: Tensor) -> None:
    bounds = {"kernel": (1, _MAX_WINDOW), "stride": (1, _MAX_WINDOW), "padding": (0, _MAX_WINDOW)}
    for key, (low, high) in bounds.items():
        pair = op.attrs[key]
        whole = isinstance(pair, tuple) and len(pair) == 2 and all(_is_int(value, low, high) for value in pair)
        _require(whole, f"has {key}={pair!r:.50}")
    kernel, stride, padding = (op.attrs[key] for key in ("kernel", "stride", "padding"))
    # A window may lie on padding as a whole, except that the depthwise kernels count on a tap in every one.
    most = {"conv2d": kernel, "depthwise_conv2d": (kernel[0] - 1, kernel[1] - 1)}.get(op.kind, (0, 0))
    _require(padding[0] <= most[0] and padding[1] <= most[1], f"has padding={padding} for kernel={kernel}")
    fits = all(size + 2 * p >= k for size, p, k in zip(source.shape, padding, kernel, strict=False))
    _require(fits, f"has kernel={kernel} for {source.shape}")
    _require(max(stride) * kernel[0] * source.shape[2] <= _INT32, f"has stride={stride} for {source.shape}")


def _output_shape(op: Op, source: Tensor, output: Tensor) -> tuple[int, int, int]:
    if op.kind == "transpose":
        return source.shape[2], source.shape[1], source.shape[0]
    if not _ATTRS[op.kind] >= _WINDOW:
        return source.shape
    windows = zip(source.shape, op.attrs["kernel"], op.attrs["stride"], op.attrs["padding"], strict=False)
    height, width = ((size + 2 * padding - kernel) // stride + 1 for size, kernel, stride, padding in windows)
    return height, width, output.shape[2] if op.kind == "conv2d" else source.shape[2]


def _check_params(op: Op, source: Tensor, output: Tensor) -> None:
    wanted = _PARAMS[op.kind, source.dtype, output.dtype]
    if op.kind == "max_pool" and not op.params:  # its flip is optional
        wanted = {}
    _require(set(op.params) == set(wanted), f"has the parameters {sorted(op.params)!r:.100}, not {sorted(wanted)}")
    height, width = op.attrs.get("kernel", (1, 1))
    channels = {"O": output.shape[2], "I": source.shape[2], "o": output.words, "i": source.words}
    sizes = channels | {"H": height, "W": width, "1": 1, "2": 2}
    for name, (dtype, letters) in wanted.items():
        array, shape = op.params[name], tuple(sizes[letter] for letter in letters)
        found = f"{array.dtype} {array.shape}"
        _require(array.dtype == dtype and array.shape == shape, f"has {name} {found}, not {dtype} {shape}")
        if dtype == "float32":
            _require(np.isfinite(array).all(), f"has a {name} that is not finite")
        elif dtype == "uint32":
            used = channels["I" if name == "weight" else "O"] % 32 or 32
            _require(not (array[..., -1].astype(np.uint64) >> used).any(), f"has a {name} with unused bits set")
    _require(all(1 <= t <= 62 for t in op.params.get("shift", ())), "has a shift outside of 1 to 62")
    _require(all(m >= 0 for m in op.params.get("multiplier", ())), "has a multiplier below 0")


def _check_sums(op: Op, source: Tensor, output: Tensor) -> None:
    """That no accumulator overflows, and that counters of binary convolutions suffice (kb_bits.h)."""
    taps = _work(op, source, output) // int(np.prod(output.shape, dtype=object))
    largest: Any = 0
    if op.kind == "avg_pool" and output.dtype == "int8":
        largest = 255 * taps
    elif op.kind == "conv2d" and source.dtype == "bit":
        _check_counters(op, source, output, taps)
        largest = 256 * taps
    elif op.kind in CONVOLUTIONS and output.dtype == "int8":
        weight = op.params["weight"].astype(np.int16)
        _require(weight.min() >= -127, "has a weight below -127")
        axes = (1, 2, 3) if op.kind == "conv2d" else (0, 1)
        largest = _REACH[source.dtype] * np.abs(weight).sum(axis=axes, dtype=np.int64)
    if output.dtype == "int8" and "bias" in op.params:
        largest = largest + np.abs(op.params["bias"].astype(np.int64))
    _require(np.max(largest) <= _INT32, f"may exceed the int32 bound {_INT32} in its accumulator")


def _check_counters(op: Op, source: Tensor, output: Tensor, taps: int) -> None:
    column = op.attrs["kernel"][0] * source.shape[2]
    listed = column if column > 8 else taps
    counted = taps <= MAX_BIT_TAPS and listed <= MAX_BIT_COLUMN
    _require(counted, f"sums {taps} products, {column} per column, more than the kernels can count")
    cases = [min(size, 2 * p + 2) for size, p in zip(output.shape, op.attrs["padding"], strict=False)]
    clipped = output.shape[2] * cases[0] * cases[1]
    _require(clipped <= _MAX_CASES, f"has {clipped} sums of clipped windows, above {_MAX_CASES}")
    _require(output.dtype != "bit" or not op.attrs["relu"], "has a ReLU of bits")


def _work(op: Op, source: Tensor, output: Tensor) -> int:
    """Products, or values read."""
    height, width = op.attrs.get("kernel", (1, 1))
    made = output.shape[0] * output.shape[1] * output.shape[2]
    return int(made * height * width * (source.shape[2] if op.kind == "conv2d" else 1))
