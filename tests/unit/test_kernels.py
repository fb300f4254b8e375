"""Host C against the simulation, bit for bit; and the simulation against torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from kilobench.emit import emit
from kilobench.host import HostModel
from kilobench.lower import multiplier
from kilobench.simulate import requantise, simulate
from tests.unit.graphs import random_graph, random_inputs


@pytest.mark.parametrize("seed", range(100))
def test_host_c_equals_the_simulation(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    inputs = random_inputs(graph, 3, seed)
    emit(graph, tmp_path, "random")
    result = HostModel(tmp_path).run(inputs)
    expected = simulate(graph, inputs)[graph.output].reshape(len(inputs), -1)
    if expected.dtype == np.float32:
        scale = max(1.0, float(np.abs(expected).max()))
        assert np.abs(result - expected).max() <= 1e-5 * scale
    else:
        assert np.array_equal(result, expected)


def test_requantisation_rounds_once() -> None:
    random = np.random.default_rng(0)
    acc = random.integers(-(2**31), 2**31, 100_000)
    m, t = multiplier(np.exp(random.uniform(np.log(1e-9), np.log(0.9), 100_000)))
    exact = [(int(a) * int(f) * 2 + (1 << int(s))) >> (int(s) + 1) for a, f, s in zip(acc, m, t, strict=True)]
    assert np.array_equal(requantise(acc, m, t), exact)
    assert np.all((m >= 2**30) & (m < 2**31))


def test_binary_convolution_is_that_of_signs() -> None:
    graph = next(g for g in map(random_graph, range(1, 99, 2)) if any(o.kind == "binarize" for o in g.ops))
    maps = simulate(graph, random_inputs(graph, 2, 0))
    conv = next(op for op in graph.ops if op.kind == "conv2d" and graph.tensors[op.inputs[0]].dtype == "bit")
    x = torch.from_numpy(maps[conv.inputs[0]].transpose(0, 3, 1, 2) * 2.0 - 1)
    channels = x.shape[1]
    bits = np.unpackbits(conv.params["weight"].view(np.uint8), axis=-1, bitorder="little")[..., :channels]
    weight = torch.from_numpy(bits.transpose(0, 3, 1, 2) * 2.0 - 1)
    acc = functional.conv2d(x, weight, stride=conv.attrs["stride"], padding=conv.attrs["padding"]).numpy()
    flip = np.unpackbits(conv.params["flip"].view(np.uint8), bitorder="little")[: len(weight)]
    wanted = (acc.transpose(0, 2, 3, 1) >= conv.params["threshold"]) ^ flip.astype(bool)
    assert np.array_equal(maps[conv.output], wanted)
