# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation: which tensors of a network are stored as integers, and the range of each.

Weights are not touched: the lowering rounds them per output channel to int8, or to the grid that a layer is marked with
(kilobench.learn.narrow, docs/arithmetic.md).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kilobench.contracts import UserError
from kilobench.learn.layers import (
    CLAMPS,
    MOVING_FUNCTIONS,
    MOVING_METHODS,
    Add,
    BinaryConv2d,
    FakeQuant,
    FrozenBinaryConv2d,
    SwapAxes,
    XnorConv2d,
)
from kilobench.learn.narrow import narrow, narrowed
from kilobench.learn.tracing import exchange, trace

Batches = Iterable[tuple[Tensor, Tensor]]

_TAIL = 1e-4
"""Share of the values that percentile calibration may cut off at either end."""
_BINS = 4096
_PASSING = (nn.MaxPool2d, nn.Dropout, nn.Identity)
_MOVING = (
    *(*_PASSING, nn.MaxPool1d, nn.Dropout1d, nn.Dropout2d, nn.Flatten, nn.Unflatten, SwapAxes),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.Upsample, nn.UpsamplingNearest2d),
)
"""Their values are some of those that they read."""
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear, BinaryConv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_CLAMPS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
_SUMS = (operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, "add", "sub", "mul")


def quantise(
    model: nn.Module,
    batches: Batches,
    *,
    input_bits: Literal[8, 16] = 8,
    calibrate: Literal["minmax", "percentile"] = "minmax",
) -> fx.GraphModule:
    """The model with a frozen FakeQuant behind every tensor that is stored; it shares the modules of ``model``.

    ``batches`` are pairs as from Job.batches, whose inputs, float32 [n, channels, h, w], are run to find the range of every
    tensor: from minimum to maximum, or for ``percentile`` from the 0.01th to the 99.99th percentile of its values, but
    that of the input always from minimum to maximum, or, where its values are multiples of 1/128 in [-1, 1), as pixels are, all
    of [-1, 1), so that every code stays what it is. FakeQuants that the model had are replaced, and binary convolutions of a
    method's own by what is stored of them (BinaryConv2d.frozen). Raises UserError naming the layer where values are not finite.
    """
    inputs = [x for x, _ in batches]
    _freeze_binary(model)
    traced = _marked(model, input_bits, inputs[0][:1])
    quants = [module for module in traced.modules() if isinstance(module, FakeQuant)]
    for quant in quants:
        quant.observing = True
    _run(traced, inputs)
    _check_finite(traced)
    if calibrate == "percentile":
        for quant in quants:
            quant.observing = False
        _cut_tails(traced, quants[1:], inputs)
    for quant in quants:
        quant.freeze()
    if _whole_codes(inputs):
        quants[0].scale.fill_(2.0 ** (1 - input_bits))
        quants[0].zero_point.zero_()
    return traced


def _freeze_binary(model: nn.Module) -> None:
    for path, module in list(model.named_modules()):
        if isinstance(module, BinaryConv2d) and type(module) not in (XnorConv2d, FrozenBinaryConv2d):
            try:
                exchange(model, path, module.frozen())
            except UserError as error:
                raise UserError(f"{path}: {error}") from None


def _whole_codes(inputs: list[Tensor]) -> bool:
    """Whether all inputs are codes of 8 bits, as pixels are: these are kept exactly."""
    return all(torch.equal(codes, codes.round().clamp(-128, 127)) for codes in (128 * x for x in inputs))


def _check_finite(traced: fx.GraphModule) -> None:
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        quant = _module(node, modules)
        if isinstance(quant, FakeQuant) and not torch.isfinite(quant.high - quant.low):
            layer = node.all_input_nodes[0]
            while _follows(layer, modules) or isinstance(_module(layer, modules), nn.Dropout):
                layer = layer.all_input_nodes[0]
            name = layer.target if layer.op == "call_module" else layer.name
            raise UserError(f"{name} is not finite: it gives NaN or infinite values for training data")


def _marked(model: nn.Module, input_bits: Literal[8, 16], x: Tensor) -> fx.GraphModule:
    """The traced model with a new FakeQuant behind every stored tensor, that of the input first; ``x`` is an input."""
    traced = trace(model.eval())
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if isinstance(_module(node, modules), FakeQuant):
            node.replace_all_uses_with(node.all_input_nodes[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    for index, node in enumerate(_stored(traced, modules, x)):
        traced.add_submodule(f"quant{index}", FakeQuant(8 if index else input_bits))
        with traced.graph.inserting_after(node):
            quant = traced.graph.call_module(f"quant{index}")
        node.replace_all_uses_with(quant)
        quant.args = (node,)
    traced.recompile()
    return traced.eval()


def _stored(traced: fx.GraphModule, modules: dict[str, nn.Module], x: Tensor) -> list[fx.Node]:
    """The input, and what ends a chain of layer, batch norm and ReLU, unless binary layers need no more than its sign.

    Whatever makes floats is a layer here, unless it only moves values, or chooses among them.
    """
    floats, absorbed, stored = _floats(traced, x), set[fx.Node](), []
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            stored.append(node)
        elif node in floats and node not in absorbed and not _moves(node, modules):
            chain = _chain(node, modules)
            absorbed.update(chain)
            layer = _module(node, modules)
            if not (isinstance(layer, BinaryConv2d) and _only_signs_follow(chain[-1], modules)):
                stored.append(chain[-1])
    return stored


def _floats(traced: fx.GraphModule, x: Tensor) -> set[fx.Node]:
    """The nodes that make floats: others say sizes."""
    made = _Kinds(traced)
    with torch.no_grad():
        made.run(x)
    return made.floats


class _Kinds(fx.Interpreter):
    """Notes which nodes make floats."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self.floats: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        """The value of a node, whose kind becomes known."""
        value = super().run_node(n)
        if n.op != "output" and isinstance(value, Tensor) and value.is_floating_point():
            self.floats.add(n)
        return value


def _moves(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether the values of a node are some of those that it reads."""
    if node.op == "call_method":
        return node.target in MOVING_METHODS
    return isinstance(_module(node, modules), _MOVING) or node.target in MOVING_FUNCTIONS


def _module(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _chain(layer: fx.Node, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """A layer and what is computed together with it, each read by the next alone, whatever dropout is on the way."""
    chain, step = [layer], layer
    while len(step.users) == 1:
        step = next(iter(step.users))
        if _follows(step, modules):
            chain.append(step)
        elif not isinstance(_module(step, modules), nn.Dropout):
            break
    return chain


def _follows(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether this is computed together with the layer before it."""
    module = _module(node, modules)
    if isinstance(module, nn.Identity):
        return True
    norm = isinstance(module, _NORMS)
    if not (norm or isinstance(module, _CLAMPS) or node.target in CLAMPS):
        return False
    before = node.all_input_nodes[0]
    while isinstance(_module(before, modules), nn.Dropout | nn.Identity):
        before = before.all_input_nodes[0]
    layer = _module(before, modules)
    return isinstance(layer, _LAYERS) or (not norm and (isinstance(layer, (*_NORMS, Add)) or before.target in _SUMS))


def _only_signs_follow(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether all that reads this is a binary convolution, on the way through pools at most."""
    for user in node.users:
        reader = _module(user, modules)
        if not isinstance(reader, BinaryConv2d) and not (
            isinstance(reader, _PASSING) and _only_signs_follow(user, modules)
        ):
            return False
    return True


def _run(model: nn.Module, inputs: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for x in inputs:
            model(x)


def _cut_tails(model: nn.Module, quants: list[FakeQuant], inputs: Iterable[Tensor]) -> None:
    """Narrow observed ranges to the percentiles, read from histograms of all values between their extremes."""
    counts = {quant: torch.zeros(_BINS, dtype=torch.float64) for quant in quants}

    def add(quant: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(quant, FakeQuant)
        counts[quant] += torch.histc(args[0], _BINS, float(quant.low), float(quant.high))

    hooks = [quant.register_forward_pre_hook(add) for quant in quants]
    _run(model, inputs)
    for hook in hooks:
        hook.remove()
    for quant, count in counts.items():
        share = count.cumsum(0) / count.sum()
        first, last = torch.searchsorted(share, torch.tensor([_TAIL, 1 - _TAIL], dtype=share.dtype)).tolist()
        low, step = float(quant.low), (float(quant.high) - float(quant.low)) / _BINS
        quant.low.fill_(low + step * first)
        quant.high.fill_(low + step * (last + 1))


def fold_norms(model: nn.Module) -> nn.Module:
    """Merge every batch norm that follows a convolution into its weights, in place, by its running statistics.

    Not where one of the two is called more than once: another place may need it as it is.
    """
    modules = dict(model.eval().named_modules())
    nodes = trace(model).graph.nodes
    calls = Counter(str(node.target) for node in nodes)
    for node in nodes:
        conv, user = _module(node, modules), next(iter(node.users), node)
        norm, once = _module(user, modules), calls[str(node.target)] == calls[str(user.target)] == 1
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and len(node.users) == 1 and once:
            exchange(model, str(node.target), _folded(conv, norm))
            exchange(model, str(user.target), nn.Identity())
    return model


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Both as one convolution, whose weights keep their places on the grid of a marked one."""
    folded = fuse_conv_bn_eval(conv, norm)
    if (mark := narrowed(conv)) is not None and norm.running_var is not None:
        factor = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight.abs())
        scale = (mark[1] * factor).detach()
        narrow(folded, mark[0], torch.where(scale > 0, scale, mark[1]))
    return folded
