# SPDX-License-Identifier: Apache-2.0
"""Networks of layers that only torch.export follows: functions, methods, control flow, any padding; in float32 and int8."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.lower import LoweringError, lower
from kilobench.compile.simulate import quantise_input
from kilobench.learn.layers import XnorConv2d
from kilobench.learn.quantise import quantise
from tests.learn import mobile


def outputs(graph: Graph, x: Tensor, folder: Path) -> np.ndarray:
    emit(graph, folder, "network")
    made = HostModel(folder).run(quantise_input(graph, x.numpy())).astype(np.float64)
    tensor = graph.tensors[graph.output]
    return made if tensor.dtype == "float32" else (made - tensor.zero_point) * tensor.scale


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(64, *mobile.SHAPE, generator=torch.Generator().manual_seed(0))


def test_a_mobile_network_in_float32(x: Tensor, tmp_path: Path) -> None:
    model = mobile.mobile()
    graph = lower(model, mobile.SHAPE)
    with torch.no_grad():
        assert np.abs(outputs(graph, x, tmp_path) - model(x).numpy()).max() < 1e-5
    assert [op.name for op in graph.ops[:3]] == ["stem", "swish", "depthwise"]


def test_a_mobile_network_in_int8(x: Tensor, tmp_path: Path) -> None:
    """All of it: nothing is left in floats, and no output is more than two steps from that of the rounded network."""
    model = quantise(mobile.mobile(), [(x, torch.zeros(64))])
    graph = lower(model, mobile.SHAPE)
    assert {tensor.dtype for tensor in graph.tensors.values()} == {"int8"}
    step = graph.tensors[graph.output].scale
    with torch.no_grad():
        assert np.abs(outputs(graph, x, tmp_path) - model(x).numpy()).max() < 2.5 * step


class Branches(nn.Module):
    """What symbolic tracing cannot follow: it asks for sizes, and its loop ends by one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        while x.shape[-1] > 1:
            x = nn.functional.max_pool2d(input=x, kernel_size=2, ceil_mode=True)
        return self.head(x.view(x.size(0), -1))


def test_control_flow_by_sizes(tmp_path: Path) -> None:
    model, x = Branches().eval(), torch.randn(4, 1, 11, 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert np.abs(outputs(lower(model, (1, 11, 11)), x, tmp_path) - model(x).numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(8, 2)),
            "1 (aten.gelu.default) is an operator",
        ),
        (
            nn.Conv2d(1, 2, 3, padding="same", dilation=2),
            "a network returns logits [n, classes], not float32 (4, 4, 2)",
        ),
        (
            nn.Sequential(XnorConv2d(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3)), nn.Hardswish(), nn.Flatten()),
            "1 (Hardswish)",
        ),
    ],
)
def test_what_has_no_kernel_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(LoweringError) as raised:
        lower(model.eval(), (1, 4, 4))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_weights_that_are_not_finite_are_refused() -> None:
    model = mobile.mobile()
    with torch.no_grad():
        model.wide.weight[0] = torch.nan
    with pytest.raises(LoweringError, match=r"^wide \(Conv2d\) is not finite: 36 of 576 values of weight are NaN"):
        lower(model, mobile.SHAPE)
