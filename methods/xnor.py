"""Binary weights and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method

if TYPE_CHECKING:
    from torch import nn


class Xnor(Method):
    """Binary weights and activations by the rules of XNOR-Net; chosen layers, 1 x 1 and grouped convolutions stay.

    ``keep`` says which convolutions at the front stay: ``first`` is the layout of the papers, ``stem`` all up to and
    including the first one after the axis swap of a raw-audio network (``first`` where there is none). ``epochs``: length
    of the training in trainings of the task; ``lr``: its peak learning rate.
    """

    name = "xnor"
    reference = "Rastegari et al., arXiv 1603.05279, section 3.2; straight-through gradient of arXiv 1602.02830"
    order = 30
    keep: Literal["stem", "first"] = "stem"
    epochs: float = 1.6
    lr: float = 1e-2

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise the layers, starting from the trained weights, then train."""
        from torch import nn

        from kilobench.api import SwapAxes, XnorConv2d, trace

        nodes = [node for node in trace(model).graph.nodes if node.op == "call_module"]
        modules = dict(model.named_modules())
        convs = [node for node in nodes if isinstance(modules[str(node.target)], nn.Conv2d)]
        swaps = [i for i, node in enumerate(nodes) if isinstance(modules[str(node.target)], SwapAxes)]
        kept = {convs[0]}
        if self.keep == "stem" and swaps:
            kept |= {node for node in convs if nodes.index(node) < swaps[0]}
            kept.add(next(node for node in convs if nodes.index(node) > swaps[0]))
        for node in convs:
            conv = modules[str(node.target)]
            if node in kept or conv.kernel_size == (1, 1) or conv.groups != 1:
                continue
            model.set_submodule(str(node.target), XnorConv2d(nn.BatchNorm2d(conv.in_channels), conv))
            for user in node.users:
                if isinstance(modules.get(str(user.target)), nn.BatchNorm2d):
                    model.set_submodule(str(user.target), nn.Identity())
        return job.train(model, epochs=round(self.epochs * job.epochs), lr=self.lr, after_step=_clamp)


def _clamp(model: nn.Module) -> None:
    """Latent weights stay in [-1, 1], batch-norm scales at 0.01 or more, as in the study's code."""
    import torch

    from kilobench.api import XnorConv2d

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, XnorConv2d):
                module.weight.clamp_(-1, 1)
                module.norm.weight.clamp_(min=0.01)
