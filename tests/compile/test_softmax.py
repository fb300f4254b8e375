# SPDX-License-Identifier: Apache-2.0
"""The softmax against float64 and torch, on its own and as the last layer of a network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower
from kilobench.compile.ops._exponential import exponential
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.learn.quantise import quantise
from kilobench.measuring.evaluate import _crops
from tests.compile.graphs import Builder, random_inputs


def classifier(*last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, (1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8, 5), *last).eval()


def test_the_exponential_is_within_3e_7() -> None:
    x = np.linspace(-87, 0, 1_000_001).astype(np.float32)
    assert exponential(x).dtype == np.float32
    assert np.abs(exponential(x) / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    assert exponential(np.float32([-1e30]))[0] == exponential(np.float32([-87]))[0] > 0


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("shape", [(1, 1, 10), (3, 40, 33), (1, 2, 300)])
def test_host_equals_the_simulation_to_the_bit(shape: tuple[int, int, int], dtype: DType, tmp_path: Path) -> None:
    b = Builder(0)
    source = b.tensor(shape, dtype)
    graph = b.graph(source, b.any("softmax", source, dtype))
    x = random_inputs(graph, 4, 0)
    wanted = simulate(graph, x)[graph.output]
    emit(graph, tmp_path, "softmax")
    assert np.array_equal(HostModel(tmp_path).run(x), wanted.reshape(4, -1))
    real = x.astype(np.float64) * (source.scale or 1)
    truth = np.exp(real - real.max(axis=-1, keepdims=True))
    truth /= truth.sum(axis=-1, keepdims=True)
    shares = wanted if dtype == "float32" else (wanted.astype(np.float64) + 128) / 256
    assert np.abs(shares - np.minimum(truth, shares.max())).max() <= (1e-6 if dtype == "float32" else 0.501 / 256)


@pytest.mark.parametrize("int8", [False, True])
def test_a_network_may_end_in_it(int8: bool, tmp_path: Path) -> None:
    model, x = classifier(nn.Softmax(dim=1)), torch.rand(64, 1, 1, 10) * 2 - 1
    graph = lower(quantise(model, [(x, torch.zeros(64))]) if int8 else model, (1, 1, 10))
    assert graph.ops[-1].kind == "softmax"
    emit(graph, tmp_path, "ends")
    made = HostModel(tmp_path).run(quantise_input(graph, x.numpy()))
    shares = (made.astype(np.float64) + 128) / 256 if int8 else made
    with torch.no_grad():
        assert np.abs(shares - model(x).numpy()).max() < (0.02 if int8 else 1e-5)


def test_the_last_axis_is_the_channels_too() -> None:
    found = [lower(classifier(nn.Softmax(dim=dim)), (1, 1, 10)).ops[-1] for dim in (1, -1)]
    assert [(op.kind, op.attrs) for op in found] == [("softmax", {})] * 2


def test_ten_crops_apply_it_once(tmp_path: Path) -> None:
    """The mean over the windows is that of shares, with and without one in the network, whose classes differ from sums of
    softmaxes of softmaxes somewhere."""
    clips = np.random.default_rng(0).normal(0, 8, (400, 1, 1, 40)).astype(np.float32)
    found = []
    for name, model in (("logits", classifier()), ("shares", classifier(nn.Softmax(dim=1)))):
        graph = lower(model, (1, 1, 10))
        (tmp_path / name).mkdir()
        emit(graph, tmp_path / name, name)
        found.append(_crops(graph, HostModel(tmp_path / name), clips, lambda *_: None))
    assert np.array_equal(*found)
    rolled = np.stack([clips[..., s : s + 10] for s in np.linspace(0, 30, 10).astype(int)])
    with torch.no_grad():
        shares = torch.softmax(classifier()(torch.from_numpy(rolled.reshape(-1, 1, 1, 10))), 1).reshape(10, 400, 5)
    assert not np.array_equal(torch.softmax(shares, 2).mean(0).argmax(1).numpy(), found[0])
