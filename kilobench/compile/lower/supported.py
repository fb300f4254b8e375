# SPDX-License-Identifier: Apache-2.0
"""What can be lowered: modules and functions, and which of their attributes and arguments are honoured.

An attribute that is not named here is refused where it differs from its default, so that none is ever left out unseen.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from kilobench.compile import operator as operators
from kilobench.compile.operator import kind_of
from kilobench.learn.layers import PLAIN_CONV, Add, BinaryConv2d, FakeQuant, FrozenBinaryConv2d, SwapAxes, XnorConv2d
from kilobench.learn.tracing import replaced


@dataclass(frozen=True)
class Rule:
    """What a module or function becomes, and what is made of its attributes or arguments (names with spaces between)."""

    kind: str
    used: str = ""
    """Lowered with every value, or refused by the layer's own step. Of functions: in their order."""
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Refused unless they have one of these values, a pair if both of its values have."""
    idle: str = ""
    """Change nothing that a network computes once it is trained."""
    inputs: int = 1
    """How many maps it reads."""

    def knows(self, name: str) -> bool:
        """Whether an attribute or argument is named here."""
        return name in (*self.used.split(), *self.only, *self.idle.split())

    def refusal(self, name: str, value: Any) -> str:
        """Why an attribute or argument may not have a value, or nothing."""
        allowed = self.only.get(name)
        pair = isinstance(value, tuple | list) and len(value) > 0
        if allowed is None or value in allowed or (pair and all(part in allowed for part in value)):
            return ""
        supported = " or ".join(f"{name}={choice!r}" for choice in allowed)
        return f"has {name}={value!r}, for which there is no kernel; supported is {supported}"


MODULES: dict[type[nn.Module], Rule] = {
    nn.Conv2d: Rule(
        "conv",
        used="in_channels out_channels kernel_size stride padding groups bias device dtype",
        only={name: (value,) for name, value in PLAIN_CONV.items()},
        idle="_reversed_padding_repeated_twice",
    ),
    nn.Linear: Rule("linear", used="in_features out_features bias device dtype"),
    nn.BatchNorm2d: Rule("norm", used="num_features eps affine bias track_running_stats device dtype", idle="momentum"),
    nn.ReLU: Rule("relu", idle="inplace"),
    nn.MaxPool2d: Rule(
        "max_pool",
        used="kernel_size stride",
        only={"padding": (0,), "dilation": (1,), "return_indices": (False,), "ceil_mode": (False,)},
    ),
    nn.AvgPool2d: Rule(
        "avg_pool",
        used="kernel_size stride",
        only={"padding": (0,), "ceil_mode": (False,), "divisor_override": (None,)},
        idle="count_include_pad",
    ),
    nn.ZeroPad2d: Rule("pad", used="padding value"),
    nn.Flatten: Rule("flatten", used="start_dim end_dim"),
    nn.Dropout: Rule("identity", idle="p inplace"),
    nn.Identity: Rule("identity", idle="args kwargs"),
    XnorConv2d: Rule("binary", used="norm conv stride padding", idle="gradient"),
    FrozenBinaryConv2d: Rule("binary", used="layer norm centre stride padding"),
    FakeQuant: Rule("quant", only={"bits": (8, 16), "observing": (False,), "enabled": (True,)}),
    SwapAxes: Rule("swap"),
    Add: Rule("add", inputs=2),
}
FUNCTIONS: dict[Any, Rule] = {
    operator.add: Rule("add", used="a b", inputs=2),
    torch.add: Rule("add", used="input other", only={"alpha": (1,), "out": (None,)}, inputs=2),
    torch.relu: Rule("relu", used="input"),
    nn.functional.relu: Rule("relu", used="input", idle="inplace"),
    torch.flatten: Rule("flatten", used="input start_dim end_dim"),
}
_STATE = set(vars(nn.Module()))


def name_of(function: Any) -> str:
    """A function as it is written, such as torch.add."""
    module = str(getattr(function, "__module__", "")).removeprefix("_")
    return f"{module}.{getattr(function, '__name__', function)}".lstrip(".")


def rule_of(module: nn.Module) -> Rule | None:
    """What is known of a module; ``layer`` is one that is an operator as a whole, whose file says what it honours."""
    if (rule := MODULES.get(type(module))) is not None:
        return rule
    kind = kind_of(module)
    return None if kind is None else Rule("layer", inputs=operators.operator(kind).inputs or 1)


def refusal(module: nn.Module) -> str:
    """Why a module is not one that can be lowered, or nothing. Its kernel may still refuse values that it reads."""
    kind = type(module)
    if isinstance(module, LazyModuleMixin):
        return f"has no weights before its first input; supported is {kind.__name__.removeprefix('Lazy')}"
    if is_parametrized(module):
        names = ", ".join(module.parametrizations)  # type: ignore[arg-type]
        return f"has a parametrisation of {names}; remove it (torch.nn.utils.parametrize.remove_parametrizations)"
    rule = rule_of(module)
    if rule is None and isinstance(module, BinaryConv2d):
        return "is a binary convolution that still learns; supported is what kilobench.api.quantise makes of it"
    if rule is None:
        known = next((base.__name__ for base in kind.__mro__ if base in MODULES), "")
        return (
            f"is a subclass of {known}; supported is {known} itself"
            if known
            else "cannot be lowered here; " + known_names()
        )
    if changed := replaced(module):
        return f"has {changed}, which would be left out; supported are modules that compute what their class says"
    if module.training:
        return "is in training mode although the network is not; supported is what it computes after eval()"
    attributes = "" if rule.kind == "layer" else _attributes(module, rule)
    return attributes or _statistics(module) or _tensors(module) or _variance(module)


def unsound(model: nn.Module) -> str:
    """Why no part of a network may be lowered, in whatever way: its path and what is wrong; or nothing."""
    for path, module in model.named_modules():
        text = _statistics(module) or _tensors(module, recurse=False) or _variance(module)
        if isinstance(module, FakeQuant) and not text:
            text = _attributes(module, MODULES[FakeQuant])
        if module.training and not text:
            text = "is in training mode although the network is not; supported is what it computes after eval()"
        if text:
            return f"{path or 'the network'} ({type(module).__name__}) {text}"
    return ""


def known_names() -> str:
    """The end of a message: all that is supported."""
    modules = ", ".join(sorted(module.__name__ for module in MODULES))
    return f"supported are {modules} and {', '.join(map(name_of, FUNCTIONS))}"


def _attributes(module: nn.Module, rule: Rule) -> str:
    """Why its attributes are not those that can be lowered, or nothing."""
    for name in rule.only:
        if text := rule.refusal(name, getattr(module, name)):
            return text
    defaults = {p.name: p.default for p in inspect.signature(type(module).__init__).parameters.values()}
    for name, value in vars(module).items():
        if name in _STATE or rule.knows(name):
            continue
        if name in defaults and value != defaults[name]:
            return f"has {name}={value!r}, which is not known here; supported is {name}={defaults[name]!r}"
        if hasattr(type(module), name):
            return f"has a {name} of its own; supported is that of its class"
    return ""


def _statistics(module: nn.Module) -> str:
    """Why a batch norm, or that of a binary convolution, is none with fixed statistics; nothing for all other modules."""
    if isinstance(module, BinaryConv2d) and module.norm is not None:
        fits = type(module.norm) is nn.BatchNorm2d
        text = refusal(module.norm) if fits else "is no BatchNorm2d itself"
        return f"has norm={type(module.norm).__name__}, which {text}" if text else ""
    if isinstance(module, nn.BatchNorm2d) and (module.running_mean is None or module.running_var is None):
        return (
            "has track_running_stats=False, so that outputs depend on the batch; supported is track_running_stats=True"
        )
    return ""


def _variance(module: nn.Module) -> str:
    """Why a batch norm has no scale, or nothing."""
    if not isinstance(module, nn.BatchNorm2d) or module.running_var is None:
        return ""
    least = float(module.running_var.min()) + module.eps
    return f"has a variance, with eps, of {least:g}; supported is one above 0" if least <= 0 else ""


def _tensors(module: nn.Module, recurse: bool = True) -> str:
    """Why its weights and statistics are not those of a network, or nothing."""
    for name, tensor in (*module.named_parameters(recurse=recurse), *module.named_buffers(recurse=recurse)):
        if is_lazy(tensor) or tensor.is_meta:
            return f"has no values in {name}, on the device {tensor.device}; supported are weights that exist"
        if tensor.dtype not in (torch.float32, torch.int64, torch.int32):
            return f"has {name} of {tensor.dtype}; supported is torch.float32"
        if count := int((~torch.isfinite(tensor)).sum()):
            return f"is not finite: {count} of {tensor.numel()} values of {name} are NaN or infinite"
    return ""
