# SPDX-License-Identifier: Apache-2.0
import pytest

from kilobench.compile.memory import buffers, plan
from tests.compile.graphs import random_graph


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
