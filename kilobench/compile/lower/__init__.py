# SPDX-License-Identifier: Apache-2.0
"""torch model -> graph: fold batch norm, fuse activations, choose types, turn batch norm + sign into thresholds.

The arithmetic is that of docs/arithmetic.md. A tensor is int8 where a FakeQuant marks it, a bit map between two binary
convolutions, float32 everywhere else; the input is int16 where its FakeQuant has 16 bits. ``supported`` says what can be
lowered so, ``walk`` goes through the traced network, ``layers`` and ``binary`` hold the step of every kind of node.

Networks of anything else, in whatever form, are exported by torch.export and lowered as imported ones are
(kilobench.compile.imports), which knows many more operators, but no binary ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import fx, nn

from kilobench.compile.ends import PIXELS, heard, pixels
from kilobench.compile.graph import Graph
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.imports.exported import NotExported
from kilobench.compile.int8 import multiplier
from kilobench.compile.lower.binary import binary
from kilobench.compile.lower.export import lower_exported
from kilobench.compile.lower.layers import add, avg_pool, conv, flatten, layer, max_pool, pad, swap
from kilobench.compile.lower.walk import LoweringError, NoLogits, Walk
from kilobench.contracts import Shape, Task, UserError
from kilobench.learn.layers import BinaryConv2d, FakeQuant, is_operator
from kilobench.learn.tracing import first_line, replaced

__all__ = ["LoweringError", "lower", "lower_for", "multiplier"]

_STEPS: dict[str, Callable[[Walk, fx.Node], None]] = {
    "conv": conv,
    "linear": conv,
    "binary": binary,
    "pad": pad,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "add": add,
    "swap": swap,
    "flatten": flatten,
    "layer": layer,
}


def lower(model: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a model that takes float32 [n, *input_shape] and returns logits [n, classes], trained or not.

    The model stays as it was, mode and device included: a copy is lowered. Raises LoweringError, or UserError where the network
    cannot be traced, in one line with the path of the module that is not supported, its attribute and value.
    """
    try:
        copied = copy.deepcopy(model).eval()
    except Exception as error:  # whatever a part of it says about being copied
        where = f"the network ({type(model).__name__}) cannot be copied: {first_line(error)}"
        for path, module in model.named_modules():
            if changed := replaced(module):
                where = f"{path} ({type(module).__name__}) has {changed}, and cannot be copied"
        raise LoweringError(where) from error
    try:
        graph = _walked(copied, input_shape)
        check_graph(graph)
    except ValueError as error:
        raise LoweringError(str(error)) from None
    except NoLogits:
        raise
    except UserError as refused:
        if any(map(_walked_only, copied.modules())):
            raise
        try:
            graph = lower_exported(copied, input_shape)
        except NotExported:
            raise refused from None
    return graph


def lower_for(task: Task, model: nn.Module) -> Graph:
    """The graph of what boards run for a task, which of an image takes the pixels, and of sound with a front end the samples.

    Raises what ``lower`` does.
    """
    graph = lower(model, task.network_shape)
    if task.frontend is not None:
        graph = heard(graph, task.frontend, task.input_shape[2])
        try:
            check_graph(graph)
        except ValueError as error:
            raise LoweringError(str(error)) from None
    return pixels(graph, PIXELS) if task.kind == "image" else graph


def _walked_only(module: nn.Module) -> bool:
    """Whether a module is one that torch.export knows nothing of."""
    wide = isinstance(module, FakeQuant) and module.bits == 16
    return isinstance(module, BinaryConv2d) or is_operator(module) or wide


def _walked(model: nn.Module, input_shape: Shape) -> Graph:
    walk = Walk(model, input_shape)
    for node in walk.nodes:
        if node.op == "placeholder":
            walk.emit_tensor(node, walk.absorb(node))
        elif node.op != "output" and node not in walk.values:
            _STEPS[walk.kind(node)](walk, node)
    return walk.graph()
