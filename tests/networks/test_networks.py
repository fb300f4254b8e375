# SPDX-License-Identifier: Apache-2.0
"""Networks against published figures."""

from itertools import pairwise

import pytest
import torch

from kilobench.compile.counts import macs
from kilobench.compile.lower import lower
from kilobench.contracts import Network
from kilobench.plugins.registry import load_registry

REGISTRY = load_registry()


@pytest.mark.parametrize(
    ("channels", "classes", "parameters", "million_macs"),
    [
        ("paper", 50, 4_735_378, 541.9),
        ("paper", 10, 4_712_378, 541.7),
        ("micro", 50, 131_474, 14.29),
        ("nano", 50, 65_941, 10.05),
        ("gap8", 50, 501_544, 44.3),
    ],
)
def test_acdnet_has_the_published_size(channels: str, classes: int, parameters: int, million_macs: float) -> None:
    """At 20 kHz and 1.51 s (arXiv 2103.03483)."""
    network = load_registry().get("networks", f"acdnet[channels={channels}]")
    model = network.build((1, 1, 30225), classes, 20_000).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert macs(lower(model, (1, 1, 30225)))["fp32"] / 1e6 == pytest.approx(million_macs, rel=1e-3)


@pytest.mark.parametrize(
    ("network", "classes", "parameters", "million_macs"),
    [("resnet18", 10, 11_173_962, 218.7), ("resnet8", 10, 78_042, 12.5)],
)
def test_residual_networks_have_the_published_size(
    network: str, classes: int, parameters: int, million_macs: float
) -> None:
    """The study's ResNet-18; ResNet-8 as in MLPerf Tiny (arXiv 2106.07597), whose convolutions also have biases."""
    model = load_registry().get("networks", network).build((3, 32, 32), classes, 0).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert macs(lower(model, (3, 32, 32)))["fp32"] / 1e6 == pytest.approx(million_macs, rel=2e-3)


IMAGE, SOUND = ((3, 32, 32), 0), ((1, 1, 30225), 20_000)
WIDTHS = {
    "resnet8": (16.0, *IMAGE),
    "resnet18": (64.0, *IMAGE),
    **{f"acdnet[channels={name}]": (1.0, *SOUND) for name in ("small", "paper", "micro", "nano", "gap8")},
}
"""Networks with their usual width, an input and its rate."""


def size(network: str, shape: tuple[int, int, int], rate: int, width: float | None) -> int:
    """Parameters of a network of a width, which take no memory."""
    parts = [network.partition("[")[2].rstrip("]"), f"width={width!r}" if width else ""]
    built: Network = REGISTRY.get("networks", f"{network.partition('[')[0]}[{','.join(filter(None, parts))}]")
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in built.build(shape, 10, rate).parameters())


def test_all_networks_have_a_width() -> None:
    """Which is a float, so that a budget can choose it."""
    assert set(REGISTRY.entries["networks"]) == {name.partition("[")[0] for name in WIDTHS}
    for name, (usual, shape, rate) in WIDTHS.items():
        network = REGISTRY.get("networks", name)
        assert type(network.width) is float and network.width == usual
        assert size(name, shape, rate, usual) == size(name, shape, rate, None)


@pytest.mark.parametrize("name", WIDTHS)
def test_a_wider_network_is_never_smaller(name: str) -> None:
    """From a sixteenth of the usual width to four times as much, in steps of a hundredth; sizes lie close together."""
    usual, shape, rate = WIDTHS[name]
    sizes = [size(name, shape, rate, usual / 16 * 1.01**step) for step in range(420)]
    assert sizes == sorted(sizes)
    assert sizes[0] < size(name, shape, rate, usual) / 12 and sizes[-1] > 12 * size(name, shape, rate, usual)
    assert max(after / before for before, after in pairwise(sizes) if before > 20_000) < 1.26


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "acdnet[channels=small]", "acdnet[channels=paper]"])
def test_the_usual_width_lies_in_between(name: str) -> None:
    usual, shape, rate = WIDTHS[name]
    sizes = [size(name, shape, rate, usual * factor) for factor in (0.96, 0.999, 1, 1.001, 1.04)]
    assert sizes == sorted(sizes)
