# SPDX-License-Identifier: Apache-2.0
"""From the operators of an ONNX file to a Program: what is needed, in the order of the file."""

from __future__ import annotations

from kilobench.compile.imports.builder import Builder, printable
from kilobench.compile.imports.onnxlayers import LAYERS
from kilobench.compile.imports.onnxmodel import FileModel, FileNode, Op, Translate
from kilobench.compile.imports.onnxquant import QUANTISED
from kilobench.compile.imports.onnxshapes import SHAPING
from kilobench.compile.imports.program import Program
from kilobench.compile.imports.qdq import fold_quantisers
from kilobench.compile.operator import require
from kilobench.plugins.spec import nearest

OPERATORS: dict[str, Translate] = LAYERS | SHAPING | QUANTISED
_NEAREST = {
    "ConvTranspose": "Resize (nearest) and Conv",
    "ConvInteger": "QLinearConv",
    "MatMulInteger": "QLinearMatMul",
    "DynamicQuantizeLinear": "QuantizeLinear",
    "ReduceMax": "GlobalMaxPool",
    "ReduceSum": "ReduceMean",
    "LogSoftmax": "Softmax",
    "InstanceNormalization": "BatchNormalization",
    "LayerNormalization": "BatchNormalization",
    "Elu": "LeakyRelu",
    "Gelu": "HardSwish",
}
"""What to use in place of what is refused, where names do not say it."""


def translate(model: FileModel) -> Program:
    """The program of a file. Raises ValueError that names the operator."""
    builder = Builder()
    source = builder.input(model.input, model.shape, model.dtype)
    env = {model.input: source}
    for node in _needed(model):
        builder.at = path_of(node.name)
        try:
            inputs = [_lookup(builder, env, model, name) for name in node.inputs]
            op = Op(builder, node, model.opset, inputs)
            made = _translator(node)(op)
            op.finish()
            made = [made] if isinstance(made, str) else made
            for name, value in zip(node.outputs, made, strict=False):
                require(
                    name not in env and name not in model.constants, f"makes {printable(name)}, which is there already"
                )
                if name:
                    env[name] = value
        except ValueError as error:
            raise ValueError(f"{builder.at} ({printable(node.kind)}) {error}") from None
    missing = [name for name in model.outputs if name not in env]
    require(not missing, f"the output {printable(''.join(missing[:1]))} is made by no operator")
    outputs = [env[name] for name in model.outputs]
    require(len(set(outputs)) == len(outputs), "two of its outputs are the same")
    for name, value in zip(model.outputs, outputs, strict=True):
        made_by_node = value != source and not builder.is_constant(value)
        require(made_by_node, f"the output {printable(name)} is the input, or a constant")
    return fold_quantisers(builder.finish(source, outputs))


def path_of(name: str) -> str:
    """The module path in a name that torch's exporter gave: conv1 in block1 is ``/block1/conv1/Conv``, a part of a Sequential
    repeats its parents, ``/features/features.0/Conv``. Other names are what they are."""
    if not name.startswith("/") or name.count("/") < 2:
        return printable(name)
    parts: list[str] = []
    for part in name.split("/")[1:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    return printable(".".join(parts))


def _needed(model: FileModel) -> list[FileNode]:
    """The operators that lead to outputs."""
    needed, kept = set(model.outputs), []
    for node in reversed(model.nodes):
        if needed & {name for name in node.outputs if name}:
            kept.append(node)
            needed |= set(node.inputs)
    return kept[::-1]


def _lookup(builder: Builder, env: dict[str, str], model: FileModel, name: str) -> str:
    if name == "" or name in env:
        return env.get(name, "")
    require(name in model.constants, f"reads {printable(name)}, which nothing before it makes")
    env[name] = builder.constant(model.constants[name], name=name)
    return env[name]


def _translator(node: FileNode) -> Translate:
    known = OPERATORS if node.domain == "" else QUANTISED if node.domain == "com.microsoft" else {}
    if node.kind not in known:
        where = f" of the domain {printable(node.domain)}" if node.domain else ""
        near = f"; nearest is {_NEAREST[node.kind]}" if node.kind in _NEAREST else nearest(node.kind, OPERATORS)
        raise ValueError(f"is an operator{where} for which there is no kernel{near}")
    return known[node.kind]
