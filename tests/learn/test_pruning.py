# SPDX-License-Identifier: Apache-2.0
"""Which channels go, and what is left."""

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from kilobench.compile.counts import macs
from kilobench.compile.lower import lower
from kilobench.contracts import Cost
from kilobench.learn.pruning import ChannelRanking
from tests.learn.trained import Trained, digits, tones, weights


def channels(model: nn.Module) -> list[int]:
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("parameters", ["rank=taylor", "rank=l1", "rank=hybrid", "iterative=3"])
@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_prune_keeps_the_share_that_was_asked_for(trained: Callable[[], Trained], parameters: str) -> None:
    network = trained()
    small = network.apply(f"prune[keep=0.5,epochs=0,{parameters}]")
    assert 0.35 <= weights(small) / weights(network.model) <= 0.5
    counts = zip(channels(small), channels(network.model), strict=True)
    assert all(now % 4 == 0 or now == before for now, before in counts)
    work = [macs(lower(model, network.task.input_shape))["fp32"] for model in (small, network.model)]
    assert 0 < work[0] < work[1]


@pytest.mark.parametrize("how", ["taylor", "l1", "activation"])
def test_channels_before_the_axis_swap_are_rows_behind_it(how: Any) -> None:
    before = tones().model
    x = torch.zeros(2, *tones().task.input_shape)
    ranking = ChannelRanking(before, tones().job().batches(2), how)
    rows = []
    for ratio in (0.3, 0.6, 1.0):
        small = ranking.without(ratio, tones().task.input_shape)
        left = small.get_submodule("conv2").out_channels
        rows.append(left)
        assert small.eval()(x).shape == (2, 4)
        to_average = small[: list(dict(small.named_children())).index("average") + 1]  # type: ignore[index]
        assert to_average(x).shape[2:] == (1, 1)
        height = small[: list(dict(small.named_children())).index("conv3") + 1](x).shape[2]  # type: ignore[index]
        assert height == left
        assert all(now >= was / 10 - 2 for now, was in zip(channels(small), channels(before), strict=True))
    assert rows == sorted(rows, reverse=True) and rows[-1] == 4
    assert channels(before)[1] == 8


@pytest.mark.parametrize("how", ["taylor", "l1", "activation"])
def test_channels_that_say_nothing_go_first_and_change_nothing(how: Any) -> None:
    model = copy.deepcopy(tones().model).eval()
    dead = [1, 5, 6, 10]
    for layer in (model.get_submodule("conv5"), model.get_submodule("norm5")):
        layer.weight.data[dead] = 0
    model.get_submodule("norm5").bias.data[dead] = 0
    model.get_submodule("conv6").weight.data[:, dead] = 0
    prunable = sum(channels(model))
    small = ChannelRanking(model, tones().job().batches(2), how).without(4 / prunable, tones().task.input_shape)
    assert [a - b for a, b in zip(channels(model), channels(small), strict=True)] == [0, 0, 0, 0, 4, *[0] * 6]
    x = torch.from_numpy(tones().split.test_x[:8])
    with torch.no_grad():
        assert torch.allclose(small(x), model(x), atol=1e-5)


def test_hybrid_ranks_a_sparse_network() -> None:
    job, shares = tones().job(), []

    def train(model: nn.Module, *, after_step: Any = None, **_: Any) -> nn.Module:
        if after_step is not None:
            after_step(model)
        layers = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        shares.append(sum(int((w != 0).sum()) for w in layers) / sum(w.numel() for w in layers))
        return model.eval()

    recording = SimpleNamespace(train=train, batches=job.batches, epochs=1, input_shape=job.input_shape)
    tones().apply("prune[rank=hybrid,keep=0.5]", recording)
    assert len(shares) == 2 and shares[0] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("iterative", [1, 3])
def test_prune_finds_the_largest_network_that_fits(iterative: int) -> None:
    """A board of 20 kB, on which inference takes a millisecond per 100 000 products."""
    job, seen, trainings = tones().job(), [], []

    def cost(model: nn.Module, board: str) -> Cost:
        graph = lower(model, job.input_shape)
        counts = macs(graph)
        assert board == "nucleo_l476rg" and counts["fp32"] == 0
        flash = sum(value.nbytes for op in graph.ops for value in op.params.values())
        seen.append(flash)
        return Cost(
            flash_bytes=flash,
            ram_bytes=0,
            cycles=counts["int8"],
            latency_ms=counts["int8"] / 1e5,
            over_flash_bytes=max(0, flash - 20_000),
            over_ram_bytes=0,
        )

    def train(model: nn.Module, **_: Any) -> nn.Module:
        trainings.append(weights(model))
        return model.eval()

    board = SimpleNamespace(
        train=train, batches=job.batches, epochs=1, input_shape=job.input_shape, cost=cost, progress=job.progress
    )
    small = tones().apply(f"prune[fit=nucleo_l476rg,iterative={iterative}]", board)
    assert max(value for value in seen if value <= 20_000) >= 17_000
    assert len(trainings) == iterative and trainings == sorted(trainings, reverse=True)
    fast = tones().apply(f"prune[fit=nucleo_l476rg,latency_ms=1,iterative={iterative}]", board)
    assert macs(lower(fast, job.input_shape))["fp32"] <= 1e5 < macs(lower(small, job.input_shape))["fp32"]
