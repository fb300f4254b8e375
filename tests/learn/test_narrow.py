# SPDX-License-Identifier: Apache-2.0
"""Marks for weights of fewer than 8 bits, and what is made of them on the way to a graph."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.graph import Graph
from kilobench.compile.lower import LoweringError, lower
from kilobench.contracts import UserError
from kilobench.learn.modelfile import load_model, save_model
from kilobench.learn.narrow import most, narrow, narrowed, on_grid
from kilobench.learn.quantise import fold_norms, quantise
from kilobench.measuring.fitting import weights as counted

SHAPE = (3, 8, 8)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    convs = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1)
    model = nn.Sequential(
        *(convs[0], nn.BatchNorm2d(8), nn.ReLU(), convs[1], nn.BatchNorm2d(8)),
        *(convs[2], nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, 5)),
    )
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.2, 3)
    return model.eval()


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(1)), torch.zeros(16))]


def layers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def weights(graph: Graph) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """Bits and integers of every layer, as torch has them."""
    found = []
    for op in graph.ops:
        if op.kind == "conv2d":
            found.append((op.attrs.get("bits", 8), op.params["weight"].transpose(0, 3, 1, 2)))
        elif op.kind == "depthwise_conv2d":
            found.append((8, op.params["weight"].transpose(2, 0, 1)[:, None]))
    return found


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_the_marked_grid_is_that_of_the_board(tmp_path: Path, bits: int, fold: bool, given: bool) -> None:
    """By all ways that a model goes: folded or not, quantised, stored and loaded."""
    model, wanted = network(), []
    for layer in layers(model):
        weight = layer.weight.detach()
        scale = weight.abs().flatten(1).amax(1) * 0.6 / most(bits) if given else None
        step = narrowed(narrow(layer, bits, scale))[1]  # type: ignore[index]
        wanted.append((weight / step.view(-1, *[1] * (weight.dim() - 1))).round().clamp(-most(bits), most(bits)))
    model = fold_norms(model) if fold else model  # type: ignore[assignment]
    save_model(quantise(copy.deepcopy(model), batches()), tmp_path / "m.safetensors", {})
    graph = lower(load_model(tmp_path / "m.safetensors")[0], SHAPE)
    found = weights(graph)
    assert [b for b, _ in found] == [bits, 8, bits, bits]
    for (_, q), expected in zip(found, wanted, strict=True):
        assert np.array_equal(np.abs(q.reshape(expected.shape)), expected.abs().numpy())


def test_bits_change_one_layer_alone() -> None:
    plain = weights(lower(quantise(network(), batches()), SHAPE))
    model = network()
    narrow(layers(model)[2], 4)
    marked = weights(lower(quantise(model, batches()), SHAPE))
    same = [a == b and np.array_equal(p, q) for (a, p), (b, q) in zip(plain, marked, strict=True)]
    assert same == [True, True, False, True]


def test_on_grid_is_what_the_lowering_does() -> None:
    layer = narrow(nn.Linear(40, 7), 3)
    bits, scale = narrowed(layer)  # type: ignore[misc]
    rounded = on_grid(layer.weight, bits, scale)
    assert len(torch.unique(rounded[0])) <= 7
    assert (rounded - layer.weight).abs().amax(1).le(scale / 2 + 1e-6).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: narrow(nn.Linear(4, 2), 1), "bits must be from 2 to 7, not 1"),
        (lambda: narrow(nn.Linear(4, 2), 8), "bits must be from 2 to 7, not 8"),
        (lambda: narrow(nn.ReLU(), 4), "ReLU has no weights of few bits; supported are Conv2d and Linear"),
        (lambda: narrow(nn.Linear(4, 2), 4, [1.0]), "must be 2 positive numbers"),
        (lambda: narrow(nn.Linear(4, 2), 4, [1.0, 0.0]), "must be 2 positive numbers"),
    ],
)
def test_what_is_no_mark_is_refused(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_a_marked_layer_of_floats_is_refused() -> None:
    model = network()
    narrow(layers(model)[0], 4)
    with pytest.raises(LoweringError, match=r"0 \(conv\) is marked for weights of few bits, but is none of int8"):
        lower(model, SHAPE)


def test_a_weight_of_few_bits_counts_as_its_part_of_one_of_8() -> None:
    model = nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 2))
    assert counted(model) == 54
    narrow(model[0], 2)
    assert counted(model) == 54 - 40 * 6 / 8
