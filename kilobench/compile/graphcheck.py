# SPDX-License-Identifier: Apache-2.0
"""Whether a lowered graph is one that the C can run: graphs in files come from anybody, and their C runs on the host too.

Emission, layout, memory plan and kernels take for granted what is checked here, after the docstrings of kilobench.compile.graph
and docs/arithmetic.md: that nothing is read or written out of bounds, no integer overflows, and no text becomes code.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.operator import Operator, operator, require
from kilobench.compile.ops._integers import is_shift
from kilobench.contracts import UserError

MAX_OPERATORS = 500
"""Planning a chain takes time that is cubic in its length: half a minute for this many."""
MAX_MAP_BYTES = MAX_PARAMETER_BYTES = 2**26
"""Of each feature map; of all parameters together."""
MAX_MEMORY_BYTES = 2**30
"""All feature maps and scratch buffers together; the arena is no larger, and C counts it in 32 bits."""
MAX_OUTPUTS, MAX_INPUTS = 32, 64
"""Of a graph; of an operator."""
MAX_WORK = 10**11
"""Products of convolutions, and values that pools read."""

_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_DTYPES = {"float32": (0, 0), "int8": (-128, 127), "int16": (0, 0), "uint8": (0, 255), "int32": (0, 0), "bit": (0, 0)}
"""Types and the bounds of their zero points."""


def check_graph(graph: Graph) -> None:
    """Raise ValueError, in one line that names the operator or tensor, for a graph that is not to be emitted."""
    for key, tensor in graph.tensors.items():
        require(_is_name(key) and tensor.name == key, f"a tensor is named {tensor.name!r:.50}")
        _check_tensor(tensor)
    require(1 <= len(graph.ops) <= MAX_OPERATORS, f"it has {len(graph.ops)} operators, not 1 to {MAX_OPERATORS}")
    weights = sum(array.nbytes for op in graph.ops for array in op.params.values())
    require(weights <= MAX_PARAMETER_BYTES, f"its parameters take {weights} bytes, above {MAX_PARAMETER_BYTES}")
    require(_is_name(graph.input) and graph.input in graph.tensors, f"its input {graph.input!r:.50} is no tensor")
    dtype = graph.tensors[graph.input].dtype
    require(dtype not in ("bit", "int32"), f"its input {graph.input} is {dtype}")
    made = Counter({graph.input: 0})  # how often each is read
    memory = work = 0
    for index, op in enumerate(graph.ops):
        require(_is_name(op.name), f"operator {index} is named {op.name!r:.50}")
        try:
            _check_links(graph, op, made)
            checked = check_op(op, [graph.tensors[name] for name in op.inputs], graph.tensors[op.output])
            memory += checked.scratch_bytes()
            work += checked.work()
            require(work <= MAX_WORK, f"with those before it does more than {MAX_WORK:.0e} operations")
        except ValueError as error:
            raise ValueError(f"operator {index} ({op.name}) {error}") from None
    _check_outputs(graph, made)
    memory += sum(tensor.bytes for tensor in graph.tensors.values())
    require(memory <= MAX_MEMORY_BYTES, f"its maps and buffers take {memory} bytes, above {MAX_MEMORY_BYTES}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_tensor(tensor: Tensor) -> None:
    what = f"tensor {tensor.name}"
    require(isinstance(tensor.dtype, str) and tensor.dtype in _DTYPES, f"{what} has the type {tensor.dtype!r:.50}")
    whole = len(tensor.shape) == 3 and all(_is_int(size, 1, MAX_MAP_BYTES) for size in tensor.shape)
    require(whole and tensor.bytes <= MAX_MAP_BYTES, f"{what} has the shape {tensor.shape!r:.50}")
    require(_is_int(tensor.zero_point, *_DTYPES[tensor.dtype]), f"{what} has the zero point {tensor.zero_point!r:.50}")
    scaled = type(tensor.scale) is float
    if scaled and tensor.dtype in ("int8", "int16", "uint8"):
        scaled = float(np.finfo(np.float32).tiny) <= tensor.scale <= float(np.finfo(np.float32).max)
    elif scaled:
        scaled = tensor.scale == 0
    require(scaled, f"{what} has the scale {tensor.scale!r:.50}")


def _check_links(graph: Graph, op: Op, made: Counter[str]) -> None:
    """That it reads what there is by then, and makes what there is not."""
    for name in op.inputs:
        require(_is_name(name) and name in made, f"reads {name!r:.50}, which nothing before it makes")
        made[name] += 1
    require(_is_name(op.output) and op.output in graph.tensors, f"makes {op.output!r:.50}, which is no tensor")
    require(op.output not in made, f"makes {op.output}, which is there already")
    made[op.output] = 0


def _check_outputs(graph: Graph, made: Counter[str]) -> None:
    outputs = graph.outputs
    require(1 <= len(outputs) <= MAX_OUTPUTS, f"it has {len(outputs)} outputs, not 1 to {MAX_OUTPUTS}")
    require(len(set(outputs)) == len(outputs), "one of its outputs is there twice")
    for name in outputs:
        there = _is_name(name) and name in made and name != graph.input
        require(there, f"its output {name!r:.50} is made by no operator")
        require(graph.tensors[name].dtype != "bit", f"its output {name} is a bit map")
    unused = [name for name in graph.tensors if name not in outputs and not made[name]]
    require(not unused, f"tensor {unused[:1]} is read by no operator")


def check_op(op: Op, sources: list[Tensor], output: Tensor) -> Operator:
    """The operator of a node, all of which has been checked; raises ValueError as check_graph does."""
    require(isinstance(op.kind, str), f"is of the kind {op.kind!r:.50}")
    try:
        cls = operator(op.kind)
    except UserError as error:
        raise ValueError(f"is of a kind that cannot be used: {error}") from None
    require(1 <= len(sources) <= MAX_INPUTS and cls.inputs in (len(sources), None), f"has {len(sources)} inputs")
    needed = {key for key, attribute in cls.attributes.items() if not attribute.optional}
    given = set(op.attrs)
    require(needed <= given <= set(cls.attributes), f"has the attributes {sorted(op.attrs)!r:.100}")
    for key, value in op.attrs.items():
        attribute = cls.attributes[key]
        require(attribute.allows(value), f"has {key}={value!r:.50}")
        require(value != attribute.default, f"has {key}={value!r:.50}, which is its default")
    for tensor in sources:
        types = (tensor.dtype, output.dtype)
        require(types in cls.types, f"turns {tensor.dtype} into {output.dtype}, for which there is no kernel")
    bound = cls(op, sources, output)
    bound.check_sources()
    made = bound.output_shape()
    require(output.shape == made, f"has the output shape {output.shape}, not {made}")
    if (grid := cls.grid(bound.source)) is not None:
        found = output.scale, output.zero_point
        require(found == grid, f"has scale and zero point {found} where they can only be {grid}")
    _check_params(bound)
    bound.check()
    return bound


def _check_params(bound: Operator) -> None:
    params, wanted = bound.params, bound.types[bound.source.dtype, bound.output.dtype]
    if not any(name in params for name in bound.optional):
        wanted = {name: what for name, what in wanted.items() if name not in bound.optional}
    require(set(params) == set(wanted), f"has the parameters {sorted(params)!r:.100}, not {sorted(wanted)}")
    for name, (dtype, letters) in wanted.items():
        array, shape = params[name], bound.shape(letters)
        found = f"{array.dtype} {array.shape}"
        require(array.dtype == dtype and array.shape == shape, f"has {name} {found}, not {dtype} {shape}")
        if dtype == "float32":
            require(np.isfinite(array).all(), f"has a {name} that is not finite")
        elif dtype == "uint32":
            unused = array[..., -1].astype(np.uint64) >> bound.used_bits(letters)
            require(not unused.any(), f"has a {name} with unused bits set")
    shifts = params.get("shift", ())
    require(all(map(is_shift, shifts)), "has a shift outside of 1 to 62 and of 65 to 126")
    require(all(m >= 0 for m in params.get("multiplier", ())), "has a multiplier below 0")
