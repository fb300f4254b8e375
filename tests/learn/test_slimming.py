# SPDX-License-Identifier: Apache-2.0
"""Networks that run with some of their channels, and those that have these alone; what judges them is not trained on."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.contracts import Budget, Cost, Network, UserError, silent
from kilobench.learn.slimming import Slimmable
from kilobench.learn.train import TrainingJob
from kilobench.plugins.registry import load_registry
from tests.learn.trained import Trained, digits, tones, weights


def mobile() -> tuple[nn.Module, tuple[int, int, int]]:
    """Depthwise layers and residual sums."""
    network: Network = load_registry().get("networks", "mobilenet_v2[width=0.25]")
    return network.build((3, 32, 32), 4, 0), (3, 32, 32)


def of(trained: Trained) -> tuple[nn.Module, tuple[int, int, int]]:
    return copy.deepcopy(trained.model), trained.task.input_shape


@pytest.mark.parametrize(
    "made", [lambda: of(digits()), lambda: of(tones()), mobile], ids=["residual", "swap", "depthwise"]
)
def test_channels_that_are_not_in_use_are_as_good_as_gone(
    made: Callable[[], tuple[nn.Module, tuple[int, int, int]]],
) -> None:
    model, shape = made()
    x, whole = torch.rand(4, *shape) * 2 - 1, weights(model)
    slim, generator = Slimmable(model, shape), np.random.default_rng(0)
    for _ in range(2):
        widths = [int(generator.choice(choices)) for choices in slim.choices]
        with slim.narrowed(), torch.no_grad():
            wanted = model.eval()(x)
            slim.use(widths)
            narrow = model(x)
        assert not any("channels_in_use" in name for name in model.state_dict())
        small = slim.network(widths)
        assert weights(small) < whole == weights(model)
        with torch.no_grad():
            assert torch.allclose(small.eval()(x), narrow, atol=1e-4)
            assert torch.equal(model(x), wanted)


def test_a_layer_may_have_multiples_of_four_channels() -> None:
    choices = Slimmable(*of(digits())).choices
    assert [8, 4] in choices and all(width % 4 == 0 for widths in choices for width in widths)
    assert all(widths == sorted(set(widths), reverse=True) for widths in choices)


def test_what_is_held_out_is_neither_trained_on_nor_among_the_batches() -> None:
    job = digits().job(steps=2)
    x, y, before = job.train_x, job.train_y, job.batches(1)[0][0]
    with job.held_out(0.2) as held:
        out = {row.numpy().tobytes() for inputs, _ in held for row in inputs}
        inside = {row.tobytes() for row in job.train_x}
        assert len(job.train_x) == pytest.approx(0.8 * len(x), abs=10)
        counts = np.bincount(np.concatenate([labels.numpy() for _, labels in held]), minlength=10)
        assert counts.max() - counts.min() < 5
        seen = {
            row.numpy().tobytes()
            for row in job._augmenter.batch(np.arange(len(job.train_x)), np.random.default_rng(0))[0]
        }
        assert len(seen) <= len(job.train_x) and not out & inside
        assert not out & {row.numpy().tobytes() for inputs, _ in job.batches(100) for row in inputs}
        job.train(copy.deepcopy(digits().model), lr=1e-3, share=0.5)
    assert job.train_x is x and job.train_y is y and torch.equal(job.batches(1)[0][0], before)


def test_a_job_measures_on_the_budgets_board_alone_where_none_is_named() -> None:
    asked, found = [], Cost(1, 1, 1, 1.0, 0, 0)

    def costs(model: nn.Module, board: str) -> Cost:
        asked.append(board)
        return found

    def job(budget: Budget | None) -> TrainingJob:
        return TrainingJob(digits().split, digits().task, seed=0, progress=silent, costs=costs, budget=budget)

    assert job(Budget("nucleo_l476rg")).cost(digits().model) == found and asked == [""]
    with pytest.raises(UserError, match="there is no budget here whose board could be measured on; name one"):
        job(None).cost(digits().model)
