"""Post-training quantisation to 8 bits."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import fx, nn


class Int8(Method):
    """Post-training quantisation: int8 weights per output channel, int8 activations per tensor with zero points.

    ``batches`` of 64 training inputs are run to observe the range of every activation (minimum to maximum).
    """

    name = "int8"
    reference = "Jacob et al., arXiv 1712.05877, section 2; Krishnamoorthi, arXiv 1806.08342, section 3"
    order = 40
    batches: int = 8

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Mark every tensor that is stored with a FakeQuant, observe, and fix scales and zero points."""
        import torch

        from kilobench.api import FakeQuant, trace

        if self.batches < 1:
            raise UserError(f"int8: batches must be at least 1, not {self.batches}")
        traced = trace(model.eval())
        modules = dict(traced.named_modules())
        quants = []
        for index, node in enumerate(_stored(traced.graph, modules)):
            quants.append(FakeQuant())
            traced.add_submodule(f"quant{index}", quants[-1])
            with traced.graph.inserting_after(node):
                quant = traced.graph.call_module(f"quant{index}")
            node.replace_all_uses_with(quant)
            quant.args = (node,)
        traced.recompile()
        for module in quants:
            module.observing = True
        with torch.no_grad():
            for x, _ in job.batches(self.batches):
                traced(x)
        for module in quants:
            module.freeze()
        return traced.eval()


def _stored(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """Nodes whose values are stored in int8: the input, and what ends a chain of layer, batch norm and ReLU."""
    from torch import nn

    from kilobench.api import Add, XnorConv2d

    def module(node: fx.Node) -> nn.Module | None:
        return modules.get(str(node.target)) if node.op == "call_module" else None

    def only_signs_follow(node: fx.Node) -> bool:
        """Whether all that reads this is a binary convolution, which needs no more than the sign."""
        readers = [module(user) for user in node.users]
        passing = [user for user in node.users if isinstance(module(user), nn.MaxPool2d | nn.Identity)]
        signs = sum(isinstance(reader, XnorConv2d) for reader in readers)
        return len(readers) == signs + len(passing) and all(map(only_signs_follow, passing))

    stored = []
    for node in graph.nodes:
        layer = module(node)
        known = isinstance(layer, nn.Conv2d | nn.Linear | nn.AvgPool2d | XnorConv2d | Add)
        if node.op == "placeholder":
            stored.append(node)
        elif known or node.target is operator.add:
            end = node
            while len(end.users) == 1 and isinstance(
                module(next(iter(end.users))), nn.BatchNorm2d | nn.ReLU | nn.Identity
            ):
                end = next(iter(end.users))
            if not (isinstance(layer, XnorConv2d) and only_signs_follow(end)):
                stored.append(end)
    return stored
