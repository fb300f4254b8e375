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
from kilobench.contracts import Budget, UserError
from kilobench.learn.pruning import ChannelRanking
from kilobench.learn.train import TrainingJob
from tests.learn.trained import Trained, digits, silent, tones, weights

ZOO = ("l2", "bn_scale", "lamp", "fpgm", "hessian", "obdc", "random")


def channels(model: nn.Module) -> list[int]:
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(
    "parameters", ["rank=taylor", "rank=l1", "rank=hybrid", "iterative=3", *(f"rank={how}" for how in ZOO)]
)
@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_prune_keeps_the_share_that_was_asked_for(trained: Callable[[], Trained], parameters: str) -> None:
    network = trained()
    small = network.apply(f"prune[keep=0.5,{parameters}]", steps=0)
    assert 0.35 <= weights(small) / weights(network.model) <= 0.5
    counts = zip(channels(small), channels(network.model), strict=True)
    assert all(now % 4 == 0 or now == before for now, before in counts)
    work = [macs(lower(model, network.task.input_shape))["fp32"] for model in (small, network.model)]
    assert 0 < work[0] < work[1]


@pytest.mark.parametrize("how", ["taylor", "l1", "activation", *ZOO])
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


@pytest.mark.parametrize("how", ["taylor", "l1", "activation", *sorted({*ZOO} - {"fpgm", "random"})])
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

    recording = SimpleNamespace(
        train=train, batches=job.batches, budget=None, input_shape=job.input_shape, progress=silent
    )
    tones().apply("prune[rank=hybrid,keep=0.5]", recording)
    assert len(shares) == 2 and shares[0] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("parameters", ["rank=taylor", "rank=hybrid", "iterative=3", "iterative=3,rank=hybrid"])
def test_prune_leaves_it_to_the_budget_how_much_is_kept(parameters: str) -> None:
    """The largest of the networks that it offers is what is trained to the end, in all of the steps."""
    network, offered = tones(), []
    limit = 0.4 * weights(network.model)

    def fit(make: Callable[[float], nn.Module], low: float, high: float) -> nn.Module:
        assert (low, high) == (pytest.approx(0.05), 1)
        offered.append([make(low + (high - low) * step / 10) for step in range(11)])
        return max((model for model in offered[-1] if weights(model) <= limit), key=weights)

    job = TrainingJob(
        network.split,
        network.task,
        seed=0,
        progress=silent,
        steps=11,
        budget=Budget("nucleo_l476rg", flash_bytes=limit),
        fit=fit,
    )
    small = network.apply(f"prune[{parameters}]", job)
    for models in offered:
        sizes = [weights(model) for model in models]
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert weights(offered[0][-1]) == weights(network.model)  # nothing has to go where all of it keeps the budget
    assert 0.3 * weights(network.model) < weights(small) <= limit
    assert small in offered[-1] and job.done == 11


def test_prune_takes_no_share_beside_a_budget() -> None:
    job = SimpleNamespace(budget=Budget("nucleo_l476rg", flash_bytes=20_000))
    with pytest.raises(UserError, match="prune: a budget says how much is kept; give no keep"):
        tones().apply("prune[keep=0.5]", job)
