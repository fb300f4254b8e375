# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits without training: which layers can have them, the step of each channel, and biases that make up for it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kilobench.contracts import UserError
from kilobench.learn.narrow import largest, most, narrow, on_grid

_SHARES = [0.02 * count for count in range(5, 51)]
"""Of the largest weight of a channel, the ends of grids that are tried."""

Batches = Iterable[tuple[Tensor, Tensor]]


def narrowable(model: nn.Module, batches: Batches) -> list[str]:
    """Paths of the layers that a model computes with and whose weights kernels take in few bits, in their order."""
    layers = dict(model.named_modules())
    return [path for path in _means(model, [x for x, _ in batches][:1]) if getattr(layers[path], "groups", 1) == 1]


def round_weights(model: nn.Module, bits: Mapping[str, int], batches: Batches) -> nn.Module:
    """Rounds layers, by path, to so many bits, in place, and marks them for it (``narrow``).

    Steps of channels are those of the least squared error of the weights, of 46 that are tried; the largest weights are cut off
    where that is so. Then the mean of every rounded layer's outputs over the batches, by channel, is brought back to what it was
    by its bias, from the first layer to the last. Raises UserError for a path that is no layer.
    """
    inputs, model = [x for x, _ in batches], model.eval()
    before, layers = _means(model, inputs), dict(model.named_modules())
    if unknown := [path for path in bits if path not in before]:
        raise UserError(f"{unknown[0]} is no Conv2d or Linear that the network computes with")
    with torch.no_grad():
        for path in [path for path in before if path in bits]:
            layer: Any = layers[path]
            scale = _step(layer.weight, bits[path])
            layer.weight.copy_(on_grid(layer.weight, bits[path], scale))
            narrow(layer, bits[path], scale)
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.zeros_like(scale))
            layer.bias += before[path] - _means(model, inputs, path)[path]
    return model


def output_error(model: nn.Module, bits: Mapping[str, int], batches: Batches) -> float:
    """The mean squared difference that ``round_weights`` of a copy makes to the outputs."""
    batches = list(batches)
    rounded = round_weights(copy.deepcopy(model), bits, batches)
    with torch.no_grad():
        return sum(float((rounded(x) - model(x)).square().mean()) for x, _ in batches) / len(batches)


def _step(weight: Tensor, bits: int) -> Tensor:
    """The step of each channel, of those that are tried, whose rounding has the least squared error."""
    top = largest(weight.detach()) / most(bits)
    steps = torch.stack([top * share for share in _SHARES])
    errors = torch.stack([(on_grid(weight, bits, step) - weight).square().flatten(1).sum(1) for step in steps])
    return steps.gather(0, errors.argmin(0, keepdim=True))[0]


class _Found(Exception):
    """What was looked for is known."""


def _means(model: nn.Module, inputs: list[Tensor], last: str = "") -> dict[str, Tensor]:
    """The mean output of every channel of the layers, by path and in the order in which they are called; up to ``last``."""
    sums: dict[str, list[Tensor]] = {}

    def note(path: str) -> Any:
        def hook(layer: nn.Module, args: Any, output: Tensor) -> None:
            channels = output.movedim(1 if isinstance(layer, nn.Conv2d) else -1, 0)
            sums.setdefault(path, []).append(channels.flatten(1).double().mean(1))
            if path == last:
                raise _Found

        return hook

    layers = [(path, m) for path, m in model.named_modules() if type(m) in (nn.Conv2d, nn.Linear)]
    hooks = [layer.register_forward_hook(note(path)) for path, layer in layers if last in ("", path)]
    try:
        with torch.no_grad():
            for x in inputs:
                try:
                    model(x)
                except _Found:
                    continue
    finally:
        for hook in hooks:
            hook.remove()
    return {path: torch.stack(found).mean(0).float() for path, found in sums.items()}
