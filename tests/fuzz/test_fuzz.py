# SPDX-License-Identifier: Apache-2.0
"""Random graphs: simulation, host C and the firmware of three cores agree; none runs into undefined behaviour.

KILOBENCH_FUZZ_GRAPHS=10000 is the size of a night; ``-v`` shows how far it is.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.memory import Plan
from kilobench.contracts import CellError
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import every_operator, random_graph
from tests.fuzz.batch import Case, Target, check, differences, first_difference, seeded

GRAPHS, BATCH = int(os.environ.get("KILOBENCH_FUZZ_GRAPHS", "200")), 50
M4, M0PLUS, RISCV = (
    load_registry().get("boards", name) for name in ("nucleo_l476rg", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv")
)
TARGETS = [Target(M4), Target(M4, traps=True), Target(M0PLUS), Target(RISCV), Target(RISCV, traps=True)]


def case(seed: int) -> Case:
    return seeded(seed, random_graph(seed))


@pytest.mark.parametrize("first", range(0, GRAPHS, BATCH), ids=lambda first: f"{first} of {GRAPHS}")
def test_simulation_host_and_boards_agree(first: int, tmp_path: Path) -> None:
    check([case(seed) for seed in range(first, min(first + BATCH, GRAPHS))], tmp_path, TARGETS)


def test_the_graphs_cover_every_operator() -> None:
    covered = {
        (op.kind, graph.tensors[op.inputs[0]].dtype, graph.tensors[op.output].dtype)
        for graph in map(random_graph, range(200))
        for op in graph.ops
    }
    assert covered == set(every_operator())


def test_a_difference_names_the_first_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C of one seed is emitted with another bias in its second operator."""
    cases = [case(seed) for seed in range(200)]
    wrong = next(
        c for c in cases if [op.kind for op in c.graph.ops[:3]] == ["conv2d"] * 3 and "bias" in c.graph.ops[1].params
    )
    second = wrong.graph.ops[1]

    def emit_wrong(graph: Graph, folder: Path, name: str) -> Plan:
        params = second.params | {"bias": -second.params["bias"] - 1}
        ops = [replace(op, params=params) if op is second else op for op in graph.ops]
        return emit(replace(graph, ops=tuple(ops)), folder, name)

    monkeypatch.setattr("tests.fuzz.batch.emit", emit_wrong)
    prefix = Case("cut", list(wrong.prefixes())[1].graph, wrong.inputs)
    found = differences([cases[0], prefix, cases[1]], tmp_path / "batch", TARGETS[:1])
    assert list(found) == ["cut"]
    assert found["cut"].startswith("host C differs from the simulation on input 0: ")
    named = first_difference(wrong, tmp_path / "prefixes", [])
    assert "after 2 operators" in named.splitlines()[1]
    assert f"  {second.name} conv2d t1 " in named.splitlines()[-1]


def test_a_broken_firmware_is_named_and_the_rest_of_the_batch_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first model is told an arena too small; the board fails on the second; the third is right."""

    def emit_short(graph: Graph, folder: Path, name: str) -> Plan:
        layout = emit(graph, folder, name)
        short = layout.arena_bytes - (16 if folder.name == "0" else 0)
        (folder / "model_config.h").write_text(f"#define KB_ARENA_BYTES {short}\n")
        return layout

    def fail_once(board: EmulatedBoard) -> bytes:
        if lines and len(lines) == 1:
            lines.append(b"")
            raise CellError("write to nowhere")
        lines.append(readline(board))
        return lines[-1]

    lines: list[bytes] = []
    readline = EmulatedBoard.readline
    monkeypatch.setattr(EmulatedBoard, "readline", fail_once)
    monkeypatch.setattr("tests.fuzz.batch.emit", emit_short)
    found = differences([case(seed) for seed in range(3)], tmp_path, TARGETS[:1])
    assert list(found) == ["seed 0", "seed 1"]
    assert "input 0: it wrote outside of its arena" in found["seed 0"]
    assert "nucleo_l476rg differs from host C: overrun overrun, not" in found["seed 0"]
    assert found["seed 1"].startswith("nucleo_l476rg differs from host C: write to nowhere, not")
