# SPDX-License-Identifier: Apache-2.0
"""Every attribute of every module and every argument of every function that is supported: right, or refused by name.

An attribute that a later torch adds has no values here, and fails the tests until somebody decides what is made of it.
"""

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kilobench.compile.lower import LoweringError
from kilobench.compile.lower.supported import FUNCTIONS, MODULES, name_of, refusal
from kilobench.learn import layers
from kilobench.learn.layers import Add, BinaryConv2d, FakeQuant, FrozenBinaryConv2d, SwapAxes, XnorConv2d
from tests.compile.agreement import lowered

SHAPE = (4, 8, 8)


class Centred(BinaryConv2d):
    """With thresholds, and weights around their means."""

    def thresholds(self) -> Tensor:
        return torch.linspace(-0.5, 0.5, self.weight.shape[1])

    def kernel(self) -> Tensor:
        return super().kernel() + self.weight.mean(dim=(1, 2, 3), keepdim=True)


NORM, CONV = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
DEVICE_DTYPE: dict[str, list[Any]] = {"device": ["cpu", "meta"], "dtype": [torch.float64, torch.bfloat16]}

# For every class: what it needs, and for every parameter the values to try, or dicts where a value needs others.
NEEDED: dict[type[nn.Module], dict[str, Any]] = {
    nn.Conv2d: {"in_channels": 4, "out_channels": 4, "kernel_size": 3},
    nn.Linear: {"in_features": 4, "out_features": 6},
    nn.BatchNorm2d: {"num_features": 4},
    nn.MaxPool2d: {"kernel_size": 2},
    nn.AvgPool2d: {"kernel_size": 2},
    nn.ZeroPad2d: {"padding": 1},
    XnorConv2d: {"norm": NORM, "conv": CONV},
    FrozenBinaryConv2d: {"layer": BinaryConv2d(CONV)},
}
VALUES: dict[type[nn.Module], dict[str, list[Any]]] = {
    nn.Conv2d: DEVICE_DTYPE
    | {
        "in_channels": [{"in_channels": 2, "groups": 2}],
        "out_channels": [1, 7],
        "kernel_size": [1, (3, 1), (2, 3), 8],
        "stride": [2, (1, 3), 9],
        "padding": [
            1,
            (2, 0),
            3,
            4,
            "valid",
            "same",
            {"padding": "same", "kernel_size": (1, 5)},
            {"padding": "same", "kernel_size": 2},
            {"padding": "valid", "kernel_size": 2},
        ],
        "dilation": [2, (1, 2), {"dilation": 2, "padding": "same"}],
        "groups": [2, 4, {"groups": 4, "out_channels": 8}, {"groups": 4, "padding": 1, "stride": 2}],
        "bias": [False],
        "padding_mode": [
            {"padding_mode": mode, "padding": p} for mode in ("reflect", "replicate", "circular") for p in (0, 1)
        ],
    },
    nn.Linear: DEVICE_DTYPE | {"in_features": [4], "out_features": [1, 9], "bias": [False]},
    nn.BatchNorm2d: DEVICE_DTYPE
    | {
        "num_features": [4],
        "eps": [0.5, 1e-12],
        "momentum": [None, 0.0, 0.9],
        "affine": [False],
        "bias": [False],
        "track_running_stats": [False],
    },
    nn.ReLU: {"inplace": [True]},
    nn.MaxPool2d: {
        "kernel_size": [1, (2, 3), 8],
        "stride": [1, (1, 2), 3],
        "padding": [1, (0, 1)],
        "dilation": [2, (2, 1)],
        "return_indices": [True],
        "ceil_mode": [True, {"ceil_mode": True, "kernel_size": 3}],
    },
    nn.AvgPool2d: {
        "kernel_size": [1, (2, 3), 8],
        "stride": [1, (1, 2), 3],
        "padding": [1, (0, 1)],
        "ceil_mode": [True, {"ceil_mode": True, "kernel_size": 3}],
        "count_include_pad": [False, {"count_include_pad": False, "padding": 1}],
        "divisor_override": [3, 4],
    },
    nn.ZeroPad2d: {"padding": [0, 1, (0, 1, 0, 1), (2, 0, 1, 2), (3, 4, 1, 2)]},
    nn.Flatten: {"start_dim": [0, 2, 3, -3, -1], "end_dim": [1, 2, 3, -2]},
    nn.Dropout: {"p": [0.0, 0.9, 1.0], "inplace": [True]},
    nn.Identity: {"args": [54], "kwargs": [{"unused": 0.1}]},
    XnorConv2d: {
        "norm": [
            nn.BatchNorm2d(4, affine=False),
            nn.BatchNorm2d(4, track_running_stats=False),
            nn.Identity(),
            nn.InstanceNorm2d(4),
            nn.BatchNorm2d(4, eps=0.5),
        ],
        "conv": [
            nn.Conv2d(4, 4, 2, (1, 2), 1),
            nn.Conv2d(4, 4, 3, padding=(0, 2), bias=False),
            nn.Conv2d(4, 4, 3, padding="same"),
            nn.Conv2d(4, 4, 2, padding="valid"),
        ],
        "gradient": ["xnor"],
    },
    FrozenBinaryConv2d: {
        "layer": [
            BinaryConv2d(CONV, nn.BatchNorm2d(4, affine=False)),
            BinaryConv2d(nn.Conv2d(4, 4, 2, (1, 2), 1, bias=False), NORM),
            Centred(nn.Conv2d(4, 4, 3, padding=(0, 2))),
            Centred(nn.Conv2d(4, 4, 1, bias=False)),
        ],
    },
    FakeQuant: {"bits": [4, 7, 16]},
    SwapAxes: {},
    Add: {},
}


class Around(nn.Module):
    """A network around ``layer``, the one in question."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        behind_conv = isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.Dropout | nn.Identity | SwapAxes | Add)
        self.before: nn.Module = nn.Conv2d(4, 4, 3, padding=1) if behind_conv else nn.Identity()
        if type(layer) is nn.Linear:
            self.before = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        try:
            y = self.through(torch.zeros(2, *SHAPE))
        except (RuntimeError, NotImplementedError):  # another device or type
            y = torch.zeros(2, 1)
        map_ = isinstance(y, Tensor) and y.ndim == 4
        self.flatten: nn.Module = nn.Flatten() if map_ else nn.Identity()
        if isinstance(layer, nn.ZeroPad2d):
            self.flatten = nn.Sequential(nn.Conv2d(4, 4, 3, 2, (1, 0)), nn.Flatten())
        features = self.flatten(y).shape[-1] if isinstance(y, Tensor) else 1
        self.behind: nn.Module = nn.Linear(features, 5)
        if isinstance(layer, FakeQuant):
            self.behind = nn.Sequential(self.behind, trained(FakeQuant()))

    def through(self, x: Tensor) -> Any:
        y = self.before(x)
        return self.layer(y, y) if isinstance(self.layer, Add) else self.layer(y)

    def forward(self, x: Tensor) -> Any:
        return self.behind(self.flatten(self.through(x)))


def trained(layer: nn.Module) -> nn.Module:
    """With statistics and scales as of a training."""
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1.0), (module.running_var, 0.5), (module.weight, -1.0)):
                if tensor is not None:
                    tensor.data.uniform_(low, 2)
        elif isinstance(module, FakeQuant):
            module.low.fill_(-1)
            module.high.fill_(1)
            module.freeze()
    return layer.eval()


def parameters(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    if kind.__init__ is nn.Module.__init__:
        return {}
    return dict(list(inspect.signature(kind.__init__).parameters.items())[1:])


def surveyed() -> Iterator[Any]:
    for kind in MODULES:
        yield pytest.param(kind, {}, id=kind.__name__)
        for name, values in VALUES[kind].items():
            for value in values:
                arguments = value if isinstance(value, dict) else {name: value}
                if arguments.keys() <= parameters(kind).keys() or name == "kwargs":
                    yield pytest.param(kind, arguments, id=f"{kind.__name__}-{name}-{value}"[:80])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("kind", "arguments"), list(surveyed()))
def test_an_attribute_is_right_or_refused_by_name(kind: type[nn.Module], arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Around(trained(kind(**NEEDED.get(kind, {}) | arguments)))
    try:
        lowered(network, SHAPE)
    except LoweringError as error:
        refused = str(error)
        assert "\n" not in refused and refused.count("supported") <= 1
        if "returns logits" not in refused:
            assert "layer" in refused
            assert any(name in refused or str(value) in refused for name, value in arguments.items())
        return
    lowered(network, SHAPE, int8=True)


@pytest.mark.parametrize("kind", MODULES)
def test_every_attribute_is_known_and_tried(kind: type[nn.Module]) -> None:
    """One that torch adds fails here: say in lower/supported.py what is made of it, and give it values above."""
    module = kind(**NEEDED.get(kind, {}))
    state = vars(nn.Module())
    attributes = [name for name in vars(module) if name not in state] + list(module._modules)
    assert [name for name in (*parameters(kind), *attributes) if not MODULES[kind].knows(name)] == []
    assert [name for name in parameters(kind) if not VALUES[kind].get(name)] == []


def test_an_attribute_of_a_later_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = nn.Conv2d.__init__

    def later(self: nn.Conv2d, *given: Any, twist: int = 0, **named: Any) -> None:
        plain(self, *given, **named)
        self.twist = twist  # type: ignore[assignment]

    monkeypatch.setattr(nn.Conv2d, "__init__", later)
    lowered(Around(nn.Conv2d(4, 4, 3)), SHAPE)
    refused = refusal(nn.Conv2d(4, 4, 3, twist=3).eval())  # type: ignore[call-arg]
    assert refused == "has twist=3, which is not known here; supported is twist=0"


class Calls(nn.Module):
    """A network that calls a function on one or two maps, and a linear layer on what it returns."""

    def __init__(self, call: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.call = call
        y = call(*torch.zeros(2, 2, 4, 8, 8))
        self.flatten = nn.Flatten() if y.ndim == 4 else nn.Identity()
        self.classifier = nn.Linear(self.flatten(y).shape[-1], 5)

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.flatten(self.call(self.a(x), self.b(x))))


Call = Callable[[Tensor, Tensor], Any]
CALLS: dict[Any, dict[str, list[Call]]] = {
    operator.add: {"a": [lambda a, b: a + b, lambda a, b: 0.5 + a], "b": [lambda a, b: a + a, lambda a, b: a + 1]},
    torch.add: {
        "input": [
            lambda a, b: torch.add(a, b),
            lambda a, b: torch.add(input=a, other=b),
            lambda a, b: torch.add(2.0, a),
        ],
        "other": [
            lambda a, b: torch.add(other=b, input=a),
            lambda a, b: torch.add(a, 2.0),
            lambda a, b: torch.add(a, a),
        ],
        "alpha": [
            lambda a, b: torch.add(a, b, alpha=1),
            lambda a, b: torch.add(a, b, alpha=-3),
            lambda a, b: torch.add(a, b, alpha=0.5),
            lambda a, b: torch.add(a, b, alpha=0),
        ],
        "out": [lambda a, b: torch.add(a, b, out=a), lambda a, b: torch.add(a, b, out=None)],
    },
    torch.relu: {"input": [lambda a, b: torch.relu(a), lambda a, b: torch.relu(input=a)]},
    functional.relu: {
        "input": [lambda a, b: functional.relu(a), lambda a, b: functional.relu(input=a)],
        "inplace": [
            lambda a, b: functional.relu(a, True),
            lambda a, b: functional.relu(a, inplace=True),
            lambda a, b: functional.relu(a, inplace=True) + a,
        ],
    },
    torch.flatten: {
        "input": [lambda a, b: torch.flatten(a, 1), lambda a, b: torch.flatten(input=a, start_dim=1)],
        "start_dim": [lambda a, b, s=s: torch.flatten(a, start_dim=s) for s in (0, 2, 3, -3, -1)],
        "end_dim": [lambda a, b, e=e: torch.flatten(a, 1, e) for e in (1, 2, 3, -2)],
    },
}
"""For every function and argument, calls that give it values."""


def arguments(function: Any) -> set[str]:
    """What a function of torch takes, by its signature or by the schemas of its overloads on tensors."""
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:
        packet = getattr(torch.ops.aten, function.__name__)
    schemas = [getattr(packet, name)._schema.arguments for name in packet.overloads()]
    tensors = [schema for schema in schemas if str(schema[0].type) == "Tensor"]
    names = {argument.name.replace("self", "input") for schema in tensors for argument in schema}
    return names if "out=" in str(function.__doc__) else names - {"out"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_every_argument_is_known_and_tried(function: Any) -> None:
    assert set(FUNCTIONS) == set(CALLS) <= set(layers.FUNCTIONS)
    assert [name for name in arguments(function) if not CALLS[function].get(name)] == []


@pytest.mark.parametrize(
    ("name", "call"),
    [
        pytest.param(name, call, id=f"{name_of(function)}-{name}-{index}")
        for function, tried in CALLS.items()
        for name, calls in tried.items()
        for index, call in enumerate(calls)
    ],
)
def test_an_argument_is_right_or_refused_by_name(name: str, call: Call) -> None:
    torch.manual_seed(0)
    network = Calls(call)
    try:
        lowered(network, SHAPE)
    except LoweringError as error:
        refused = str(error)
        assert "\n" not in refused
        assert f"{name}=" in refused or "inplace" in name or "returns logits" in refused, refused
        return
    lowered(network, SHAPE, int8=True)
