# SPDX-License-Identifier: Apache-2.0
"""What methods with binary convolutions share: which convolutions become binary, and what stands around them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kilobench.api import Method, Shape, UserError, require_positive

if TYPE_CHECKING:
    from torch import fx, nn

    from kilobench.api import BinaryConv2d


def require_keep(method: str, keep: str) -> None:
    """Raises UserError where ``keep`` is none of what ``front`` knows."""
    if keep not in ("stem", "first", "none") and not keep.isdecimal():
        raise UserError(f"{method}: keep must be stem, first, none or a number of convolutions, not {keep!r}")


class BinaryMethod(Method):
    """Base of methods that make a network with ``Surgery`` and train it."""

    order = 30
    keep: str = "stem"
    effort: float = 1.6
    lr: float = 3e-2

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        require_keep(self.name, self.keep)


def front(nodes: list[fx.Node], modules: dict[str, nn.Module], keep: str) -> int:
    """How many convolutions at the front stay int8, of the modules that a network calls in this order."""
    from torch import nn

    from kilobench.api import SwapAxes

    if keep == "none":
        return 0
    if keep.isdecimal():
        return int(keep)
    layers = [modules[str(node.target)] for node in nodes]
    swap = next((index for index, layer in enumerate(layers) if isinstance(layer, SwapAxes)), 0)
    before = sum(isinstance(layer, nn.Conv2d) for layer in layers[:swap])
    return before + 1 if keep == "stem" else 1


def clamp(model: nn.Module) -> None:
    """Latent weights stay in [-1, 1], where they learn."""
    import torch

    from kilobench.api import BinaryConv2d

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, BinaryConv2d):
                module.weight.clamp_(-1, 1)


class Surgery:
    """A network in which convolutions become binary, with a batch norm behind, a shortcut around each that keeps its shape, and
    another activation in place of every ReLU beside one.

    Convolutions at the front stay as ``keep`` says, and all that a binary one cannot be: grouped, dilated ones and the like. Of
    1 x 1 ones those become binary that stand behind a depthwise convolution. ``layer`` makes a binary convolution of one,
    ``activation`` a module for so many channels, or none. Where a block has a shortcut already, it goes around the first of two
    binary convolutions, and the second has its own (arXiv 1808.00278, figure 3).
    """

    def __init__(
        self,
        model: nn.Module,
        input_shape: Shape,
        keep: str,
        layer: Callable[[nn.Conv2d], BinaryConv2d],
        activation: Callable[[int], nn.Module] | None = None,
    ) -> None:
        from kilobench.api import trace

        self.network = trace(model)
        self.graph = self.network.graph
        self.modules = dict(self.network.named_modules())
        self.shapes = _shapes(self.network, input_shape)
        self.keep, self.layer, self.activation = keep, layer, activation
        self.sums: dict[fx.Node, fx.Node] = {}

    def made(self, name: str) -> nn.Module:
        """The network. Raises UserError, in the method's ``name``, where no convolution becomes binary."""
        from kilobench.api import exchange

        self.convs = self._chosen(name)
        for target in dict.fromkeys(str(node.target) for node in self.convs):
            exchange(self.network, target, self.layer(self.modules[target]))
        for node in self.convs:
            if self._pooled(node):
                self._normed_before(node)
        relus = [node for node in self.graph.nodes if self._is(node, "ReLU") and self._beside(node)]
        ends = {node: self._normed(node) for node in self.convs}
        for node in self.convs:
            self._shortcut(node, ends[node])
        for node in relus:
            self._activated(node)
        self.network.delete_all_unused_submodules()
        self.graph.lint()
        self.network.recompile()
        return self.network

    def _chosen(self, name: str) -> list[fx.Node]:
        from torch import nn

        from kilobench.api import BinaryConv2d

        nodes = [node for node in self.graph.nodes if node.op == "call_module"]
        convs = [node for node in nodes if isinstance(self._module(node), nn.Conv2d)]
        kept, chosen, stays = {node.target for node in convs[: front(nodes, self.modules, self.keep)]}, [], ""
        for node in [node for node in convs if node.target not in kept]:
            conv: Any = self._module(node)
            pointwise = conv.kernel_size == (1, 1) and not self._behind_depthwise(node)
            lacking = "kernel_size=(1, 1)" if pointwise else BinaryConv2d.lacks(conv)
            if not lacking:
                chosen.append(node)
            stays = stays or (f"; {node.target} ({type(conv).__name__}) stays, having {lacking}" if lacking else "")
        if not chosen:
            raise UserError(f"{name}: with keep={self.keep} no convolution of this network becomes binary{stays}")
        return chosen

    def _behind_depthwise(self, node: fx.Node) -> bool:
        before = node.all_input_nodes[0]
        while self._is(before, "BatchNorm2d", "ReLU", "Dropout", "Identity"):
            before = before.all_input_nodes[0]
        conv: Any = self._module(before)
        return self._is(before, "Conv2d") and conv.groups == conv.in_channels > 1

    def _beside(self, relu: fx.Node) -> bool:
        """Whether only what keeps or adds values is between it and a binary convolution, before or behind."""
        return self._reaches(relu, lambda node: node.all_input_nodes) or self._reaches(
            relu, lambda node: list(node.users)
        )

    def _reaches(self, node: fx.Node, further: Callable[[fx.Node], list[fx.Node]]) -> bool:
        passing = ("BatchNorm2d", "MaxPool2d", "Dropout", "Identity", "SwapAxes", "Add")
        return any(
            other in self.convs or (self._is(other, *passing) and self._reaches(other, further))
            for other in further(node)
        )

    def _pooled(self, node: fx.Node) -> bool:
        """Whether it reads what a max pool gives."""
        before = node.all_input_nodes[0]
        while self._is(before, "Dropout", "Identity", "SwapAxes"):
            before = before.all_input_nodes[0]
        return self._is(before, "MaxPool2d")

    def _normed_before(self, node: fx.Node) -> None:
        """A batch norm before the signs: without one the largest of four is nearly always positive, and signs say nothing.

        Its scale stays 1, as a sign does not depend on it.
        """
        from torch import nn

        layer: Any = self.network.get_submodule(str(node.target))
        layer.norm = nn.BatchNorm2d(layer.weight.shape[1])
        layer.norm.weight.requires_grad_(False)

    def _normed(self, node: fx.Node) -> fx.Node:
        """The batch norm behind a convolution, which gets one where it has none."""
        from torch import nn

        user = next(iter(node.users))
        if len(node.users) == 1 and self._is(user, "BatchNorm2d"):
            return user
        return self._behind(node, f"{node.target}_norm", nn.BatchNorm2d(self.shapes[node][1]))

    def _shortcut(self, node: fx.Node, end: fx.Node) -> None:
        """Add what a convolution reads to what it gives, where both have one shape."""
        before, user = node.all_input_nodes[0], next(iter(end.users))
        own = self.shapes[before] == self.shapes[node]
        block = user if len(end.users) == 1 and self._is(user, "Add") else None
        if block is None and own:
            self._add(end, before)
        elif block is not None and own:
            other = next(operand for operand in block.all_input_nodes if operand is not end)
            first = self._first(before)
            if first is not None and self.shapes[first] == self.shapes[other] and first not in _needed(other):
                if first not in self.sums:
                    self._add(first, other)
                block.replace_input_with(other, before)

    def _first(self, node: fx.Node) -> fx.Node | None:
        """The batch norm of the binary convolution whose activation a node is; with its sum, if it has one."""
        while self._is(node, "ReLU", "Dropout", "Identity"):
            node = node.all_input_nodes[0]
        made = next((end for end, total in self.sums.items() if total is node), node)
        return made if self._is(made, "BatchNorm2d") and made.all_input_nodes[0] in self.convs else None

    def _add(self, end: fx.Node, other: fx.Node) -> None:
        """The sum of both, for all that read ``end``; what ``other`` needs is moved before them."""
        order, users, last = list(self.graph.nodes), list(end.users), end
        needed = _needed(other)
        for node in order[order.index(end) :]:
            if node in needed:
                last.append(node)
                last = node
        with self.graph.inserting_after(last):
            total = self.graph.call_function(operator.add, (end, other))
        for user in users:
            user.replace_input_with(end, total)
        self.sums[end] = total

    def _activated(self, relu: fx.Node) -> None:
        """Put the activation in the place of a ReLU, or nothing."""
        before = relu.all_input_nodes[0]
        if self.activation is None:
            relu.replace_all_uses_with(before)
        else:
            relu.replace_all_uses_with(
                self._behind(before, f"{relu.name}_of", self.activation(self.shapes[relu][1]), relu)
            )
        self.graph.erase_node(relu)

    def _behind(self, node: fx.Node, path: str, module: nn.Module, place: fx.Node | None = None) -> fx.Node:
        """A call of a new module with what a node gives; where no ``place`` is given, for all that read it."""
        self.network.add_submodule(path, module)
        self.modules[path] = module
        users = list(node.users)
        with self.graph.inserting_after(place or node):
            made = self.graph.call_module(path, (node,))
        for user in users if place is None else ():
            user.replace_input_with(node, made)
        return made

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules.get(str(node.target)) if node.op == "call_module" else None

    def _is(self, node: fx.Node, *classes: str) -> bool:
        """Whether a node calls a module of one of these classes, or is the function of it."""
        functions = {"add": "Add", "relu": "ReLU"}
        called = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
        return type(self._module(node)).__name__ in classes or functions.get(called) in classes


def _needed(node: fx.Node) -> set[fx.Node]:
    """A node, and all that it is made of."""
    found: set[fx.Node] = set()
    left = [node]
    while left:
        if (node := left.pop()) not in found:
            found.add(node)
            left += node.all_input_nodes
    return found


def _shapes(network: fx.GraphModule, input_shape: Shape) -> dict[fx.Node, tuple[int, ...]]:
    """What every node gives for a batch of two."""
    import torch
    from torch.fx.passes.shape_prop import ShapeProp

    with torch.no_grad():
        ShapeProp(network.eval()).propagate(torch.zeros(2, *input_shape))
    made = {node: node.meta.pop("tensor_meta", None) for node in network.graph.nodes}
    return {node: tuple(meta.shape) for node, meta in made.items() if hasattr(meta, "shape")}
