# SPDX-License-Identifier: Apache-2.0
"""Grids, ranges, and training through rounding."""

from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.compile.lower import lower
from kilobench.learn.layers import FakeQuant, XnorConv2d
from kilobench.learn.quantise import fold_norms, quantise
from kilobench.plugins.registry import load_registry
from tests.learn import mobile
from tests.learn.trained import digits, logits


def quants(model: nn.Module) -> list[FakeQuant]:
    return [module for module in model.modules() if isinstance(module, FakeQuant)]


@pytest.mark.parametrize("bits", [8, 16])
def test_fake_quant_rounds_to_its_grid(bits: int) -> None:
    quant = FakeQuant(bits)  # type: ignore[arg-type]
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    quant.observing = True
    assert torch.equal(quant(x), x)
    quant.freeze()
    limit = 2 ** (bits - 1)
    assert int(quant.zero_point) == 0 if bits == 16 else -128 <= int(quant.zero_point) <= 127
    q = torch.clamp(torch.round(x.double() / quant.scale) + quant.zero_point, -limit, limit - 1)
    differs = (quant(x) - (q - quant.zero_point) * quant.scale).abs() > 1e-6
    assert differs.float().mean() < 1e-3  # ties at most
    assert (quant(x) - x).abs().max() <= 0.51 * quant.scale
    assert torch.equal(quant(quant(x)), quant(x)) and float(quant(torch.zeros(1))) == 0


def test_a_tensor_of_zeros_has_a_sane_scale() -> None:
    quant = FakeQuant()
    quant.freeze()
    assert float(quant.scale) == pytest.approx(1 / 255) and int(quant.zero_point) == -128


def test_gradients_pass_where_nothing_is_clipped() -> None:
    quant = FakeQuant()
    quant.low.fill_(-1)
    quant.high.fill_(1)
    quant.freeze()
    x = torch.tensor([-2.0, -0.5, 0.0, 0.7, 3.0], requires_grad=True)
    quant(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1, 1, 0]


def test_whatever_makes_floats_is_stored_once() -> None:
    """Behind every chain, nowhere else: not behind what only moves values, nor inside of a chain."""
    x = torch.randn(4, *mobile.SHAPE, generator=torch.Generator().manual_seed(0))
    traced = quantise(mobile.mobile(), [(x, torch.zeros(4))])
    marked = [str(n.all_input_nodes[0].target) for n in traced.graph.nodes if str(n.target).startswith("quant")]
    assert marked[0] == "x" and len(marked) == len(set(marked)) == 20
    inside = {"stem", "head", "squeeze.reduce", "wide", "pad"}
    assert not inside & set(marked) and {"norm", "before", "norm1", "squeeze.expand", "prelu", "out"} <= set(marked)
    with torch.no_grad():
        assert (traced(x) - mobile.mobile()(x)).abs().max() < 0.1


def test_int8_stays_close_to_the_network_it_came_from() -> None:
    x = digits().split.test_x
    agree = (logits(digits().apply("int8"), x).argmax(1) == logits(digits().model, x).argmax(1)).float().mean()
    assert agree >= 0.95


def test_the_input_range_is_that_of_the_training_batches() -> None:
    model = digits().apply("int8[batches=3,calibrate=percentile,input=int16]")
    x = torch.cat([x for x, _ in digits().job().batches(3)])
    source = quants(model)[0]
    assert source.bits == 16 and [quant.bits for quant in quants(model)[1:]] == [8] * (len(quants(model)) - 1)
    assert (float(source.low), float(source.high)) == (min(0.0, float(x.min())), max(0.0, float(x.max())))


@pytest.mark.parametrize("bits", [8, 16])
def test_pixels_stay_what_they_are(bits: Literal[8, 16]) -> None:
    """Even where the calibration images lack some: 128 x is a code of int8, and so is 2 ** 15 x of int16."""
    codes = torch.arange(-120, 100).float().reshape(1, 1, 10, 22)
    for x, same in ((codes / 128, True), (codes / 127, False)):
        marked = quantise(nn.Sequential(nn.Conv2d(1, 2, 3)), [(x, torch.zeros(1))], input_bits=bits)
        first = marked.get_submodule("quant0")
        assert isinstance(first, FakeQuant)
        grid = (float(first.scale), int(first.zero_point))
        assert (grid == (2.0 ** (1 - bits), 0)) is same
        assert torch.equal(first(x), x) is same


def test_percentiles_leave_out_the_tails() -> None:
    values = torch.randn(40, 1, 100, 100, generator=torch.Generator().manual_seed(0))
    values[0, 0, 0, 0], values[1, 0, 0, 0] = 40, -60
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.constant_(net[0].weight, 2)  # type: ignore[arg-type]
    both = [quantise(net, [(values, values)], calibrate=kind) for kind in ("minmax", "percentile")]  # type: ignore[arg-type]
    low, high = np.quantile(2 * values.numpy(), [1e-4, 1 - 1e-4])
    wide, narrow = (quants(model)[1] for model in both)
    assert (float(wide.low), float(wide.high)) == (-120, 80)
    assert float(narrow.low) == pytest.approx(low, abs=0.1) and float(narrow.high) == pytest.approx(high, abs=0.1)
    assert float(quants(both[1])[0].high) == 40


def test_marks_are_replaced_not_doubled() -> None:
    once, twice = digits().apply("xnor", steps=0), digits().apply("xnor+int8[calibrate=percentile]", steps=0)
    assert len(quants(once)) == len(quants(twice))
    shape = digits().task.input_shape
    assert [op.kind for op in lower(once, shape).ops] == [op.kind for op in lower(twice, shape).ops]
    again = digits().apply("xnor+int8", steps=0)
    assert lower(once, shape).digest() == lower(again, shape).digest()


@pytest.mark.parametrize("recipe", ["qat", "ternary"])
def test_trained_weights_are_exactly_what_is_stored(recipe: str) -> None:
    model = digits().apply(recipe, steps=40)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert all(type(layer) in (nn.Conv2d, nn.Linear) for layer in layers)
    for layer in layers:
        weight = layer.weight.detach().double().flatten(1)
        scale = weight.abs().amax(dim=1, keepdim=True) / 127
        assert (weight / scale - (weight / scale).round()).abs().max() < 1e-4
    if recipe.startswith("ternary"):
        for op in lower(model, digits().task.input_shape).ops:
            if "weight" in op.params:
                assert set(np.unique(op.params["weight"])) <= {-1, 0, 1}


def test_quantisation_aware_training_lowers_the_rounded_networks_loss() -> None:
    x, y = digits().split.train_x, torch.from_numpy(digits().split.train_y)
    losses = [
        float(nn.functional.cross_entropy(logits(digits().apply(recipe, steps=160), x), y))
        for recipe in ("int8", "qat")
    ]
    assert losses[1] < losses[0]


class Shared(nn.Module):
    """Layers under two names, and called twice, with batch norms of their own and in common."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.last = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm, self.norm2, self.norm3, self.fc = (
            nn.BatchNorm2d(4),
            nn.BatchNorm2d(4),
            nn.BatchNorm2d(4),
            nn.Linear(16, 3),
        )
        self.same, self.equal = self.last, self.norm3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.first(x)))
        y = torch.relu(self.norm2(self.conv(self.norm(self.conv(y)))))
        result: torch.Tensor = self.fc(torch.flatten(self.equal(self.same(y)), 1))
        return result


def shared() -> nn.Module:
    torch.manual_seed(0)
    model = Shared().eval()
    for norm in (model.norm, model.norm2, model.norm3):
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model


def test_folding_leaves_what_other_places_need() -> None:
    x, model = torch.rand(4, 4, 10, 10), shared()
    wanted = model(x)
    folded = fold_norms(model)
    assert torch.allclose(folded(x), wanted, atol=1e-5)
    kinds = [type(folded.get_submodule(name)) for name in ("norm", "norm2", "norm3", "equal")]
    assert kinds == [nn.BatchNorm2d, nn.BatchNorm2d, nn.Identity, nn.Identity]


def test_xnor_takes_no_batch_norm_that_other_layers_need_and_finds_layers_by_all_names() -> None:
    model = shared()
    load_registry().get("methods", "xnor[keep=first]")._binarise(model)
    kinds = [
        type(model.get_submodule(name)) for name in ("first", "conv", "last", "same", "norm", "norm2", "norm3", "equal")
    ]
    assert kinds[:4] == [nn.Conv2d, *[XnorConv2d] * 3]
    assert kinds[4:] == [nn.BatchNorm2d, *[nn.Identity] * 3]
