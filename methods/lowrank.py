# SPDX-License-Identifier: Apache-2.0
"""Low-rank factors in place of layers."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kilobench.api import Job, Method, Shape, UserError, require_positive

if TYPE_CHECKING:
    from torch import Tensor, nn

    Layer = nn.Conv2d | nn.Linear

_STEP = 4
"""Ranks are multiples of it, as kernels take four channels at a time."""
_PER_CHANNEL = 12
"""Bytes of int8 that a channel takes beside its weights: bias, multiplier, shift."""


@dataclass(frozen=True)
class _Call:
    """Where a layer is used: columns of its input, rows and columns of its output."""

    columns_in: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Form:
    """A layer as it is, of no rank, or as two factors with so many channels between them."""

    split: str
    rank: int
    size: int
    """Bytes that it takes as int8."""
    macs: int
    energy: float
    """Share of the squares of its singular values that is kept."""


class LowRank(Method):
    """Puts two smaller layers in the place of one, by the largest singular values of its weights; then fine-tunes.

    A convolution k x k becomes k x 1 and 1 x k with a few channels between them (Jaderberg et al.), or k x k to a few channels
    and 1 x 1 from these (Zhang et al.); one of 1 x 1, or a dense layer, two of its kind (Denton et al.). Only where that saves
    both weights and products; depthwise and grouped layers stay. Which layers, and how many channels, is chosen as Zhang et al.
    do: the rank that goes next is the one whose loss of energy (the sum of squared singular values), as a share of its layer's,
    is the least for the bytes that it saves, until the network is as small as wanted.

    Parameters: ``keep`` the share of its layers' bytes as int8 to keep, where no budget says how large it may become,
    half of them if that can be had;
    ``split`` how convolutions are split: ``spatial`` as Jaderberg et al. do, ``channels`` as Zhang et al. do, or ``both``, the
    one that keeps more for its bytes; ``effort`` its weight where a recipe's methods share steps; ``lr`` the peak learning
    rate.
    """

    name = "lowrank"
    reference = (
        "Denton et al., arXiv 1404.0736; Jaderberg et al., arXiv 1405.3866 (scheme 2, by weights alone); "
        "Zhang et al., arXiv 1505.06798 (channels, and the choice of ranks)"
    )
    order = 25
    resizes = True
    keep: float = 0.5
    split: Literal["both", "spatial", "channels"] = "both"
    effort: float = 1.6
    lr: float = 4e-3

    def __post_init__(self) -> None:
        require_positive(self, "effort", "lr")
        if not 0 < self.keep <= 1:
            raise UserError(f"lowrank: keep must be above 0 and at most 1, not {self.keep}")

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Factor layers until the network is small enough, and fine-tune."""
        if job.budget and self.keep != type(self).keep:
            raise UserError("lowrank: a budget says how much is kept; give no keep")
        steps = self._steps(model, job.input_shape)
        sizes = [sum(form.size for form in step.values()) for step in steps]
        least = sizes[-1] / sizes[0] if sizes[0] else 1.0
        if least > self.keep != type(self).keep:
            raise UserError(
                f"lowrank: keep={self.keep:g} is too little; factors keep {least:.2g} of the network at least"
            )

        def make(kept: float) -> nn.Module:
            step = next((i for i, size in enumerate(sizes) if size <= kept * sizes[0]), -1)
            return _factored(model, steps[step])

        return job.train(job.fit(make, least, 1.0) if job.budget else make(self.keep), lr=self.lr)

    def _steps(self, model: nn.Module, input_shape: Shape) -> list[dict[str, _Form]]:
        """Forms of all layers by path, from what they are to the smallest: at each step one has become smaller."""
        forms = {path: self._forms(layer, calls) for path, (layer, calls) in _layers(model, input_shape).items()}
        steps, place = [{path: found[0] for path, found in forms.items()}], dict.fromkeys(forms, 0)

        def price(path: str) -> float:
            now, after = forms[path][place[path] : place[path] + 2]
            return (math.log(now.energy) - math.log(after.energy)) / (now.size - after.size)

        while left := [path for path in forms if place[path] + 1 < len(forms[path])]:
            cheapest = min(left, key=price)
            place[cheapest] += 1
            steps.append(steps[-1] | {cheapest: forms[cheapest][place[cheapest]]})
        return steps

    def _forms(self, layer: Layer, calls: list[_Call]) -> list[_Form]:
        """A layer as it is and its factors, each smaller and faster than the one before, and not nearer to the layer."""
        whole = layer.weight.numel()
        forms = [
            _Form("", 0, whole + _PER_CHANNEL * len(layer.weight), whole * sum(c.rows * c.columns for c in calls), 1)
        ]
        splits = ["spatial", "channels"] if self.split == "both" else [self.split]
        if layer.weight[0, 0].numel() == 1:
            splits = ["channels"]
        found = [form for split in splits for form in _factors(layer, calls, split)]
        for form in sorted(found, key=lambda form: (-form.energy, form.size)):
            if form.size < forms[-1].size and form.macs < forms[-1].macs:
                forms.append(form)
        return forms


def _layers(model: nn.Module, input_shape: Shape) -> dict[str, tuple[Layer, list[_Call]]]:
    """What could be factored of a network, by path, and where it is used."""
    import torch
    from torch import nn

    found: dict[nn.Module, list[_Call]] = {}

    def watch(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        flat = output.ndim == 2
        call = _Call(1, 1, 1) if flat else _Call(inputs[0].shape[3], output.shape[2], output.shape[3])
        found.setdefault(layer, []).append(call)

    layers = {path: layer for path, layer in model.named_modules() if type(layer) in (nn.Conv2d, nn.Linear)}
    hooks = [layer.register_forward_hook(watch) for layer in layers.values()]
    with torch.no_grad():
        model.eval()(torch.zeros(1, *input_shape))
    for hook in hooks:
        hook.remove()
    used = {path: layer for path, layer in layers.items() if layer in found and getattr(layer, "groups", 1) == 1}
    return {path: (layer, found[layer]) for path, layer in used.items()}


def _matrix(layer: Layer, split: str) -> Tensor:
    """The weights of a layer [out, in, rows, columns] as what the first factor reads by what the second does."""
    weight = layer.weight.detach()
    weight = weight.view(*weight.shape, *[1] * (4 - weight.ndim)).permute(1, 2, 3, 0)
    return weight.flatten(0, 1 if split == "spatial" else 2).flatten(1)


def _factors(layer: Layer, calls: list[_Call], split: str) -> list[_Form]:
    """The factors of a layer of all ranks that keep anything of it."""
    import torch

    matrix = _matrix(layer, split)
    squares = torch.linalg.svdvals(matrix.double()).square()
    kept = (squares.cumsum(0) / squares.sum()).tolist()
    read, made = matrix.shape
    first = sum(c.rows * (c.columns_in if split == "spatial" else c.columns) for c in calls)
    second = sum(c.rows * c.columns for c in calls)
    return [
        _Form(
            split,
            rank,
            rank * (read + made) + _PER_CHANNEL * (rank + len(layer.weight)),
            rank * (read * first + made * second),
            kept[rank - 1],
        )
        for rank in range(_STEP, len(kept), _STEP)
        if kept[rank - 1] > 0
    ]


def _factored(model: nn.Module, forms: dict[str, _Form]) -> nn.Module:
    """A copy of a network with layers in the forms that are given by path."""
    from kilobench.api import exchange

    small = copy.deepcopy(model)
    for path, form in forms.items():
        if form.rank:
            layer: Any = small.get_submodule(path)
            exchange(small, path, _pair(layer, form))
    return small


def _pair(layer: Layer, form: _Form) -> nn.Module:
    """Two layers, one after the other, that are nearest to one; each has the square root of the singular values."""
    import torch
    from torch import nn

    u, s, v = torch.linalg.svd(_matrix(layer, form.split).double(), full_matrices=False)
    root, rank = s[: form.rank].sqrt(), form.rank
    first, second = (u[:, :rank] * root).T.float(), (root[:, None] * v[:rank]).float()
    out, biased = len(layer.weight), layer.bias is not None
    pair: tuple[Layer, Layer]
    if isinstance(layer, nn.Linear):
        pair = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, out, bias=biased)
    else:
        pair = _convolutions(layer, form.split, rank)
    pair[0].weight.data = first.reshape(pair[0].weight.shape).contiguous()
    columns = second.view(rank, -1, out).permute(2, 0, 1)
    pair[1].weight.data = columns.reshape(pair[1].weight.shape).contiguous()
    if layer.bias is not None:
        pair[1].bias = nn.Parameter(layer.bias.detach().clone())
    return nn.Sequential(*pair)


def _convolutions(conv: nn.Conv2d, split: str, rank: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The factors of a convolution, with weights yet to come."""
    from torch import nn

    padding: Any = conv.padding
    (rows, columns), (down, across), (dy, dx) = conv.kernel_size, conv.stride, conv.dilation
    made: dict[str, Any] = {"bias": conv.bias is not None, "padding_mode": conv.padding_mode}
    read = made | {"bias": False}
    if split == "channels":
        first = nn.Conv2d(conv.in_channels, rank, (rows, columns), (down, across), padding, (dy, dx), **read)
        return first, nn.Conv2d(rank, conv.out_channels, 1, **made)
    above, beside = (padding, padding) if isinstance(padding, str) else ((padding[0], 0), (0, padding[1]))
    first = nn.Conv2d(conv.in_channels, rank, (rows, 1), (down, 1), above, (dy, 1), **read)
    return first, nn.Conv2d(rank, conv.out_channels, (1, columns), (1, across), beside, (1, dx), **made)
