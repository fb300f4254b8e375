# SPDX-License-Identifier: Apache-2.0
"""Binary weights and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from kilobench.contrib.methods._binary import front, require_keep

from kilobench.api import Job, Method, UserError, require_positive

if TYPE_CHECKING:
    from torch import fx, nn


class Xnor(Method):
    """Binary weights and activations by the rules of XNOR-Net; chosen layers become int8.

    So do convolutions that are 1 x 1, grouped, dilated, or padded with something else than as many zeros on opposite sides.

    Parameters: ``layout`` ``study`` is the form of arXiv 2108.06128: all convolutions but the first are binary, 1 x 1 ones
    too; latent weights are centred over the input channels, where there are several, and learn from scratch, by Adam at 1e-3
    with a weight decay of 1e-4 and the gradient ``xnor``; it takes no other parameter. With ``own``: ``keep`` which convolutions
    at the front stay int8: ``first`` is the layout of the papers, ``none`` makes that one binary as well, a number is that of the
    convolutions to keep, ``stem`` keeps all up to and including the first one after the axis swap of a raw-audio network
    (``first`` where there is none); ``gradient`` how latent weights learn, as XNOR-Net writes it (section 3.1) or by the
    straight-through estimator alone (kilobench.api.XnorConv2d gives both formulas); ``effort`` its weight where a recipe's
    methods share steps; ``lr`` its peak learning rate. What stays is trained in float32 and quantised at the end, as ``int8``
    does it.
    """

    name = "xnor"
    reference = (
        "Rastegari et al., arXiv 1603.05279, section 3; straight-through gradient of arXiv 1602.02830; layout=study: "
        "Mohaimenuzzaman et al., arXiv 2108.06128"
    )
    changes = ("its training shares the steps of the contest's effort, where it had a length of its own",)
    order = 30
    layout: Literal["own", "study"] = "own"
    keep: str = "stem"
    gradient: Literal["ste", "xnor"] = "ste"
    effort: float = 1.6
    lr: float = 1e-2

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if self.layout == "study":
            for name in ("keep", "gradient", "effort", "lr"):
                if getattr(self, name) != getattr(type(self), name):
                    raise UserError(f"xnor: layout=study says what {name} is; leave it out")
        require_keep(self.name, self.keep)

    @property
    def from_scratch(self) -> bool:
        """As the study trains."""
        return self.layout == "study"

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise the layers, then train."""
        from kilobench.api import quantise

        self._binarise(model)
        if self.layout == "study":
            _centre(model)
            trained = job.train(
                model, lr=1e-3, optimiser="adam", weight_decay=1e-4, schedule="cosine", after_step=_centre
            )
        else:
            trained = job.train(model, lr=self.lr, after_step=_clamp)
        return quantise(trained, job.batches(8))

    def _binarise(self, model: nn.Module) -> None:
        """Put binary convolutions in place; their weights are those that the model has."""
        from torch import nn

        from kilobench.api import XnorConv2d, exchange, trace

        gradient: Literal["ste", "xnor"] = "xnor" if self.layout == "study" else self.gradient

        modules = dict(model.named_modules())
        nodes = [node for node in trace(model).graph.nodes if node.op == "call_module"]
        convs = [node for node in nodes if isinstance(modules[str(node.target)], nn.Conv2d)]
        kept = ""
        binary: set[fx.Node] = set()
        count = 1 if self.layout == "study" else front(nodes, modules, self.keep)
        first = {node.target for node in convs[:count]}
        for node in [node for node in convs if node.target not in first]:
            conv = modules[str(node.target)]
            stays = self.layout == "own" and conv.kernel_size == (1, 1)
            lacking = "kernel_size=(1, 1)" if stays else XnorConv2d.lacks(conv)
            if lacking:
                kept = kept or f"; {node.target} ({type(conv).__name__}) stays, having {lacking}"
                continue
            if node.target not in {before.target for before in binary}:
                exchange(model, str(node.target), XnorConv2d(nn.BatchNorm2d(conv.in_channels), conv, gradient))
            binary.add(node)
        for name in {str(user.target) for node in binary for user in node.users}:
            calls = [node for node in nodes if node.target == name]
            behind_binary = all(node.all_input_nodes[0] in binary for node in calls)
            if isinstance(modules.get(name), nn.BatchNorm2d) and behind_binary:
                exchange(model, name, nn.Identity())
        if not binary:
            raise UserError(f"xnor: with keep={self.keep} no convolution of this network becomes binary{kept}")


def _clamp(model: nn.Module) -> None:
    """Latent weights stay in [-1, 1], batch-norm scales at 0.01 or more, as in the study's code."""
    import torch

    from kilobench.api import XnorConv2d

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, XnorConv2d):
                module.weight.clamp_(-1, 1)
                module.norm.weight.clamp_(min=0.01)


def _centre(model: nn.Module) -> None:
    """Latent weights have mean 0 over the input channels, where there are several; then as ``_clamp``."""
    import torch

    from kilobench.api import XnorConv2d

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, XnorConv2d) and module.weight.shape[1] > 1:
                module.weight.sub_(module.weight.mean(dim=1, keepdim=True))
    _clamp(model)
