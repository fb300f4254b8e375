# SPDX-License-Identifier: Apache-2.0
"""The channels of a network that can be removed, and the network without some of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from kilobench.contracts import Shape, UserError
from kilobench.learn.layers import SwapAxes
from kilobench.learn.tracing import culprit, first_line, trace

OUTPUTS = (tp.prune_conv_out_channels, tp.prune_linear_out_channels)
"""What torch-pruning calls the removal of channels that a layer makes."""


class Channels:
    """A copy of a network with the channels that can be removed from it, with its parameters' gradients, once.

    Those of a convolution before an axis swap are rows of the map behind it: ``swapped`` has these convolutions, each with its
    batch norm. All others are in ``groups`` of channels that can only go together, as torch-pruning has them, but for those of
    the layers ``fixed``, of the network's inputs and outputs. Raises UserError where there are none.
    """

    def __init__(self, model: nn.Module, input_shape: Shape) -> None:
        self.fixed = fixed_layers(model)
        self.model = copy.deepcopy(model).requires_grad_(True)  # gradients show what depends on what
        self._learns = {name: p.requires_grad for name, p in model.named_parameters(remove_duplicate=False)}
        for parameter, original in zip(self.model.parameters(), model.parameters(), strict=True):
            parameter.grad = None if original.grad is None else original.grad.clone()
        self.names = {module: name for name, module in self.model.named_modules()}
        self._x = torch.zeros(1, *input_shape)
        swapped = _before_swaps(self.model)
        self.swapped = [(conv, norm) for conv, norm in swapped if self.names[conv] not in self.fixed]
        self._stay = [*map(self.model.get_submodule, self.fixed), *(conv for conv, _ in self.swapped)]
        _, self.groups = groups(self.model, self._x, self._stay)
        if not self.groups and not self.swapped:
            raise UserError(
                f"no layer has channels to remove; those of {', '.join(self.fixed)} are the network's inputs or outputs"
            )

    def remove(self, swapped: list[list[int]], grouped: list[list[int]]) -> nn.Module:
        """The network without some channels of each of ``swapped`` and ``groups``; this object is of no use afterwards.

        The windows of pools are cut to what is left of rows. Raises UserError naming the layer that cannot do with fewer.
        """
        small = self.model
        for (conv, norm), channels in zip(self.swapped, swapped, strict=True):
            tp.prune_conv_out_channels(conv, channels)
            if norm is not None:
                tp.prune_batchnorm_out_channels(norm, channels)
        _cut_windows(small, self._x)
        graph, found = groups(small, self._x, self._stay)
        for group, channels in zip(found, grouped, strict=True):
            graph.get_pruning_group(group[0].dep.target.module, group[0].dep.handler, channels).prune()
        _run(small, self._x)
        for name, parameter in small.named_parameters():
            parameter.requires_grad = self._learns[name]
        return small


def groups(model: nn.Module, x: Tensor, stay: list[nn.Module]) -> tuple[Any, list[Any]]:
    """torch-pruning's graph of a model, and the channels of all layers but some in groups that can only go together."""
    graph = tp.DependencyGraph().build_dependency(model, x)
    return graph, list(graph.get_all_groups(stay, root_module_types=[nn.Conv2d, nn.Linear]))


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


def check_layers(model: nn.Module) -> None:
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


def fixed_layers(model: nn.Module) -> list[str]:
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
