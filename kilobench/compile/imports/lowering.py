# SPDX-License-Identifier: Apache-2.0
"""Program -> graph: types, layouts and fusions are chosen, and integers of the file become parameters of int8 operators.

``shapes`` checks a program, ``simplify`` makes it smaller, ``walk`` holds the graph and brings values into other orders and types
(``layout`` says when nothing need move), and ``weighted``, ``elementwise`` and ``moving`` hold the step of every kind of node.
docs/importing.md says what comes of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kilobench.compile.graph import Graph
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.imports import elementwise, moving, weighted
from kilobench.compile.imports.dead_channels import without_dead_channels
from kilobench.compile.imports.program import Node, Program
from kilobench.compile.imports.shapes import check_program
from kilobench.compile.imports.simplify import fold_constants, simplify
from kilobench.compile.imports.walk import Narrow, Rounding, Walk
from kilobench.contracts import UserError

_STEPS: dict[str, Callable[[Walk, Node], None]] = {
    "conv": weighted.conv,
    "dense": weighted.dense,
    "max_pool": moving.max_pool,
    "avg_pool": moving.avg_pool,
    "mean": moving.mean,
    "add": elementwise.binary,
    "sub": elementwise.binary,
    "mul": elementwise.binary,
    "batch_norm": elementwise.norm,
    "relu": elementwise.clip,
    "clip": elementwise.clip,
    "hard_swish": elementwise.function,
    "hard_sigmoid": elementwise.function,
    "leaky_relu": elementwise.function,
    "sigmoid": elementwise.function,
    "tanh": elementwise.function,
    "prelu": elementwise.prelu,
    "softmax": moving.softmax,
    "argmax": moving.argmax,
    "concat": moving.concat,
    "pad": moving.pad,
    "slice": moving.cut,
    "reshape": moving.reshape,
    "transpose": moving.transpose,
    "resize_nearest": moving.resize,
    "quantise": elementwise.convert,
    "dequantise": elementwise.convert,
}


def lower_program(program: Program, rounding: Rounding = "once", narrow: Mapping[str, Narrow] | None = None) -> Graph:
    """The graph of a program, whose int8 sums are rounded once, or as TensorFlow Lite rounds them, "tflite"; ``narrow`` has
    the weights of few bits, by name of node.

    Maps are [h, w, c] whatever the file has; so are input and outputs, of the types that the file says. Raises UserError, in one
    line that names the node, for what no operator computes.
    """
    program = fold_constants(program)
    check_program(program)
    program = simplify(program)
    walk = Walk(program, rounding, narrow or {})
    walk.begin()
    for node in program.nodes:
        with walk.naming(node), np.errstate(over="ignore"):  # what is infinite is refused, or saturates
            _STEPS[node.kind](walk, node)
    try:
        graph = walk.graph()
        check_graph(graph)
        graph = without_dead_channels(graph)
    except ValueError as error:
        raise UserError(str(error)) from None
    return graph
