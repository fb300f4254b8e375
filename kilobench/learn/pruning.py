# SPDX-License-Identifier: Apache-2.0
"""Structured pruning: how much every channel of a network matters, and the network without those that matter least."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from kilobench.contracts import Progress, Shape, UserError, silent
from kilobench.learn.channels import OUTPUTS, Channels, check_layers, groups
from kilobench.learn.objective import loss
from kilobench.plugins.spec import nearest

_STEP = 4
"""Channel counts become multiples of it, which is what the kernels take at a time."""
_MOST = 0.9
"""The largest share of its channels that a layer may lose."""
_ZOO: dict[str, Callable[[], Any]] = {
    "taylor": tp.importance.GroupTaylorImportance,
    "l1": partial(tp.importance.GroupMagnitudeImportance, p=1),
    "l2": partial(tp.importance.GroupMagnitudeImportance, p=2),
    "bn_scale": partial(tp.importance.BNScaleImportance, normalizer=None),
    "lamp": tp.importance.LAMPImportance,
    "fpgm": tp.importance.FPGMImportance,
    "hessian": tp.importance.GroupHessianImportance,
    "obdc": partial(tp.importance.OBDCImportance, num_classes=0),
    "random": tp.importance.RandomImportance,
}
"""torch-pruning's own."""
_AT_ONCE = 16
"""Inputs whose gradients, each as large as the network, are in memory."""
_COMPARABLE = ("bn_scale", "lamp", "random")
"""What is compared between layers as it is."""


class ChannelRanking:
    """The importance of every channel of a network, measured once on ``batches`` (pairs as from Job.batches).

    ``how`` it is measured, L being the cross-entropy, or the mean squared error where the task is to reconstruct:

    - ``l1``: sum of |w| over a channel's weights (arXiv 1608.08710, section 3.1);
    - ``l2``: sum of w^2 over them, as torch-pruning ranks by magnitude (DepGraph, arXiv 2301.12900);
    - ``taylor``: sum of |w * dL/dw| over them (arXiv 1906.10771, section 3.1, by its absolute values);
    - ``activation``: |sum of a * dL/da| over all values a of the channel in all batches (arXiv 1611.06440, section 2.2);
    - ``bn_scale``: the magnitude of its batch norm's scale (network slimming, arXiv 1708.06519), without that paper's training;
    - ``lamp``: sum of w^2 over that of all channels of its layer that are no less (arXiv 2010.07611, there of single weights);
    - ``fpgm``: sum of its distances to the layer's other channels (arXiv 1811.00250), which torch-pruning takes between w^2;
    - ``hessian``: sum of w^2 h, h being the mean over inputs of (dL/dw)^2 (optimal brain damage, LeCun et al., NIPS 1989, with
      the empirical Fisher in place of the second derivative);
    - ``obdc``: the same over the weights that make the channel alone, L being of outputs drawn as the network believes them
      (C-OBD of EigenDamage, arXiv 1905.05934);
    - ``random``: a random number.

    All but ``activation``, ``obdc`` and ``random`` also count what goes with a channel: the weights that read it, and the
    layers that are tied to it by a residual sum; ``activation`` adds up the figures of tied layers. To be compared between
    layers, figures are divided by their L2 norm over the layer (arXiv 1611.06440, section 2.2), so that a channel of a narrow
    layer counts for more; not those of ``bn_scale``, ``lamp`` and ``random``, which are made to be compared as they are.

    ``progress`` is told of what is slow: gradients of single inputs. Raises UserError naming the layer where channels cannot be
    removed, or have no figure.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        how: Literal["taylor", "l1", "l2", "activation", "bn_scale", "lamp", "fpgm", "hessian", "obdc", "random"],
        progress: Progress = silent,
    ) -> None:
        if how not in (known := ("activation", *_ZOO)):
            raise UserError(f"channels are ranked by one of {', '.join(known)}, not {how!r}{nearest(how, known)}")
        check_layers(model)
        self._model, self._how = model.eval(), how
        self._scores: dict[str, Tensor] = {}
        self._seed = torch.initial_seed()
        if how == "taylor":
            _accumulate_gradients(model, batches)
        elif how == "activation":
            self._scores = _activation_scores(model, batches)
        elif how in ("hessian", "obdc"):
            _mean_squares(model, list(batches), drawn=how == "obdc", progress=progress)

    def without(self, ratio: float, input_shape: Shape) -> nn.Module:
        """A copy without about the given share of all channels, the least important first; the classifier's outputs stay.

        A layer keeps a multiple of four channels, and about a tenth of them at least. The channels of one before an axis swap
        are rows of the map behind it: there the windows of pools are cut to what is left. Raises UserError naming the layer
        that cannot do with fewer channels.
        """
        channels = Channels(self._model, input_shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            scores = [self._score(conv, norm, channels) for conv, norm in channels.swapped]
            scores += map(self._importance(channels), channels.groups)
        if self._how not in _COMPARABLE:
            scores = [functional.normalize(torch.nan_to_num(score), dim=0) for score in scores]
        least = _least_important(scores, ratio)
        count = len(channels.swapped)
        return channels.remove(least[:count], least[count:])

    def _importance(self, channels: Channels) -> Callable[[Any], Tensor]:
        """What says the scores of a group of channels that can only go together."""
        names = channels.names
        if self._how == "activation":

            def activation(group: Any) -> Tensor:
                made = [(names[item.dep.target.module], item.idxs) for item in group if item.dep.handler in OUTPUTS]
                return torch.stack([self._scores[name][indices] for name, indices in made]).sum(dim=0)

            return activation
        rank = _ZOO[self._how]()
        if self._how == "obdc":  # of gradients that are there; its own way to them knows no biases
            layers = [module for module in names if isinstance(module, nn.Conv2d | nn.Linear)]
            rank.Fisher = {layer: layer.weight.grad.flatten(1) for layer in layers if layer.weight.grad is not None}
            rank.steps = 1

        def ranked(group: Any) -> Tensor:
            score: Tensor | None = rank(group)
            if score is None:
                name = names[group[0].dep.target.module]
                raise UserError(f"{name} has no batch norm whose scale could rank its channels")
            return score

        return ranked

    def _score(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, channels: Channels) -> Tensor:
        """Importance of the channels that one convolution makes, by its own weights alone, and its batch norm's."""
        if self._how == "activation":
            return self._scores[channels.names[conv]]
        if self._how in ("l1", "taylor"):
            weight = conv.weight.detach()
            product = weight if self._how == "l1" or conv.weight.grad is None else weight * conv.weight.grad
            return product.abs().sum(dim=(1, 2, 3))
        alone = nn.Sequential(conv, *([norm] if norm is not None else []))
        x = torch.zeros(1, conv.in_channels, *conv.kernel_size)
        return self._importance(channels)(groups(alone, x, [])[1][0])


def _least_important(scores: list[Tensor], ratio: float) -> list[list[int]]:
    """The channels of every layer that are among the given share of the lowest scores of all.

    As many of each layer that a multiple of _STEP and the share 1 - _MOST are left.
    """
    order = torch.cat(scores).argsort(stable=True)
    chosen = torch.zeros(len(order)).index_fill(0, order[: round(ratio * len(order))], 1)
    lost = [int(part.sum()) for part in chosen.split([len(score) for score in scores])]
    least = []
    for score, count in zip(scores, lost, strict=True):
        left = max(len(score) - count, len(score) * (1 - _MOST), _STEP)
        least.append(score.argsort()[: max(0, len(score) - round(left / _STEP) * _STEP)].tolist())
    return least


def _accumulate_gradients(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    model.zero_grad()
    learns = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(True)
    for x, y in batches:
        loss(model(x), y).backward()
    for parameter, flag in zip(model.parameters(), learns, strict=True):
        parameter.requires_grad = flag


def _activation_scores(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The figure of every channel that a convolution or linear layer makes, by the layer's name."""
    sums: dict[nn.Module, Tensor] = {}

    def watch(layer: nn.Module, _: Any, output: Tensor) -> None:
        def add(gradient: Tensor) -> None:
            product = (output.detach() * gradient).transpose(0, 1).flatten(1).sum(dim=1)
            sums[layer] = sums.get(layer, 0) + product

        output.register_hook(add)

    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    hooks = [layer.register_forward_hook(watch) for layer in layers.values()]
    _accumulate_gradients(model, batches)
    for hook in hooks:
        hook.remove()
    unread = torch.zeros(())  # of layers that the outputs do not depend on
    return {name: sums.get(layer, unread.expand(len(layer.weight))).abs() for name, layer in layers.items()}


def _mean_squares(model: nn.Module, batches: list[tuple[Tensor, Tensor]], *, drawn: bool, progress: Progress) -> None:
    """Leave in a model's gradients the mean over inputs of their squares, for outputs ``drawn`` from its own or as wanted."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    others = dict(model.named_buffers())

    def one(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(model, parameters | others, (x[None],)), y[None])

    each = vmap(grad(one), in_dims=(None, 0, 0))
    total = sum(len(x) for x, _ in batches)
    squares, done = {name: torch.zeros_like(value) for name, value in parameters.items()}, 0
    for xs, ys in batches:
        for x, y in zip(xs.split(_AT_ONCE), ys.split(_AT_ONCE), strict=True):
            for name, gradient in each(parameters, x, _drawn(model, x, y) if drawn else y).items():
                squares[name] += gradient.square().sum(dim=0) / total
            done += len(x)
            progress(f"gradients of input {done}/{total}", done, total)
    for name, parameter in model.named_parameters():
        parameter.grad = squares[name]


def _drawn(model: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
    """Classes, or values, drawn from what a model's outputs say: as softmax, or around them with a deviation of 1."""
    with torch.no_grad():
        outputs: Tensor = model(x)
    if wanted.is_floating_point():
        return outputs + torch.randn_like(outputs)
    return torch.multinomial(outputs.softmax(dim=1), 1).flatten()
