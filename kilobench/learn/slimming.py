# SPDX-License-Identifier: Apache-2.0
"""A network that can be run, and trained, with some channels of its layers alone, and made into the network of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from kilobench.contracts import Shape, UserError
from kilobench.learn.channels import OUTPUTS, Channels, check_layers

_STEP = 4
"""Channel counts are multiples of it, which is what the kernels take at a time."""
_CHOICES = 8
"""About how many widths a layer can have."""
_MASK = "channels_in_use"
_MADE = (*OUTPUTS, tp.prune_depthwise_conv_out_channels, tp.prune_batchnorm_out_channels)


class Slimmable:
    """A network with layers of several widths, of which all share the weights (slimmable networks, arXiv 1812.08928, section 3).

    A narrower layer has the first channels of the wide one. Layers that are tied by a residual sum have one width;
    ``choices`` are the widths that each may have, the widest first. The channels of a convolution before an axis swap, which
    are rows of a map, stay. Raises UserError naming the layer whose channels cannot be followed.
    """

    def __init__(self, model: nn.Module, input_shape: Shape) -> None:
        check_layers(model)
        self._model, self._shape = model, input_shape
        channels = Channels(model, input_shape)
        if not channels.groups:
            raise UserError("no layer has channels to remove but before an axis swap")
        self._members = [list(_members(group, channels)) for group in channels.groups]
        self.choices = [_choices(len(group[0].idxs)) for group in channels.groups]

    @contextmanager
    def narrowed(self) -> Iterator[None]:
        """Inside, the model runs with the channels of the last ``use`` alone, at first with all; all others are zero."""
        layers = {name: self._model.get_submodule(name) for members in self._members for name, _, _ in members}
        hooks = []
        for layer in layers.values():
            layer.register_buffer(_MASK, torch.ones(_outputs(layer)))
            hooks.append(layer.register_forward_hook(_only_in_use))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for layer in layers.values():
                del layer._buffers[_MASK]

    def use(self, widths: Sequence[int]) -> None:
        """Inside of ``narrowed``: run with these widths. They are part of the model's state, as checkpoints have it."""
        masks: dict[str, Tensor] = {}
        for members, width in zip(self._members, widths, strict=True):
            for name, indices, roots in members:
                mask = masks.setdefault(name, torch.ones(_outputs(self._model.get_submodule(name))))
                mask[indices] = (roots < width).float()
        for name, mask in masks.items():
            self._model.get_submodule(name).get_buffer(_MASK).copy_(mask)

    def network(self, widths: Sequence[int]) -> nn.Module:
        """Outside of ``narrowed``: a copy of the model that has these widths."""
        channels = Channels(self._model, self._shape)
        gone = [list(range(width, len(group[0].idxs))) for width, group in zip(widths, channels.groups, strict=True)]
        return channels.remove([[] for _ in channels.swapped], gone)


def _members(group: Any, channels: Channels) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The layers that make or scale the channels of a group, and which of theirs are which of the group's."""
    for item in group:
        if item.dep.handler in _MADE:
            yield channels.names[item.dep.target.module], torch.tensor(item.idxs), torch.tensor(item.root_idxs)


def _choices(channels: int) -> list[int]:
    step = max(1, round(channels / _CHOICES / _STEP)) * _STEP
    return [channels, *range((channels - 1) // _STEP * _STEP, 0, -step)]


def _outputs(layer: nn.Module) -> int:
    return len(layer.get_parameter("weight"))


def _only_in_use(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
    mask = layer.get_buffer(_MASK)
    return output * mask.view(1, -1, *[1] * (output.ndim - 2))
