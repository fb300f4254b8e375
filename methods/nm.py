# SPDX-License-Identifier: Apache-2.0
"""Weights of which few in every group are not 0."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kilobench.api import Job, Method, UserError, require_positive, skip

if TYPE_CHECKING:
    from torch import Tensor, nn

_LEAST = 1024
"""Weights of a layer from which the kernel of sparse weights is used."""


class Nm(Method):
    """N:M sparsity: of every ``m`` weights of neighbouring input channels all but the ``n`` largest are 0; all is int8.

    Where channels are no multiple of ``m``, groups are as much larger as makes them alike. Which weights are the largest is
    found anew in every step. Latent weights learn by the straight-through gradient, and those that are 0 in the network are drawn
    towards 0, so that few change places. On the board the others alone are stored and multiplied. The first layer, grouped
    layers, and those of less than 1024 weights or ``m`` input channels keep all of their weights; narrow networks may have no
    others.

    Parameters: ``n``, ``m`` see above; ``decay`` how strongly latent weights are drawn (the paper's, for SGD, is 0.0002);
    ``effort`` its weight where a recipe's methods share steps; ``lr`` its peak learning rate.
    """

    name = "nm"
    reference = (
        "Zhou et al., arXiv 2102.04010 (SR-STE); Daghero et al., arXiv 2503.06183 (kernels for it; here of our own)"
    )
    order = 30
    n: int = 1
    m: int = 8
    decay: float = 0.01
    effort: float = 0.8
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if not (self.n >= 1 and 3 * self.n <= self.m <= 64):
            raise UserError(
                f"nm: n={self.n},m={self.m} has no kernel that pays; at most a third may be kept, of up to 64, as n=1,m=4"
            )
        if self.decay < 0:
            raise UserError(f"nm: decay must not be negative, but is {self.decay}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Train through the masks, then quantise."""
        from contextlib import ExitStack

        from kilobench.api import quantise, weights_through

        batches = job.batches(8)
        layers = self._layers(model, batches)
        with ExitStack() as stack:
            for layer, channels in layers:
                stack.enter_context(weights_through([layer], partial(self._sparse, channels=channels)))
            trained = job.train(model, lr=self.lr)
        return quantise(trained, batches)

    def _layers(self, model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[tuple[nn.Module, int]]:
        """Those that become sparse, and their input channels: of a linear layer behind a map those of the map."""
        from kilobench.api import narrowable

        paths = narrowable(model.eval(), batches)
        if len(paths) < 2:
            skip("no layer but the first has weights that could be 0 in groups: all others are grouped")
        found, before = [], 0
        for path in paths:
            layer: Any = model.get_submodule(path)
            made, read = layer.weight.shape[:2]
            channels = before if before and layer.weight.dim() == 2 and read % before == 0 else read
            if before and channels >= self.m and layer.weight.numel() >= _LEAST:
                found.append((layer, channels))
            before = made
        return found

    def _sparse(self, weight: Tensor, channels: int) -> Tensor:
        """The weights that stay, with the gradient of SR-STE: straight through, and ``decay`` times those that do not."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        latent = weight.detach()
        flat = latent.reshape(len(weight), channels, -1)
        parts = torch.arange(channels, device=latent.device).tensor_split(channels // self.m)
        groups = pad_sequence(list(parts), batch_first=True, padding_value=channels)
        sizes = torch.cat([flat.abs(), -torch.ones_like(flat[:, :1])], dim=1)[:, groups]
        largest = sizes.topk(self.n, dim=2).indices
        kept = groups[None, :, :, None].expand_as(sizes).gather(2, largest).flatten(1, 2)
        image = torch.zeros_like(flat).scatter(1, kept, flat.gather(1, kept)).view_as(latent)
        through = weight.view_as(weight)
        if through.requires_grad:
            through.register_hook(lambda gradient: gradient + self.decay * (latent - image))
        return image + (through - latent)
