import pytest

from kilobench.memory import lifetimes, plan
from tests.unit.graphs import random_graph


@pytest.mark.parametrize("seed", range(100))
def test_live_tensors_never_overlap(seed: int) -> None:
    graph = random_graph(seed)
    layout, spans = plan(graph), lifetimes(graph)
    for a in spans:
        assert layout.offsets[a] % 16 == 0
        assert layout.offsets[a] + graph.tensors[a].bytes <= layout.arena_bytes
        for b in spans:
            together = spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
            if a < b and together:
                first, second = sorted((a, b), key=lambda name: layout.offsets[name])
                assert layout.offsets[first] + graph.tensors[first].bytes <= layout.offsets[second]
    assert layout.lower_bound_bytes <= layout.arena_bytes
