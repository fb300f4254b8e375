# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest

from kilobench.compile.memory import buffers, plan
from tests.compile import arenas, mlperf
from tests.compile.graphs import random_graph

FAMILIES: dict[str, Callable[[], arenas.Named]] = {
    "published": arenas.published,
    "references": arenas.references,
    "untrained": lambda: arenas.untrained(("int8", "xnor"), ("ad", "cifar10", "fsdd")),
    "random": lambda: arenas.random(500),
}


@pytest.mark.parametrize("seed", range(100))
def test_live_buffers_never_overlap(seed: int) -> None:
    graph = random_graph(seed)
    layout = plan(graph)
    needed = buffers(graph, list(layout.steps))
    offsets = {name: layout.offsets[name] if isinstance(name, str) else layout.scratch[name] for name in needed}
    for a, buffer in needed.items():
        assert offsets[a] % 16 == 0
        assert offsets[a] + buffer.bytes <= layout.arena_bytes
        for b, other in needed.items():
            if a != b and buffer.first <= other.last and other.first <= buffer.last:
                first, second = sorted((a, b), key=lambda name: offsets[name])
                assert offsets[first] + needed[first].bytes <= offsets[second]
    assert layout.lower_bound_bytes <= layout.arena_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_arenas_are_within_five_percent_of_their_bound(family: str) -> None:
    ratios = arenas.ratios(FAMILIES[family]())
    if not ratios and not mlperf.there():
        pytest.skip("KILOBENCH_DATA holds no models of MLPerf Tiny")
    assert {name: ratio for name, ratio in ratios.items() if ratio > 1.05} == {}
    assert min(ratios.values()) >= 1
