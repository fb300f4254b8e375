# SPDX-License-Identifier: Apache-2.0
"""Networks that the walk does not know: exported by torch.export, and lowered as imported ones are."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from kilobench.compile.graph import Graph
from kilobench.compile.imports.builder import printable
from kilobench.compile.imports.exported import NotExported, export_module
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.program import Program
from kilobench.compile.imports.walk import Narrow
from kilobench.compile.lower.norms import array
from kilobench.compile.lower.supported import unsound
from kilobench.compile.lower.walk import LoweringError
from kilobench.contracts import Shape, UserError
from kilobench.learn.narrow import narrowed
from kilobench.learn.quantise import fold_norms


def lower_exported(model: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a classifier without binary layers, on the CPU; raises LoweringError in one line, or NotExported."""
    if text := unsound(model):
        raise LoweringError(text)
    try:
        narrow = _narrow(model)
        graph = lower_program(_integer_ends(export_module(model, input_shape, trained=True)), narrow=narrow)
    except NotExported:
        raise
    except UserError as error:
        raise LoweringError(str(error)) from None
    tensor = graph.tensors[graph.output]
    if len(graph.outputs) > 1 or tensor.shape[:2] != (1, 1) or tensor.dtype not in ("float32", "int8"):
        made = ", ".join(f"{graph.tensors[name].dtype} {graph.tensors[name].shape}" for name in graph.outputs)
        raise LoweringError(f"a network returns logits [n, classes], not {made} as this one does")
    return graph


def _narrow(model: nn.Module) -> dict[str, Narrow]:
    """What layers are marked with, by path, once batch norms are folded into these."""
    if any(narrowed(module) is not None for module in model.modules()):
        fold_norms(model)
    found = {}
    for path, module in model.named_modules():
        if (mark := narrowed(module)) is not None:
            weight = module.get_parameter("weight").detach()
            found[printable(path)] = Narrow(mark[0], array(mark[1]), array(weight.abs().flatten(1).amax(1)))
    return found


def _integer_ends(program: Program) -> Program:
    """A program that takes and gives integers where it would only quantise its input, and dequantise its output."""
    values, nodes = dict(program.values), list(program.nodes)
    source = program.input
    if [node.kind for node in nodes if source in node.inputs] == ["quantise"]:
        first = next(node for node in nodes if source in node.inputs)
        nodes.remove(first)
        del values[source]
        source = first.output
    outputs = []
    for name in program.outputs:
        last = next((node for node in nodes if node.output == name), None)
        if last is not None and last.kind == "dequantise" and not any(name in node.inputs for node in nodes):
            nodes.remove(last)
            del values[name]
            name = last.inputs[0]
        outputs.append(name)
    return replace(program, values=values, nodes=nodes, input=source, outputs=tuple(outputs))
