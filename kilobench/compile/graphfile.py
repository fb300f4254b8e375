# SPDX-License-Identifier: Apache-2.0
"""Lowered graphs as files: one safetensors file each, with the structure as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.graphcheck import check_graph
from kilobench.contracts import CellError
from kilobench.files import write_kept

_FORM = "kilobench graph 1"


def save_graph(graph: Graph, path: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a graph with ``facts`` (plain JSON) and other ``arrays`` about it; the same content gives the same bytes.

    Written with its digest beside it (kilobench.files).
    """
    tensors = {f"array/{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
    for index, op in enumerate(graph.ops):
        tensors |= {f"op/{index}/{key}": np.ascontiguousarray(array) for key, array in op.params.items()}
    structure = {
        "tensors": [asdict(tensor) for tensor in graph.tensors.values()],
        "ops": [{key: value for key, value in vars(op).items() if key != "params"} for op in graph.ops],
        "input": graph.input,
        "output": graph.output if len(graph.outputs) == 1 else graph.outputs,
    }
    text = json.dumps({"form": _FORM, "graph": structure, "facts": dict(facts)}, sort_keys=True)
    write_kept(path, save(tensors, {"kilobench": text}))  # one entry: several have no fixed order


def load_graph(path: Path) -> tuple[Graph, dict[str, Any], dict[str, NDArray[Any]]]:
    """Graph, facts and other arrays of a file.

    Raises CellError for a file that is no graph, or one whose graph C cannot run (kilobench.compile.graphcheck).
    """
    try:
        with safe_open(path, "numpy") as file:
            content = json.loads((file.metadata() or {}).get("kilobench", "{}"))
            if content.get("form") != _FORM:
                raise CellError(f"{path} holds no {_FORM}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        graph = _graph(content["graph"], arrays)
        check_graph(graph)
        return graph, content["facts"], _below("array/", arrays)
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        line = " ".join(str(error).split())[:300]
        raise CellError(f"{path} cannot be read as a graph: {line}") from None


def _graph(structure: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Graph:
    tensors = [Tensor(**{**values, "shape": tuple(values["shape"])}) for values in structure["tensors"]]
    ops = [
        Op(
            kind=op["kind"],
            name=op["name"],
            inputs=tuple(op["inputs"]),
            output=op["output"],
            attrs={key: tuple(value) if isinstance(value, list) else value for key, value in op["attrs"].items()},
            params=_below(f"op/{index}/", arrays),
        )
        for index, op in enumerate(structure["ops"])
    ]
    outputs = structure["output"]
    outputs = tuple(outputs) if isinstance(outputs, list) else (outputs,)
    return Graph({tensor.name: tensor for tensor in tensors}, tuple(ops), structure["input"], outputs)


def _below(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
