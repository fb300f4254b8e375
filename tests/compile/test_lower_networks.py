# SPDX-License-Identifier: Apache-2.0
"""What a network may be made of, beside the attributes of its layers: each kind is right, or refused in one line."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from kilobench.compile.lower import lower
from kilobench.contracts import UserError
from kilobench.learn.tracing import trace
from tests.compile.agreement import lowered

SHAPE = (3, 8, 8)
Forward = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Layers to build forwards of: convolutions that keep the shape, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU()
        self.pool, self.drop = nn.AvgPool2d(8), nn.Dropout()
        self.fc = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.ones(1))

    def head(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(x), 1))


def made(forward: Forward) -> nn.Module:
    """A network with a forward of its class."""
    torch.manual_seed(0)
    network: nn.Module = type("Made", (Net,), {"forward": forward})()
    for tensor in (network.norm.running_mean, network.norm.weight.data):  # type: ignore[union-attr]
        tensor.uniform_(0.5, 1.5)  # type: ignore[union-attr,operator]
    return network


def optional(self: Any, x: Tensor, mask: Tensor | None = None, *rest: Any, gain: int = 1, **named: Any) -> Tensor:
    y = self.conv(x) if mask is None and gain == 1 else x
    return self.head(y)


def dead(self: Any, x: Tensor) -> Tensor:
    y = self.relu(self.conv(x))
    self.conv2(y)
    self.norm(torch.relu(y))
    return self.head(y)


def twice(self: Any, x: Tensor) -> Tensor:
    y = self.relu(self.norm(self.conv(x)))
    y = self.relu(self.norm(self.conv2(y)))
    return self.head(self.relu(self.norm(self.conv2(self.drop(y)))))


def dropped(self: Any, x: Tensor) -> Tensor:
    """Dropout between a layer and what is computed with it."""
    y = self.drop(self.relu(self.drop(self.norm(self.drop(self.conv(x))))))
    return self.head(self.relu(self.drop(y + self.conv2(y))))


def trains_otherwise(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    return self.head(y + torch.rand(1) if self.training else y)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize(
    ("forward", "ops"),
    [
        (optional, 3),
        (dead, 3),
        (twice, 5),
        (trains_otherwise, 3),
        (dropped, 5),
        (lambda self, x: self.head(torch.relu((y := self.norm(self.conv(x))) + y)), 4),
        (lambda self, x: self.head(self.conv2(y := self.relu(self.conv(x))) + y), 5),
        (lambda self, x: self.head(self.conv(input=x)), 3),
        (lambda self, x: self.head(self.drop(self.conv(self.drop(x)))), 3),
    ],
)
def test_a_network_computes_what_torch_does(forward: Forward, ops: int, int8: bool) -> None:
    assert len(lowered(made(forward), SHAPE, int8=int8).ops) == ops


def by_value(self: Any, x: Tensor) -> Tensor:
    if x.mean() > 100:
        x = x + x
    return self.head(self.conv(x))


def by_type(self: Any, x: Tensor) -> Tensor:
    return self.head(self.conv(x) if type(x) is Tensor else self.conv2(self.conv(x)))


def by_attribute(self: Any, x: Tensor) -> Tensor:
    return self.head(self.conv2(y) if hasattr(y := self.conv(x), "nothing") else y)


def by_exception(self: Any, x: Tensor) -> Tensor:
    try:
        return self.head(self.conv2(y) if (y := self.conv(x)).mean() > 0 else self.norm(y))
    except Exception:
        return self.head(y)


def by_count(self: Any, x: Tensor) -> Tensor:
    self.calls = getattr(self, "calls", 0) + 1
    return self.head(self.conv(x) if self.calls % 2 else self.conv2(self.conv(x)))


def by_alias(self: Any, x: Tensor) -> Tensor:
    y = z = self.conv(x)
    y += self.conv2(y)
    return self.head(z)


def fails(self: Any, x: Tensor) -> Tensor:
    if isinstance(x, Tensor) and not isinstance(x, fx.Proxy):
        raise ValueError("not today")
    return self.head(self.conv(x))


@pytest.mark.parametrize(
    "forward",
    [
        by_attribute,
        by_alias,
        lambda self, x: (y := self.conv(x), functional.relu(y, inplace=True), self.head(y))[2],
        lambda self, x: self.head(self.conv(x) * 2),
        lambda self, x: self.head(self.conv(x).relu()),
        lambda self, x: self.head(self.conv(x) + self.scale),
        lambda self, x: self.head(self.conv(self.relu(x))),
        lambda self, x: self.head(self.norm(torch.relu(self.conv(x)))),
        lambda self, x: self.head(self.conv2(self.norm(self.relu(self.conv(x))))),
        lambda self, x: self.head(self.relu(y := self.conv(x)) + y),
        lambda self, x: self.head(functional.relu(y := self.conv(x), inplace=True) + y),
        lambda self, x: self.head(self.conv(x) + self.pool(self.conv(x))),
    ],
)
def test_what_only_torch_export_follows(forward: Forward) -> None:
    lowered(made(forward), SHAPE)


@pytest.mark.parametrize("forward", [by_type, by_exception, by_count])
def test_a_network_that_its_trace_does_not_show_is_refused(forward: Forward) -> None:
    with pytest.raises(
        UserError, match=r"^the network \(Made\) computes something else than its trace: its forward asks for"
    ):
        lower(made(forward), SHAPE)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (fails, r"the network \(Made\), line \d+ of test_lower_networks.py, cannot be computed: not today"),
        (by_value, r"the network \(Made\), line \d+ of test_lower_networks.py, cannot be traced: symbolically traced"),
        (lambda self, x: (self.head(self.conv(x)), x), "the network returns a tuple; supported are logits"),
        (lambda self, x: {"out": self.head(self.conv(x))}, "the network returns a dict; supported are logits"),
        (lambda self, x: self.conv(x), r"returns logits \[n, classes\], not \[n, 6, 8, 8\] as conv gives"),
        (lambda self, x, y: self.head(self.conv(x + y)), r"the network \(Made\) takes x, y; supported is one input"),
        (lambda self: self.scale, r"the network \(Made\) takes nothing; supported is one input"),
        (lambda self, x: self.fc(self.conv(x)), r"fc \(Linear\) cannot be computed: mat1 and mat2"),
        (lambda self, x: self.head(self.conv2(x)), r"conv2 \(Conv2d\) cannot be computed: .*expected input"),
        (
            lambda self, x: self.head(self.conv(x) + self.pool(x)),
            r"add \(operator.add\) cannot be computed: The size of",
        ),
    ],
)
def test_a_network_that_cannot_be_lowered_is_told_in_one_line(forward: Forward, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        lower(made(forward), SHAPE)
    assert "\n" not in str(error.value)


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return layer


def normed(layer: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        normed: nn.Module = torch.nn.utils.weight_norm(layer)
    return normed


def masked(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)


def overridden(layer: nn.Module) -> nn.Module:
    layer.forward = lambda x: x  # type: ignore[method-assign]
    return layer


def inner(layer: Any) -> nn.Module:
    layer._conv_forward = lambda x, weight, bias: x
    return layer


def training(layer: nn.Module) -> nn.Module:
    layer.eval = lambda: layer  # type: ignore[method-assign]
    layer.train = lambda mode=True: layer  # type: ignore[method-assign]
    return layer


def spoilt(value: float) -> Callable[[nn.Module], nn.Module]:
    def change(layer: Any) -> nn.Module:
        layer.weight.data[1, 2, 0, 0] = value
        return layer

    return change


class Mine(nn.Conv2d):
    """Another name may mean another thing."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (training, r"\(Conv2d\) is in training mode although the network is not"),
        (parametrizations.weight_norm, r".*_weight_norm.default\) is an operator for which there is no kernel"),
        (lambda layer: nn.LazyConv2d(6, 3), r"\(LazyConv2d\) has no values in weight, on the device cpu"),
        (lambda layer: layer.double(), r"\(Conv2d\) has weight of torch.float64; supported is torch.float32"),
        (
            lambda layer: nn.ConvTranspose2d(3, 6, 3),
            r"\(aten.conv_transpose2d.input\) is an operator for which there is no kernel; nearest is upsample_nearest2d",
        ),
        (spoilt(float("nan")), r"\(Conv2d\) is not finite: 1 of 162 values of weight are NaN or infinite"),
        (spoilt(float("inf")), r"\(Conv2d\) is not finite: 1 of 162 values of weight"),
    ],
)
def test_a_layer_that_cannot_be_lowered_is_told_with_its_path(
    change: Callable[[nn.Module], nn.Module], message: str
) -> None:
    network = nn.Sequential(nn.Sequential(change(nn.Conv2d(3, 6, 3))), nn.AvgPool2d(6), nn.Flatten(), nn.Linear(6, 4))
    with pytest.raises(UserError, match=rf"0\.0.*{message}") as error:
        lower(network, SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [hooked, masked, normed, overridden, inner, lambda layer: Mine(3, 6, 3)])
def test_a_layer_that_is_not_what_its_class_says_computes_what_it_does(
    change: Callable[[nn.Module], nn.Module],
) -> None:
    layer = change(nn.Conv2d(3, 6, 3))
    outputs = layer(torch.zeros(1, *SHAPE)).flatten(1).shape[1]
    try:
        lowered(nn.Sequential(nn.Sequential(layer), nn.Flatten(), nn.Linear(outputs, 4)), SHAPE)
    except UserError as error:
        assert "\n" not in str(error)
        assert change in (masked, normed) and "0.0 (Conv2d) has a forward hook, and cannot be copied" in str(error)


def test_hooks_are_part_of_the_network() -> None:
    network = made(lambda self, x: self.head(self.part(x)))
    network.part = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1))
    network.part.register_forward_hook(lambda module, inputs, output: output + output)
    assert [op.kind for op in lowered(network, SHAPE).ops] == ["conv2d", "add", "avg_pool", "conv2d"]
    hooked(network)
    lowered(network, SHAPE)


def test_parametrised_weights_lower_once_they_are_weights() -> None:
    conv = parametrizations.weight_norm(nn.Conv2d(3, 6, 3))
    parametrize.remove_parametrizations(conv, "weight")
    lowered(nn.Sequential(conv, nn.Flatten(), nn.Linear(216, 4)), SHAPE)


@pytest.mark.parametrize("name", ["conv-1", "class", "größe", "a" * 201])
def test_names_that_no_file_could_hold_are_refused(name: str) -> None:
    network = nn.Sequential()
    network.add_module(name, nn.Conv2d(3, 6, 3))
    with pytest.raises(UserError, match=rf"{name} \(Conv2d\) is no name for a module; supported are"):
        trace(network)


@pytest.mark.parametrize("name", ["int", "double_", "x", "main", "input", "_1", "0"])
def test_names_of_c_are_names(name: str) -> None:
    network = nn.Sequential()
    network.add_module(name, nn.Conv2d(3, 6, 3))
    graph = lowered(network.append(nn.Flatten()).append(nn.Linear(216, 4)), SHAPE)
    assert graph.ops[0].name == name


def test_values_that_overflow_are_told_with_their_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3), nn.Flatten(), nn.Linear(96, 4))
    for index in (0, 2):
        network[index].weight.data.mul_(1e30)  # type: ignore[union-attr,operator]
    with pytest.raises(
        UserError, match=r"^2 \(Conv2d\) is not finite: it gives NaN or infinite values for an input in"
    ):
        lower(network, SHAPE)
