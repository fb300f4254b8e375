# SPDX-License-Identifier: Apache-2.0
"""A .tflite file to a program. docs/importing.md lists what is supported.

``flatfile`` reads the file, ``tfliteimport`` holds its tensors and what has been made of them, ``tfliteops`` knows the operators.
"""

from __future__ import annotations

import numpy as np

from kilobench.compile.imports import flatfile
from kilobench.compile.imports.flatfile import File, Operator
from kilobench.compile.imports.program import Program, Value
from kilobench.compile.imports.tfliteimport import TfliteImport
from kilobench.compile.imports.tfliteops import OPERATORS
from kilobench.compile.operator import require
from kilobench.contracts import UserError
from kilobench.plugins.spec import nearest


def load_tflite(data: bytes) -> Program:
    """The program of a file's first graph.

    Raises UserError, in one line, for damaged files and for what is not supported, with the operator and its attribute.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # scales that are no numbers are refused later
        return _program(flatfile.read(data))


def _program(file: File) -> Program:
    if len(file.inputs) != 1:
        names = ", ".join(file.tensors[place].name for place in file.inputs)
        raise UserError(f"it has {len(file.inputs)} inputs ({names:.100}); supported is one")
    walk = TfliteImport(file)
    source = _end(walk, file.inputs[0])
    for operator in file.operators:
        _read(walk, operator)
    outputs = tuple(_end(walk, place).name for place in file.outputs)
    return Program(walk.values, walk.nodes, source.name, outputs, channels_last=True)


def _end(walk: TfliteImport, place: int) -> Value:
    """The input of the network, or one of its outputs."""
    try:
        return walk.value(place)
    except ValueError as error:
        raise UserError(f"it {error}") from None


def _read(walk: TfliteImport, operator: Operator) -> None:
    """One operator, whose errors are named after what it makes."""
    name = walk.file.tensors[operator.outputs[0]].name if operator.outputs else "an operator"
    where = f"{name} ({operator.kind})"
    if operator.kind not in OPERATORS:
        near = nearest(operator.kind, OPERATORS) or f"; supported are {', '.join(sorted(OPERATORS))}"
        raise UserError(f"{where} cannot be lowered{near}")
    translate, inputs, outputs = OPERATORS[operator.kind]
    try:
        count = len(operator.inputs)
        require(inputs[0] <= count <= inputs[1], f"has {count} inputs, not {inputs[0]} to {inputs[1]}")
        made = len(operator.outputs)
        require(outputs[0] <= made <= outputs[1], f"has {made} outputs, not {outputs[0]} to {outputs[1]}")
        require(all(place >= 0 for place in operator.inputs[: inputs[0]]), "lacks an input")
        translate(walk, operator)
    except ValueError as error:
        raise UserError(f"{where} {error}") from None
