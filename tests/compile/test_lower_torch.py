# SPDX-License-Identifier: Apache-2.0
"""Every module and every change in place that torch has, in a network: right, or refused in one line."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kilobench.contracts import UserError
from tests.compile.agreement import lowered

SHAPE = (4, 8, 8)
SIZES = {
    "kernel_size": 2,
    "output_size": 4,
    "normalized_shape": (8,),
    "size": 5,
    "dim": 1,
    "p": 0.5,
    "unflattened_size": (2, 2),
}
"""What parameters without a default get; all others that need a value are numbers of channels, which is 4."""


class Calls(nn.Module):
    """A network that calls something on one or two maps, and a linear layer on what comes of it."""

    def __init__(self, call: Callable[[Tensor, Tensor], Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.flatten = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten()
        self.inner, self.call = inner, call
        self.classifier = nn.Linear(self.flatten(call(*torch.rand(2, 2, *SHAPE))).shape[-1], 5)
        self.eval()(torch.zeros(2, *SHAPE))

    def forward(self, x: Tensor) -> Any:
        a = self.a(x)
        return self.classifier(self.flatten(self.call(a, self.b(x))))


def right_or_refused(network: nn.Module) -> bool:
    """Whether it is right."""
    try:
        lowered(network, SHAPE)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return False
    return True


def built(call: Callable[[Tensor, Tensor], Any], inner: nn.Module | None = None) -> nn.Module | None:
    """A network that torch can compute."""
    try:
        return Calls(call, inner)
    except Exception:  # torch's own word on what fits its functions
        return None


KINDS = [kind for _, kind in sorted(vars(nn).items()) if isinstance(kind, type) and issubclass(kind, nn.Module)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_module_is_right_or_refused(kind: type[nn.Module]) -> None:
    needed = [p for p in list(inspect.signature(kind.__init__).parameters.values())[1:] if p.default is p.empty]
    plain = [p.name for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
    try:
        module = kind(**{name: SIZES.get(name, 4) for name in plain})
    except Exception:  # torch's own word on what they may be
        return
    if (network := built(lambda a, b: module(a), module)) is not None:
        right_or_refused(network)


def in_place() -> list[Any]:
    """Methods, functions and modules of torch that change what they are given, as calls on two maps."""
    methods = [name for name in dir(Tensor) if name.endswith("_") and not name.endswith("__")]
    named = [
        f for f in vars(functional).values() if inspect.isfunction(f) and "inplace" in inspect.signature(f).parameters
    ]
    kinds = [k for k in vars(nn).values() if isinstance(k, type) and "inplace" in inspect.signature(k).parameters]
    calls: dict[str, Callable[..., Any]] = {}
    calls |= {f"Tensor.{name}": lambda *g, name=name: getattr(g[0], name)(*g[1:]) for name in methods}
    calls |= {f"functional.{f.__name__}": partial(f, inplace=True) for f in named}
    calls |= {f"torch.{name}": getattr(torch, name) for name in methods if hasattr(torch, name)}
    outs = [torch.add, torch.mul, torch.clamp, torch.abs]
    calls |= {f"{function.__name__}, out": lambda *g, f=function: f(*g, out=g[0]) for function in outs}
    calls |= {kind.__name__: kind(inplace=True).eval() for kind in kinds if kind is not nn.Threshold}
    return [pytest.param(call, id=name) for name, call in calls.items()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", in_place())
def test_a_change_in_place_whose_result_nothing_reads_is_seen(call: Callable[..., Any]) -> None:
    def both(a: Tensor, b: Tensor, *given: Any) -> Tensor:
        call(a, *given)
        return a

    for given in ((), (0.5,), (1,), (torch.ones(4, 8, 8),)):
        before, y = torch.full((2, *SHAPE), -0.7), torch.full((2, *SHAPE), -0.7)
        try:
            call(y, *given)
        except Exception:  # torch's own word on what it may be given
            continue
        inner = call if isinstance(call, nn.Module) else None
        network = built(lambda a, b, given=given: both(a, b, *given), inner)
        if network is not None and not torch.equal(y, before):
            right_or_refused(network)
            return
