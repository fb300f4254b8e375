# SPDX-License-Identifier: Apache-2.0
"""What layers give while a model runs: for losses, and to say where values cease to be finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kilobench.contracts import UserError

Noted = Callable[[str, Any], None]


@contextmanager
def _watched(layers: Mapping[str, nn.Module], noted: Noted) -> Iterator[None]:
    """Inside, ``noted`` is told path and output of every layer that is called."""

    def tell(name: str, module: nn.Module, given: Any, output: Any) -> None:
        noted(name, output)

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(partial(tell, name)).remove)
        yield


@contextmanager
def features(model: nn.Module, names: Iterable[str]) -> Iterator[Mapping[str, Tensor]]:
    """See kilobench.api.Job.features. Of a layer that is called several times, the output is that of the last call."""
    layers = {name: module for name, module in model.named_modules() if name}
    wanted: dict[str, nn.Module] = {}
    for name in names:
        if name not in layers:
            near = get_close_matches(name, layers, 1, 0.5)
            raise UserError(f"the model has no layer {name!r}" + (f"; nearest is {near[0]!r}" if near else ""))
        wanted[name] = layers[name]
    found: dict[str, Tensor] = {}
    with _watched(wanted, found.__setitem__):
        yield found


def where_not_finite(model: nn.Module, x: Tensor) -> str:
    """The layer whose output is not finite first, or a parameter that is not, as people read it; empty if there is none."""
    first: list[str] = []

    def note(name: str, output: Any) -> None:
        if not first and isinstance(output, Tensor) and not output.isfinite().all():
            path = name.partition(".parametrizations.")[0]
            kind = type(model.get_submodule(path)).__name__.removeprefix("Parametrized")
            first.append(f"first in the output of {path or 'the model'} ({kind})")

    with torch.no_grad(), _watched(dict(model.named_modules()), note):
        model(x)
    return first[0] if first else f"in {not_finite(model)}" if not_finite(model) else ""


def not_finite(model: nn.Module) -> str | None:
    """The name of the first parameter or buffer that holds an infinity or NaN, if one does."""
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            return name
    return None
