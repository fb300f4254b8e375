# SPDX-License-Identifier: Apache-2.0
"""Rounding to few bits without training, and which layers get how many."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.lower import lower
from kilobench.compile.operator import bind
from kilobench.contracts import UserError
from kilobench.learn.quantise import fold_norms, quantise
from kilobench.learn.rounding import _means, narrowable, output_error, round_weights
from kilobench.learn.train import TrainingJob
from tests.learn.test_narrow import SHAPE, batches, network
from tests.learn.trained import digits


def test_means_of_all_channels_are_what_they_were() -> None:
    model = fold_norms(network())
    inputs = [x for x, _ in batches()]
    before, bits = _means(model, inputs), dict.fromkeys(narrowable(model, batches()), 3)
    assert list(bits) == ["0", "5", "8"]  # the depthwise one is none
    rounded = round_weights(copy.deepcopy(model), bits, batches())
    after = _means(rounded, inputs)
    for path in bits:
        assert torch.allclose(after[path], before[path], atol=1e-5)


def test_more_bits_are_nearer() -> None:
    model = fold_norms(network())
    errors = [output_error(model, dict.fromkeys(("5", "8"), bits), batches()) for bits in (2, 4, 7)]
    assert errors[0] > 4 * errors[1] > 16 * errors[2] > 0


def test_what_is_no_layer_is_refused() -> None:
    with pytest.raises(UserError, match="2 is no Conv2d or Linear that the network computes with"):
        round_weights(network(), {"2": 4}, batches())


def test_mixed_keeps_to_its_mean_and_uses_it() -> None:
    means = []
    for wanted in (2.5, 4.5):
        graph = lower(digits().apply(f"mixed[bits={wanted},batches=1]"), digits().task.input_shape)
        layers = [(op.attrs.get("bits", 8), op.params["weight"].size) for op in graph.ops if op.kind == "conv2d"]
        bits, sizes = np.array(layers).T
        means.append(float((bits * sizes).sum() / sizes.sum()))
        assert means[-1] <= wanted
    assert 2 <= means[0] < means[1]


def test_mixed_measures_folded_layers_and_trains_those_with_batch_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    usual = TrainingJob.train

    def train(job: TrainingJob, model: nn.Module, **how: object) -> nn.Module:
        trained.append(sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()))
        return usual(job, model, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingJob, "train", train)
    digits().apply("mixed[bits=3.5,batches=1]")
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in digits().model.modules())
    assert trained[-1] == norms > 0


def test_packed_weights_count_as_they_are_stored() -> None:
    sizes = []
    for bits in (2, 4, 5):
        model = fold_norms(network())
        graph = lower(quantise(round_weights(model, {"8": bits}, batches()), batches()), SHAPE)
        sizes.append(sum(bind(graph, op).constant_bytes() for op in graph.ops))
    weights = 6 * 64 * 5
    assert [sizes[2] - size for size in sizes] == [weights * 3 // 4, weights // 2, 0]


def test_a_layer_without_a_bias_gets_one() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4, bias=False)).eval()
    rounded = round_weights(model, {"1": 2}, batches())
    assert isinstance(rounded[1].bias, nn.Parameter)  # type: ignore[index]
