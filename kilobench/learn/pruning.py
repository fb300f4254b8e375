# SPDX-License-Identifier: Apache-2.0
"""Structured pruning: how much every channel of a network matters, and the network without those that matter least."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional

from kilobench.contracts import Shape, UserError
from kilobench.learn.layers import SwapAxes
from kilobench.learn.objective import loss
from kilobench.learn.tracing import culprit, first_line, trace

_STEP = 4
"""Channel counts become multiples of it, which is what the kernels take at a time."""
_MOST = 0.9
"""The largest share of its channels that a layer may lose."""


class ChannelRanking:
    """The importance of every channel of a network, measured once on ``batches`` (pairs as from Job.batches).

    ``how`` it is measured, L being the cross-entropy, or the mean squared error where the task is to reconstruct:

    - ``l1``: sum of |w| over a channel's weights (arXiv 1608.08710, section 3.1);
    - ``taylor``: sum of |w * dL/dw| over them (arXiv 1906.10771, section 3.1, by its absolute values);
    - ``activation``: |sum of a * dL/da| over all values a of the channel in all batches (arXiv 1611.06440, section 2.2).

    The first two also count what goes with a channel: the weights that read it, and the layers that are tied to it by a
    residual sum; ``activation`` adds up the figures of tied layers. To be compared between layers, figures are divided by their
    L2 norm over the layer (arXiv 1611.06440, section 2.2), so that a channel of a narrow layer counts for more.

    Raises UserError naming the layer where channels cannot be removed.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        how: Literal["taylor", "l1", "activation"],
    ) -> None:
        _check_layers(model)
        self._model, self._how = model.eval(), how
        self._fixed = _fixed_layers(self._model)
        self._scores: dict[str, Tensor] = {}
        if how == "taylor":
            _accumulate_gradients(model, batches)
        elif how == "activation":
            self._scores = _activation_scores(model, batches)

    def without(self, ratio: float, input_shape: Shape) -> nn.Module:
        """A copy without about the given share of all channels, the least important first; the classifier's outputs stay.

        A layer keeps a multiple of four channels, and about a tenth of them at least. The channels of one before an axis swap
        are rows of the map behind it: there the windows of pools are cut to what is left. Raises UserError naming the layer
        that cannot do with fewer channels.
        """
        small = copy.deepcopy(self._model).requires_grad_(True)  # gradients show what depends on what
        learns = {name: p.requires_grad for name, p in self._model.named_parameters(remove_duplicate=False)}
        for parameter, original in zip(small.parameters(), self._model.parameters(), strict=True):
            parameter.grad = None if original.grad is None else original.grad.clone()
        names = {module: name for name, module in small.named_modules()}
        x = torch.zeros(1, *input_shape)
        swapped = _before_swaps(small)
        swapped = [(conv, norm) for conv, norm in swapped if names[conv] not in self._fixed]
        stay = [*map(small.get_submodule, self._fixed), *(conv for conv, _ in swapped)]
        _, groups = _groups(small, x, stay)
        if not groups and not swapped:
            raise UserError(
                f"no layer has channels to remove; those of {', '.join(self._fixed)} are the network's inputs or outputs"
            )
        scores = [self._score(conv, names[conv]) for conv, _ in swapped] + list(map(self._importance(names), groups))
        least = _least_important([functional.normalize(torch.nan_to_num(score), dim=0) for score in scores], ratio)
        for (conv, norm), channels in zip(swapped, least, strict=False):
            tp.prune_conv_out_channels(conv, channels)
            if norm is not None:
                tp.prune_batchnorm_out_channels(norm, channels)
        _cut_windows(small, x)
        graph, groups = _groups(small, x, stay)
        for group, channels in zip(groups, least[len(swapped) :], strict=True):
            graph.get_pruning_group(group[0].dep.target.module, group[0].dep.handler, channels).prune()
        _run(small, x)
        for name, parameter in small.named_parameters():
            parameter.requires_grad = learns[name]
        return small

    def _importance(self, names: dict[nn.Module, str]) -> Callable[[Any], Tensor]:
        """What torch-pruning asks for the scores of a group of channels that can only go together."""
        if self._how == "taylor":
            return tp.importance.GroupTaylorImportance()
        if self._how == "l1":
            return tp.importance.GroupMagnitudeImportance(p=1)
        outputs = (tp.prune_conv_out_channels, tp.prune_linear_out_channels)

        def activation(group: Any) -> Tensor:
            made = [(names[item.dep.target.module], item.idxs) for item in group if item.dep.handler in outputs]
            return torch.stack([self._scores[name][channels] for name, channels in made]).sum(dim=0)

        return activation

    def _score(self, conv: nn.Conv2d, name: str) -> Tensor:
        """Importance of the channels that one convolution makes, by its own weights alone."""
        if self._how == "activation":
            return self._scores[name]
        weight = conv.weight.detach()
        product = weight if self._how == "l1" or conv.weight.grad is None else weight * conv.weight.grad
        return product.abs().sum(dim=(1, 2, 3))


def _groups(model: nn.Module, x: Tensor, stay: list[nn.Module]) -> tuple[Any, list[Any]]:
    """torch-pruning's graph of a model, and the channels of all layers but some in groups that can only go together."""
    graph = tp.DependencyGraph().build_dependency(model, x)
    return graph, list(graph.get_all_groups(stay, root_module_types=[nn.Conv2d, nn.Linear]))


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


def _before_swaps(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions whose channels become rows at an axis swap, each with the batch norm behind it."""
    modules = dict(model.named_modules())
    found: dict[nn.Conv2d, nn.BatchNorm2d | None] = {}
    for node in trace(model).graph.nodes:
        if not isinstance(modules.get(str(node.target)), SwapAxes):
            continue
        norm = None
        while node.all_input_nodes:
            node = node.all_input_nodes[0]
            module = modules.get(str(node.target))
            if isinstance(module, nn.BatchNorm2d):
                norm = module
            if isinstance(module, nn.Conv2d):
                found[module] = norm
            if isinstance(module, nn.Conv2d | SwapAxes):
                break
    return list(found.items())


def _cut_windows(model: nn.Module, x: Tensor) -> None:
    """Pools whose window has become larger than their map get a window of its size."""

    def cut(pool: nn.Module, inputs: tuple[Tensor]) -> None:
        size = inputs[0].shape[2:]
        for name in ("kernel_size", "stride"):
            value = getattr(pool, name)
            pair = (value, value) if isinstance(value, int) else value
            setattr(pool, name, (min(pair[0], size[0]), min(pair[1], size[1])))

    pools = [module for module in model.modules() if isinstance(module, nn.MaxPool2d | nn.AvgPool2d)]
    hooks = [pool.register_forward_pre_hook(cut) for pool in pools]
    _run(model, x)
    for hook in hooks:
        hook.remove()


def _run(model: nn.Module, x: Tensor) -> None:
    """Run a network some of whose channels are gone, which fails where a layer still counts on them."""
    try:
        with torch.no_grad():
            model(x)
    except RuntimeError as error:
        where = culprit(error, model)
        raise UserError(f"{where} cannot do without the channels removed before it: {first_line(error)}") from error


def _check_layers(model: nn.Module) -> None:
    """Raise UserError for a layer whose channels cannot be followed."""
    ways = {"training": _layers(model.train()), "evaluation": _layers(model.eval())}
    used, owners = ways["evaluation"], dict[nn.Parameter, str]()
    for way, layers in ways.items():
        for name, layer in layers.items():
            if not all(name in others for others in ways.values()):
                raise UserError(
                    f"{name} ({type(layer).__name__}) is used in {way} alone, where channels cannot be followed"
                )
    for name, layer in used.items():
        shared = [other for p in layer.parameters() if (other := owners.setdefault(p, name)) != name]
        if shared:
            raise UserError(
                f"{name} ({type(layer).__name__}) has weights that {shared[0]} has, too, and pruning would part them; supported "
                "are weights of its own"
            )
        if type(layer) not in (nn.Conv2d, nn.Linear, nn.BatchNorm2d):
            raise UserError(
                f"{name} ({type(layer).__name__}) has weights whose channels cannot be removed; supported are Conv2d, Linear and "
                "BatchNorm2d"
            )
        if (
            isinstance(layer, nn.Conv2d)
            and layer.groups > 1
            and not layer.groups == layer.in_channels == layer.out_channels
        ):
            raise UserError(
                f"{name} (Conv2d) has groups={layer.groups}, whose channels cannot be removed; supported are groups=1 and one "
                "group for each channel"
            )


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with weights that a network calls, by path, in order."""
    modules = dict(model.named_modules())
    called = [str(node.target) for node in trace(model).graph.nodes if node.op == "call_module"]
    return {name: modules[name] for name in called if any(True for _ in modules[name].parameters())}


def _fixed_layers(model: nn.Module) -> list[str]:
    """Paths of the layers whose channels are the network's inputs or outputs, rows of a map, or are added to those."""
    modules = dict(model.named_modules())
    nodes = list(trace(model).graph.nodes)
    of: dict[Any, Any] = {}
    """Of every node, the node that stands for all that have channels in common; by sums, activations, depthwise layers, ..."""
    for node in nodes:
        of[node] = node
        layer = modules.get(str(node.target))
        makes = isinstance(layer, nn.Linear | SwapAxes) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
        for before in () if makes else node.all_input_nodes:
            common = of[before]
            of = {key: of[node] if value is common else value for key, value in of.items()}
    ends = [n for n in nodes if n.op in ("placeholder", "output") or isinstance(modules.get(str(n.target)), SwapAxes)]
    fixed = {of[node] for node in ends}
    layers = [node for node in nodes if isinstance(modules.get(str(node.target)), nn.Conv2d | nn.Linear)]
    return list(dict.fromkeys(str(node.target) for node in layers if of[node] in fixed))
