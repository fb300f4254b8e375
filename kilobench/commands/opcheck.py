# SPDX-License-Identifier: Apache-2.0
"""Contract tests of an operator: on the host and on emulated cores its kernels compute what its NumPy says."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from kilobench.commands.instances import instance, random_inputs
from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph, pack
from kilobench.compile.host import HostModel
from kilobench.compile.operator import operator, require
from kilobench.compile.simulate import simulate
from kilobench.contracts import UserError
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from kilobench.scratch import temporary_folder

BOARDS = {"Cortex-M4F": "nucleo_l476rg", "Cortex-M0+": "raspberry_pi_pico"}
"""With FPU and DSP extension, and without either."""
INSTANCES, INPUTS = 3, 2
"""Of every pair of types; of every instance."""
_TOLERANCE = 1e-5
"""Of floats, relative to the largest."""


def checks(kind: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """By name; each raises ValueError, or CellError where C does not compile, for an operator that is not as it says."""
    yield "can be imported", lambda: require(bool(operator(kind).types), "it has no types")
    try:
        types = list(operator(kind).types)
    except UserError:
        return
    for pair in types:
        name = f"is on the host, {' and '.join(BOARDS)} what NumPy says, {pair[0]} to {pair[1]}"
        yield name, lambda pair=pair: _compare(kind, pair)  # type: ignore[misc]


def _compare(kind: str, types: tuple[DType, DType]) -> None:
    for seed in range(INSTANCES):
        graph = instance(kind, types, seed)
        with temporary_folder() as folder:
            (model := folder / "model").mkdir()
            emit(graph, model, kind)
            _run(graph, seed, model, folder)


def _run(graph: Graph, seed: int, model: Path, folder: Path) -> None:
    inputs = random_inputs(graph, INPUTS, seed)
    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    wanted = simulate(graph, inputs)[output.name]
    raw = pack(inputs.astype(bool)) if source.dtype == "bit" else inputs
    what = f"an instance on {source.dtype} {source.shape} with {graph.ops[0].attrs}"
    host = HostModel(model)
    if output.dtype == "bit":
        expected = [zlib.crc32(pack(values.astype(bool)).tobytes()) for values in wanted]
        require([host.checksums(x)[0][1] for x in raw] == expected, f"host C differs from NumPy in {what}")
    else:
        made = host.run(raw).reshape(wanted.shape)
        limit = _TOLERANCE * max(1.0, float(np.abs(wanted).max())) if output.dtype == "float32" else 0
        off = float(np.abs(made.astype(np.float64) - wanted).max())
        require(off <= limit, f"host C differs from NumPy by up to {off:g} in {what}")
    for core, name in BOARDS.items():
        board = load_registry().get("boards", name)
        with EmulatedBoard(build(model, board, folder / name).elf, board) as emulated:
            session = Session(emulated, name)
            for x in raw:
                session.load(x.tobytes())
                same = [crc for _, _, crc in session.layers()] == [crc for _, crc in host.checksums(x)]
                require(same, f"a {core} differs from host C in {what}")
