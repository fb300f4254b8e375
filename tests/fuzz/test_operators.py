# SPDX-License-Identifier: Apache-2.0
"""Every operator and pair of types that there is: simulation, host C and the firmware of every emulated core agree.

A new file in kilobench/compile/ops is tested by being there.
"""

from pathlib import Path

import pytest

from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, every_operator, random_inputs
from tests.fuzz.batch import INPUTS, Case, Target, differences

SEEDS = 4
BOARDS = {e.value.core.name: name for name, e in load_registry().entries["boards"].items() if e.value.core.timing}  # type: ignore[union-attr]
"""One of every emulated core."""


def case(kind: str, read: str, made: str, seed: int) -> Case:
    """An operator on a map of one of many sizes; of those that read several, some are parts of it."""
    b = Builder(seed, extreme=seed % 2 == 0)
    height, width = (1, int(b.random.integers(2, 60))) if seed % 2 else map(int, b.random.integers(3, 10, 2))
    source = b.tensor((height, width, b.channels()), read)  # type: ignore[arg-type]
    graph = b.graph(source, b.any(kind, source, made))  # type: ignore[arg-type]
    return Case(f"{kind} from {read} to {made}, seed {seed}", graph, random_inputs(graph, INPUTS, seed))


@pytest.mark.parametrize("core", BOARDS)
def test_every_operator_is_the_same_everywhere(core: str, tmp_path: Path) -> None:
    cases = [case(*types, seed) for types in every_operator() for seed in range(SEEDS)]
    target = Target(load_registry().get("boards", BOARDS[core]))
    assert not differences(cases, tmp_path / "batch", [target])


def test_every_operator_is_among_the_cases() -> None:
    made = [case(*types, 0).graph for types in every_operator()]
    found = [(g.ops[-1].kind, g.tensors[g.input].dtype, g.tensors[g.output].dtype) for g in made]
    assert found == every_operator()
