# SPDX-License-Identifier: Apache-2.0
"""Binary weights and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.api import Job, Method, UserError

if TYPE_CHECKING:
    from torch import fx, nn


class Xnor(Method):
    """Binary weights and activations by the rules of XNOR-Net; chosen layers become int8.

    So do convolutions that are 1 x 1, grouped, dilated, or padded with something else than as many zeros on opposite sides.

    Parameters: ``keep`` which convolutions at the front stay int8: ``first`` is the layout of the papers, ``none`` makes that one
    binary as well, a number is that of the convolutions to keep, ``stem`` keeps all up to and including the first one after the
    axis swap of a raw-audio network (``first`` where there is none); ``gradient`` how latent weights learn, as XNOR-Net
    writes it (section 3.1) or by the straight-through estimator alone (kilobench.api.XnorConv2d gives both formulas);
    ``epochs`` length of the training in trainings of the task; ``lr`` its peak learning rate. What stays is trained in
    float32 and quantised at the end, as ``int8`` does it.
    """

    name = "xnor"
    reference = "Rastegari et al., arXiv 1603.05279, section 3; straight-through gradient of arXiv 1602.02830"
    order = 30
    keep: str = "stem"
    gradient: Literal["ste", "xnor"] = "ste"
    epochs: float = 1.6
    lr: float = 1e-2

    def __post_init__(self) -> None:
        if self.keep not in ("stem", "first", "none") and not self.keep.isdecimal():
            raise UserError(f"xnor: keep must be stem, first, none or a number of convolutions, not {self.keep!r}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise the layers, starting from the trained weights, then train."""
        from torch import nn

        from kilobench.api import XnorConv2d, quantise, trace

        modules = dict(model.named_modules())
        nodes = [node for node in trace(model).graph.nodes if node.op == "call_module"]
        convs = [node for node in nodes if isinstance(modules[str(node.target)], nn.Conv2d)]
        kept = ""
        for node in convs[self._kept(nodes, modules) :]:
            conv = modules[str(node.target)]
            lacking = "kernel_size=(1, 1)" if conv.kernel_size == (1, 1) else XnorConv2d.lacks(conv)
            if lacking:
                kept = kept or f"; {node.target} ({type(conv).__name__}) stays, having {lacking}"
                continue
            model.set_submodule(str(node.target), XnorConv2d(nn.BatchNorm2d(conv.in_channels), conv, self.gradient))
            for user in node.users:
                if isinstance(modules.get(str(user.target)), nn.BatchNorm2d):
                    model.set_submodule(str(user.target), nn.Identity())
        if not any(isinstance(module, XnorConv2d) for module in model.modules()):
            raise UserError(f"xnor: with keep={self.keep} no convolution of this network becomes binary{kept}")
        trained = job.train(model, epochs=round(self.epochs * job.epochs), lr=self.lr, after_step=_clamp)
        return quantise(trained, job.batches(8))

    def _kept(self, nodes: list[fx.Node], modules: dict[str, nn.Module]) -> int:
        """How many convolutions at the front stay."""
        from torch import nn

        from kilobench.api import SwapAxes

        if self.keep == "none":
            return 0
        if self.keep.isdecimal():
            return int(self.keep)
        layers = [modules[str(node.target)] for node in nodes]
        swap = next((index for index, layer in enumerate(layers) if isinstance(layer, SwapAxes)), 0)
        before = sum(isinstance(layer, nn.Conv2d) for layer in layers[:swap])
        return before + 1 if self.keep == "stem" else 1


def _clamp(model: nn.Module) -> None:
    """Latent weights stay in [-1, 1], batch-norm scales at 0.01 or more, as in the study's code."""
    import torch

    from kilobench.api import XnorConv2d

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, XnorConv2d):
                module.weight.clamp_(-1, 1)
                module.norm.weight.clamp_(min=0.01)
